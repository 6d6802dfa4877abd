"""A video with the face's box, the emotion and a bar for each probability drawn into it. It shows the face."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import BadInput
from face_strnn.prediction.recogniser import Method
from face_strnn.prediction.timeline import Moment

SUFFIX = ".mp4"
_CODEC = "mp4v"  # the one for MP4 that every build of OpenCV writes

# Red, green, blue.
_PAPER, _INK, _FAINT, _BAR, _BEST = (250, 250, 248), (28, 34, 42), (222, 226, 231), (150, 160, 172), (31, 95, 168)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Annotator:
    """Draws moments and writes them as a video; made by :func:`annotator`.

    A video file of OpenCV has one constant rate. Frames are repeated or left out so that each is shown at its own time,
    to half an interval: of a recording with that constant rate every frame is written once.
    """

    def __init__(self, path: Path, classes: Sequence[str], rate: float, method: Method) -> None:
        self.path, self.classes, self.rate, self.method = path, classes, rate, method
        self._writer: cv2.VideoWriter | None = None
        self._shown: np.ndarray | None = None
        self._start = 0.0
        self.written = 0

    def write(self, moment: Moment) -> None:
        """Draw one more moment; it stays in view until the next one."""
        now = moment.instant.clock
        if self._shown is None:
            self._start = now
        else:
            # At least half an interval of the constant rate must be left to the frame before.
            while self.written < (now - self._start) * self.rate - 0.5:
                self._put(self._shown)
        self._shown = draw(moment, self.classes, self.method)

    def close(self) -> None:
        """Write the last frame and end the file."""
        if self._shown is not None:
            self._put(self._shown)
        if self._writer is not None:
            self._writer.release()

    def _put(self, picture: np.ndarray) -> None:
        if self._writer is None:
            size = picture.shape[1::-1]
            codec = cv2.VideoWriter_fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, codec, self.rate, size)
            if not self._writer.isOpened():
                raise BadInput(f"{self.path}: OpenCV cannot write a video of {size[0]} x {size[1]} pixels here")
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.written += 1


@contextmanager
def annotator(path: Path, classes: Sequence[str], rate: float, method: Method) -> Iterator[Annotator]:
    """Open a video that becomes ``path`` when the block ends, and vanishes when it raises.

    Args:
        path: the MP4 file.
        classes: the emotions, in the order of a moment's probabilities.
        rate: its frames a second.
        method: which method gave the probabilities, and what it was trained on. Every picture says it, since a video
            is passed on without the rest.

    Raises:
        BadInput: another suffix than ``.mp4``, or no folder to write into.
    """
    if path.suffix.lower() != SUFFIX:
        raise BadInput(f"--annotate {path}: the video is written as MP4; give a name that ends with {SUFFIX}")
    if not path.parent.is_dir():
        raise BadInput(f"--annotate {path}: there is no folder {path.parent}; make it first")
    # OpenCV chooses the container by the suffix, so that it must be last in the unfinished file's name too.
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{SUFFIX}")
    drawing = Annotator(unfinished, classes, rate, method)
    try:
        try:
            yield drawing
        finally:
            drawing.close()
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def draw(moment: Moment, classes: Sequence[str], method: Method) -> np.ndarray:
    """Draw a frame with the face's box and the answer, and beside it a panel with a bar for each emotion.

    The panel lies beside the frame, not over it, so that nothing of the recording is hidden.

    Args:
        moment: a frame, with or without a face.
        classes: the emotions, in the order of its probabilities.
        method: which method gave them, and what it was trained on; the panel says it below the bars.

    Returns:
        uint8 (h, w, 3), RGB, with even sides, as codecs want them.
    """
    height, width = moment.image.shape[:2]
    panel = _panel(moment, classes, method, height)
    picture = np.empty((height + height % 2, width + panel.shape[1] + (width + panel.shape[1]) % 2, 3), np.uint8)
    picture[:] = _PAPER
    picture[:height, :width] = moment.image
    picture[:height, width : width + panel.shape[1]] = panel
    if moment.face is not None and moment.probabilities is not None:
        best = int(moment.probabilities.argmax())
        _draw_box(
            picture[:height, :width], moment.face.box, f"{classes[best]} {100 * moment.probabilities[best]:.0f} %"
        )
    return picture


def _draw_box(image: np.ndarray, box: np.ndarray, label: str) -> None:
    thickness = max(round(min(image.shape[:2]) / 240), 1)
    left, top, right, bottom = (round(edge) for edge in box)
    # Light on dark, to be seen on any background.
    cv2.rectangle(image, (left, top), (right, bottom), _INK, 3 * thickness)
    cv2.rectangle(image, (left, top), (right, bottom), (255, 255, 255), thickness)
    scale = _text_scale(image.shape[0]) * 1.25
    (width, height), base = cv2.getTextSize(label, _FONT, scale, thickness)
    pad = height // 2
    x = int(np.clip(left, 0, max(image.shape[1] - width - 2 * pad, 0)))
    y = top - 2 * thickness if top >= height + base + 2 * pad else min(top, 0) + height + base + 2 * pad
    cv2.rectangle(image, (x, y - height - base - pad), (x + width + 2 * pad, y), _INK, cv2.FILLED)
    cv2.putText(image, label, (x + pad, y - base), _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)


def _panel(moment: Moment, classes: Sequence[str], method: Method, height: int) -> np.ndarray:
    scale = _text_scale(height)
    thick = max(round(1.6 * scale), 1)
    pad = max(height // 40, 3)
    width = max(cv2.getTextSize(name, _FONT, scale, thick)[0][0] for name in classes)
    width += cv2.getTextSize(" 100 %", _FONT, scale, thick)[0][0] + 3 * pad
    panel = np.full((height, width, 3), _PAPER, np.uint8)
    row = height / (len(classes) + 3)
    _write(panel, _time_of(moment), (pad, round(0.62 * row)), scale, _INK, thick)
    best = None if moment.probabilities is None else int(moment.probabilities.argmax())
    for place, name in enumerate(classes):
        top = (place + 1) * row
        colour = _BEST if place == best else _INK
        _write(panel, name, (pad, round(top + 0.45 * row)), scale, colour, thick + (place == best))
        x, y, end = pad, round(top + 0.6 * row), width - pad
        below = max(y + round(0.2 * row), y + 1)
        cv2.rectangle(panel, (x, y), (end, below), _FAINT, cv2.FILLED)
        if moment.probabilities is not None:
            share = float(moment.probabilities[place])
            cv2.rectangle(
                panel, (x, y), (x + round(share * (end - x)), below), _BEST if place == best else _BAR, cv2.FILLED
            )
            number = f"{100 * share:.0f} %"
            x = end - cv2.getTextSize(number, _FONT, scale, thick)[0][0]
            _write(panel, number, (x, round(top + 0.45 * row)), scale, colour, thick)
    texts = {1.16: method.title, 0.38: method.training}  # rows above the panel's lower edge
    # A data set may have any name, and a panel is as wide as its emotions' names.
    widest = max(cv2.getTextSize(text, _FONT, scale, thick)[0][0] for text in texts.values())
    scale *= min(1, (width - 2 * pad) / widest)
    for above, text in texts.items():
        _write(panel, text, (pad, height - round(above * row)), scale, _INK, max(round(1.6 * scale), 1))
    return panel


def _time_of(moment: Moment) -> str:
    seconds = moment.instant.seconds
    time = f"frame {moment.instant.number}" if seconds is None else f"{seconds:.2f} s"
    return time if moment.face is not None else f"{time}: no face"


def _write(
    image: np.ndarray, text: str, place: tuple[int, int], scale: float, colour: tuple[int, int, int], thick: int
) -> None:
    cv2.putText(image, text, place, _FONT, scale, colour, thick, cv2.LINE_AA)


def _text_scale(height: int) -> float:
    """Text as high as a twenty-fifth of the picture: OpenCV's capitals are 21 pixels high at scale 1."""
    return max(height / 25 / 21, 0.3)
