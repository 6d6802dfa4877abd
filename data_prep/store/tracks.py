"""The face through one sequence, as tensors and facts of a small file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack

_HOW = ("none", "detected", "refined", "interpolated")


@dataclass(frozen=True, eq=False)
class SequenceTrack:
    """One sequence's face.

    Attributes:
        sequence: name of the sequence.
        source: SHA-256 of what it is made from, see :func:`data_prep.datasets.sequence_frames.source_sha256`.
        n_frames: number of its frames.
        faces: its face in each frame; None if the images are crops already, so that none was detected.
    """

    sequence: str
    source: str
    n_frames: int
    faces: FaceTrack | None

    @property
    def usable(self) -> range:
        """The frames with crops; empty if no face was found."""
        return range(self.n_frames) if self.faces is None else self.faces.usable


def tensors_of(faces: FaceTrack) -> dict[str, torch.Tensor]:
    """Return all numbers at full precision: crops extracted from them later must be identical."""
    n = len(faces.faces)
    boxes, landmarks = np.full((n, 4), np.nan), np.full((n, 5, 2), np.nan)
    probabilities, how = np.full(n, np.nan), np.zeros(n, np.uint8)
    for frame, face in enumerate(faces.faces):
        if face is not None:
            boxes[frame], landmarks[frame], probabilities[frame] = face.box, face.landmarks, face.probability
            how[frame] = _HOW.index(face.how)
    arrays = {"boxes": boxes, "landmarks": landmarks, "probabilities": probabilities, "how": how}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def track_of(tensors: Mapping[str, torch.Tensor], n_frames: int) -> FaceTrack:
    """Return the track of so many frames from the tensors of :func:`tensors_of`.

    Raises:
        ValueError: that function did not write them.
    """
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    shapes = {"boxes": (4,), "probabilities": (), "landmarks": (5, 2), "how": ()}
    whole = {name: (n_frames, *of_frame) for name, of_frame in shapes.items()}
    if {name: array.shape for name, array in arrays.items()} != whole:
        raise ValueError("tensors of other names or shapes")
    seen = arrays["how"] > 0
    if arrays["how"].dtype != np.uint8 or not (arrays["how"] < len(_HOW)).all():
        raise ValueError("faces found in an unknown way")
    if not all(array.dtype in (np.float64, np.uint8) and np.isfinite(array[seen]).all() for array in arrays.values()):
        raise ValueError("faces that are no numbers")
    rows = zip(*(arrays[name] for name in shapes), strict=True)
    return FaceTrack(
        tuple(
            Face(box, float(probability), landmarks, _HOW[how]) if how else None
            for box, probability, landmarks, how in rows
        )
    )
