"""Face detection by MTCNN and the square crop that serves a whole sequence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

MINIMUM_PROBABILITY = 0.9
"""Detections below this are not taken for a face. MTCNN's own last threshold, 0.7, lets through textures."""

DETECTION_BATCH = 16
"""Frames per call of MTCNN; more gains nothing on a CPU and costs memory."""


@dataclass(frozen=True)
class SquareCrop:
    """A square in a frame, in pixels; it may reach beyond the frame.

    Attributes:
        center_x, center_y: the middle of the square, from the frame's top-left corner.
        side: its side.
    """

    center_x: float
    center_y: float
    side: float


class FaceDetector:
    """MTCNN (Zhang et al. 2016) with the weights that facenet-pytorch carries.

    Args:
        device: where the detector runs.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._mtcnn = MTCNN(keep_all=True, device=torch.device(device))

    def detect(self, frames: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Find the face in each frame of a sequence.

        Faces are first sought from an eighth of the frame's shorter side upwards: on 640 x 490 frames the image pyramid
        then costs a tenth of the one that starts at MTCNN's 20 pixels. Where this finds no face in any frame, the whole
        pyramid is tried.

        Args:
            frames: uint8 arrays (height, width, 3), RGB, all of one size.

        Returns:
            For each frame the box (left, top, right, bottom) in pixels of its largest face, or None.
        """
        shorter = min(frames[0].shape[:2])
        whole_pyramid = min(20, shorter)
        boxes = self._detect(frames, minimum_size=max(shorter // 8, whole_pyramid))
        if not any(box is not None for box in boxes):
            boxes = self._detect(frames, whole_pyramid)
        return boxes

    def _detect(self, frames: Sequence[np.ndarray], minimum_size: int) -> list[np.ndarray | None]:
        self._mtcnn.min_face_size = minimum_size
        found: list[np.ndarray | None] = []
        for start in range(0, len(frames), DETECTION_BATCH):
            boxes, probabilities = self._mtcnn.detect(np.stack(frames[start : start + DETECTION_BATCH]))
            found.extend(_largest(*detections) for detections in zip(boxes, probabilities, strict=True))
        return found


def _largest(boxes: np.ndarray | None, probabilities: np.ndarray) -> np.ndarray | None:
    """Boxes come sorted by area, largest first; None stands for no detection."""
    if boxes is None:
        return None
    sure = np.asarray(probabilities, float) >= MINIMUM_PROBABILITY
    return np.asarray(boxes, float)[sure][0] if sure.any() else None


def sequence_crop(boxes: Iterable[np.ndarray | None], margin: float = 0.2) -> SquareCrop | None:
    """Return the one square crop of a sequence: the median of the frames' boxes, plus a margin.

    The median keeps the detector's jitter, a few pixels from frame to frame, from looking like motion of the face.

    Args:
        boxes: (left, top, right, bottom) of each frame's face in pixels; None for a frame without one.
        margin: the square's side is the box's longer side times 1 + ``margin``.

    Returns:
        The crop, or None where no frame has a face.
    """
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    left, top, right, bottom = np.median(found, axis=0)
    side = max(right - left, bottom - top) * (1 + margin)
    return SquareCrop(float(left + right) / 2, float(top + bottom) / 2, float(side))


def cut(frame: np.ndarray, crop: SquareCrop, pixels: int, room: float = 1.0) -> np.ndarray:
    """Cut a square out of a frame and resize it.

    Args:
        frame: uint8 (height, width, 3).
        crop: the square.
        pixels: side of the result in pixels for the square itself.
        room: factor by which square and result are widened around their middle, so that a rotation of the result
            has real pixels to bring into its corners.

    Returns:
        uint8 (n, n, 3) with n = ``pixels`` times ``room``, rounded to the nearest number as even or odd as ``pixels``,
        so that its middle ``pixels`` x ``pixels`` are the crop. What lies beyond the frame repeats its border.
    """
    n = pixels + 2 * round(pixels * (room - 1) / 2)
    side = crop.side * n / pixels
    left, top = round(crop.center_x - side / 2), round(crop.center_y - side / 2)
    right, bottom = left + round(side), top + round(side)
    height, width = frame.shape[:2]
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    beyond = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(beyond):
        inside = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE)
    # Area averaging is OpenCV's only interpolation that does not alias when it shrinks.
    interpolation = cv2.INTER_AREA if side > n else cv2.INTER_LINEAR
    return cv2.resize(inside, (n, n), interpolation=interpolation)
