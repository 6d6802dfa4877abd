"""Frames of a camera, at the rate at which they can be processed."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2

from data_prep.errors import BadInput
from data_prep.media.videos import Frame

WAITING = 64
"""Frames of a camera that may wait to be processed: two seconds at 30 a second, longer than one call of the
networks."""


def frames_of_camera(index: int) -> Iterator[Frame]:
    """Yield a camera's frames until it is switched off.

    Args:
        index: number of the camera, from 0.

    Yields:
        Frames with the seconds since the first one. If they arrive faster than they are processed, every second one is
        dropped, repeatedly if needed, so that the remaining frames are evenly spaced.

    Raises:
        BadInput: there is no such camera, another program uses it, or it gives no picture.
    """
    capture = cv2.VideoCapture(index)
    try:
        if not (capture.isOpened() and capture.read()[0]):
            raise BadInput(
                f"camera {index}: there is none, another program uses it, or it gives no picture; "
                "give another number, a video file or a folder of frames"
            )
        yield from thinned(lambda: _shots(capture))
    finally:
        capture.release()


def thinned(shots: Callable[[], Iterable[Frame]], waiting: int = WAITING) -> Iterator[Frame]:
    """Read frames in a thread as they arrive, and thin them evenly to the rate at which they are processed.

    Args:
        shots: returns the frames; called and iterated in the thread.
        waiting: how many frames may wait. When one more arrives, only every second frame is kept from then on, also of
            the waiting ones.

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
