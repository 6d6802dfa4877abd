"""Faces in frames: detected by MTCNN, or refined from an expected position."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from data_prep.faces.mtcnn import CELL, Cascade, Judged

MINIMUM_PROBABILITY = 0.9
"""Detections with a lower probability are discarded. MTCNN's own last threshold, 0.7, also accepts textures."""

SMALLEST_FACE = 20
"""MTCNN's own smallest face, in pixels; a search down to it costs five times the quick one."""

QUICK_SHARE = 8
"""The quick search starts at this part of a frame's shorter side: 61 pixels in a frame of 640 x 490."""

SAME_FACE = 1.0
"""Largest :func:`distance` between faces of one person in two frames: a head that moved by its own size."""

JUMP = 0.4
"""Largest :func:`distance` between a refined face and its expected position; beyond it, it is another face or none."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a frame.

    Attributes:
        box: float64 (4,), left, top, right, bottom in pixels; it may reach beyond the frame.
        probability: MTCNN's, 0 to 1; for an interpolated face the lower of its neighbours'.
        landmarks: float64 (5, 2), x and y in pixels of the eye on the image's left, the eye on its right, the tip of
            the nose, the left and right corner of the mouth.
        how: ``"detected"`` by the full MTCNN, ``"refined"`` by its last two stages from an expected position, or
            ``"interpolated"`` between two frames with a face.
    """

    box: np.ndarray
    probability: float
    landmarks: np.ndarray
    how: Literal["detected", "refined", "interpolated"]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    @property
    def center(self) -> np.ndarray:
        """Middle of the box, float64 (2,), x and y."""
        return (self.box[:2] + self.box[2:]) / 2


def between(earlier: Face, later: Face, share: float) -> Face:
    """Interpolate linearly between two faces: ``share`` 0 gives ``earlier``, 1 gives ``later``."""
    return Face(
        earlier.box + share * (later.box - earlier.box),
        min(earlier.probability, later.probability),
        earlier.landmarks + share * (later.landmarks - earlier.landmarks),
        "interpolated",
    )


def distance(one: Face, other: Face) -> float:
    """Return how much two faces differ in position and size.

    Returns:
        The distance of their middles as a share of their mean side, plus the logarithm of the ratio of their sides.
        It is about 1 where two boxes of equal size no longer overlap.
    """
    side, other_side = math.sqrt(max(one.area, 1)), math.sqrt(max(other.area, 1))
    apart = float(np.hypot(*(one.center - other.center)))
    return 2 * apart / (side + other_side) + abs(math.log(side / other_side))


def pair(ones: Sequence[Face], others: Sequence[Face], limit: float = SAME_FACE) -> dict[int, int]:
    """Match the faces of two frames, nearest first, each at most once.

    Args:
        ones, others: the faces of the two frames.
        limit: largest :func:`distance` of a matched pair.

    Returns:
        Index in ``ones`` -> index in ``others``.
    """
    near = sorted((distance(one, other), i, k) for i, one in enumerate(ones) for k, other in enumerate(others))
    pairs: dict[int, int] = {}
    for apart, i, k in near:
        if apart <= limit and i not in pairs and k not in pairs.values():
            pairs[i] = k
    return pairs


class FaceDetector:
    """MTCNN on batches of frames of one size.

    Args:
        device: device of its networks.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._cascade = Cascade(device)

    def detect(self, frames: Sequence[np.ndarray], thorough: bool = False) -> list[list[Face]]:
        """Detect the faces of each frame with the full cascade.

        Args:
            frames: uint8 (height, width, 3), RGB, all of one size.
            thorough: search for faces from MTCNN's own 20 pixels upwards instead of from an eighth of the frame's
                shorter side; the image pyramid of a 640 x 490 frame then costs ten times as much.

        Returns:
            For each frame its faces, the largest first.
        """
        if not frames:
            return []
        shorter = min(frames[0].shape[:2])
        if shorter < CELL:
            return [[] for _ in frames]
        smallest = min(SMALLEST_FACE, shorter)
        found = self._cascade.detect(frames, smallest if thorough else max(shorter // QUICK_SHARE, smallest))
        return _by_frame(found, len(frames), "detected")

    def refine(self, frames: Sequence[np.ndarray], expected: Sequence[Sequence[Face]]) -> list[list[Face | None]]:
        """Refine expected faces with the cascade's last two stages, at a fifth of the cost of a detection.

        Args:
            frames: uint8 (height, width, 3), RGB, all of one size.
            expected: for each frame the faces at their expected positions.

        Returns:
            As ``expected``: each face as refined, or None where no probable face lies within :data:`JUMP`.
        """
        places = [(frame, face.box) for frame, faces in enumerate(expected) for face in faces]
        if not places:
            return [[] for _ in frames]
        indices, boxes = zip(*places, strict=True)
        seen = _by_frame(self._cascade.judge(frames, np.stack(boxes), np.array(indices)), len(frames), "refined")
        refined: list[list[Face | None]] = []
        for wanted, faces in zip(expected, seen, strict=True):
            pairs = pair(wanted, faces, JUMP)
            refined.append([faces[pairs[i]] if i in pairs else None for i in range(len(wanted))])
        return refined

    def quick_finds(self, faces: Sequence[Face], frame: np.ndarray) -> bool:
        """Whether the quick search reaches down to the size of all these faces."""
        least = 1.4 * min(frame.shape[:2]) / QUICK_SHARE  # a face may shrink a little from frame to frame
        return all(math.sqrt(face.area) >= least for face in faces)


def _by_frame(found: Judged, n_frames: int, how: Literal["detected", "refined"]) -> list[list[Face]]:
    faces: list[list[Face]] = [[] for _ in range(n_frames)]
    for box, probability, landmarks, frame in zip(*found, strict=True):
        if probability >= MINIMUM_PROBABILITY:
            faces[frame].append(Face(box, float(probability), landmarks, how))
    return [sorted(of_frame, key=lambda face: -face.area) for of_frame in faces]
