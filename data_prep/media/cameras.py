"""Frames of a camera, at the rate at which they can be used."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2

from data_prep.errors import BadInput
from data_prep.media.videos import Frame

WAITING = 64
"""Frames of a camera that wait to be used: two seconds at 30 a second, more than one call of the networks takes."""


def frames_of_camera(index: int) -> Iterator[Frame]:
    """Give a camera's frames until it is switched off, or for ever.

    Args:
        index: number of the camera, from 0.

    Yields:
        Frames with the seconds since the first one. Where they are used more slowly than they come, every second one is
        left out, or every second of those again, so that what is left is evenly spaced.

    Raises:
        BadInput: there is no such camera, it is in use, or it gives no picture.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error raised here says it once
    try:
        capture = cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        first = capture.isOpened() and capture.read()[0]
        if not first:
            raise BadInput(
                f"camera {index}: there is none, another program uses it, or it gives no picture; "
                "give another number, a video file or a folder of frames"
            )
        yield from thinned(lambda: _shots(capture))
    finally:
        capture.release()


def thinned(shots: Callable[[], Iterable[Frame]], waiting: int = WAITING) -> Iterator[Frame]:
    """Read frames in a thread as they come, and thin them evenly to the rate at which they are taken.

    Args:
        shots: gives the frames; called and read in the thread.
        waiting: how many may wait to be taken. Where one more comes, only every second frame is kept from then on, of
            those that wait too.

    Yields:
        The frames that are kept, in order.
    """
    kept: deque[tuple[int, Frame]] = deque()
    changed = threading.Condition()
    ended, unwanted = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def read() -> None:
        stride = 1
        try:
            for number, frame in enumerate(shots()):
                if unwanted.is_set():
                    return
                with changed:
                    if number % stride == 0:
                        kept.append((number, frame))
                    if len(kept) > waiting:
                        stride *= 2
                        spaced = [one for one in kept if one[0] % stride == 0]
                        kept.clear()
                        kept.extend(spaced)
                    changed.notify()
        except Exception as error:
            errors.append(error)
        finally:
            with changed:
                ended.set()
                changed.notify()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: kept or ended.is_set())
                if not kept:
                    break
                frame = kept.popleft()[1]
            yield frame
        if errors:
            raise errors[0]
    finally:
        unwanted.set()
        reader.join()


def _shots(capture: cv2.VideoCapture) -> Iterator[Frame]:
    start = None
    while True:
        taken, image = capture.read()
        if not taken:
            return
        now = time.monotonic()
        start = now if start is None else start
        yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), now - start)
