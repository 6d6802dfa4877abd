"""Random variants of a sequence's face crops, for a training that goes back to the pixels.

What is drawn is the same for all frames of a sequence: what differs between frames is the expression, and must stay the
only thing that does.
"""

import hashlib

import numpy as np
from cv2 import BORDER_REPLICATE

from data_prep.faces.variants import albumentations

STEEPEST = 6
"""Degrees, either way."""

SCALE = 0.05
"""The face becomes larger or smaller by up to this share."""

SHIFT = 0.015
"""Largest shift either way, as a share of the image with its room. With the two above, a variant is cut from real
pixels alone: (cos 6 + sin 6) / 0.95 + 2 * 0.015 * 1.2 = 1.19, :data:`data_prep.faces.variants.ROOM`."""

LIGHT = 0.2
"""Largest change of brightness and of contrast, as a share."""


class CropAugmentation:
    """Mirrors, turns, scales, shifts, relights, blurs, and erases a part, by what a key draws.

    Args:
        pixels: side of the crops that it gives.
    """

    def __init__(self, pixels: int) -> None:
        self._transform = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=0.5),
                albumentations.Affine(
                    scale=(1 - SCALE, 1 + SCALE),
                    keep_ratio=True,
                    translate_percent=(-SHIFT, SHIFT),
                    rotate=(-STEEPEST, STEEPEST),
                    border_mode=BORDER_REPLICATE,
                    p=1.0,
                ),
                albumentations.CenterCrop(pixels, pixels),
                albumentations.RandomBrightnessContrast(LIGHT, LIGHT, p=0.8),
                albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.0), p=0.2),
                albumentations.Erasing(scale=(0.02, 0.1), ratio=(0.5, 2.0), fill=127, p=0.25),
            ]
        )

    def __call__(self, crops: np.ndarray, key: str) -> np.ndarray:
        """Return one variant of a sequence.

        Args:
            crops: uint8 (frames, n, n, 3), cut with room (:data:`data_prep.faces.variants.ROOM`).
            key: what is drawn depends on it alone.

        Returns:
            uint8 (frames, pixels, pixels, 3).
        """
        self._transform.set_random_seed(seed_of(key))
        return self._transform(images=crops)["images"]


def seed_of(key: str) -> int:
    """Return a seed of 32 bits that depends on a text alone, the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")
