"""Random variants of a sequence's face crops, for training on pixels.

All frames of a sequence are transformed alike, so that the expression remains the only difference between them.
"""

import hashlib

import albumentations
import numpy as np
from cv2 import BORDER_REPLICATE

STEEPEST = 6
"""Largest rotation in degrees, in either direction."""

SCALE = 0.05
"""Largest change of the face's size, as a share."""

SHIFT = 0.015
"""Largest shift in either direction, as a share of the image with its border. With the two limits above, a variant
contains only real pixels: (cos 6 + sin 6) / 0.95 + 2 * 0.015 * 1.2 = 1.19, just below
:data:`data_prep.faces.variants.ROTATION_BORDER`."""

LIGHT = 0.2
"""Largest change of brightness and of contrast, as a share."""


class CropAugmentation:
    """Random flip, rotation, scale, shift, brightness, contrast, blur and erased rectangle; a key is the seed.

    Args:
        pixels: side of the returned crops.
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
            crops: uint8 (frames, n, n, 3), with the border of :data:`data_prep.faces.variants.ROTATION_BORDER`.
            key: determines all random numbers.

        Returns:
            uint8 (frames, pixels, pixels, 3).
        """
        self._transform.set_random_seed(seed_of(key))
        return self._transform(images=crops)["images"]


def seed_of(key: str) -> int:
    """Return a 32-bit seed that depends only on the text: the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")
