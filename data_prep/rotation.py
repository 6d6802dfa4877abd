"""Rotation of a whole sequence, the paper's augmentation of CK+."""

import os
from functools import cache
from threading import Lock

import numpy as np

# Without this albumentations asks the network for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations

ROTATIONS = (-12, -7, 7, 12)
"""The paper's angles in degrees, counter-clockwise; with the unrotated one every sequence gives five samples."""

STEEPEST = 12
"""Largest angle in degrees for which :data:`ROOM` is enough."""

ROOM = 1.2
"""How much wider than the crop the rotated image must be: cos 12 + sin 12 = 1.19 keeps the corners filled."""


def rotate(frames: np.ndarray, degrees: int, pixels: int) -> np.ndarray:
    """Rotate every frame of a sequence by the same angle about its middle and cut out the crop.

    Args:
        frames: uint8 (frames, n, n, 3), cut with room around the crop (:data:`ROOM`).
        degrees: counter-clockwise; 0 only cuts out the crop.
        pixels: side of the crop.

    Returns:
        uint8 (frames, pixels, pixels, 3).
    """
    with _one_at_a_time:
        return _transform(degrees, pixels)(images=frames)["images"]


_one_at_a_time = Lock()
"""A composed transform keeps what it draws for a call in itself, so that two threads must not call it at once."""


@cache
def _transform(degrees: int, pixels: int) -> albumentations.Compose:
    center_crop = albumentations.CenterCrop(pixels, pixels)
    if degrees == 0:
        return albumentations.Compose([center_crop])
    # With equal limits nothing is drawn at random: every frame turns by exactly this angle.
    turn = albumentations.Rotate(limit=(degrees, degrees), p=1.0)
    return albumentations.Compose([turn, center_crop])
