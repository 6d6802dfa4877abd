"""What lies between a drawn face and a crop of a recording: light, lens, sensor, compression, something in the way."""

from functools import cache
from typing import Literal

import albumentations
import numpy as np

Style = Literal["varied", "unseen"]
"""``"varied"`` is learned from. ``"unseen"`` is coarser, softer and flatter than that: a test of carry-over."""

COARSEST = 48
"""Pixels across the coarsest crop that is learned from; FER2013's images have as many."""

UNSEEN_PIXELS = (24, 36)
"""Pixels across the crops of the style that is never learned from."""


def in_style(crops: np.ndarray, style: Style, seed: int) -> np.ndarray:
    """Disturb the crops of one recording, all in the same way.

    Args:
        crops: uint8 (frames, side, side, 3), RGB.
        style: what is done to them.
        seed: decides how strongly each thing is done.

    Returns:
        uint8 (frames, side, side, 3).
    """
    transform = _transform(style, crops.shape[1])
    transform.set_random_seed(seed)
    return np.ascontiguousarray(transform(images=crops)["images"])


@cache
def _transform(style: Style, side: int) -> albumentations.Compose:
    shrink_and_enlarge = {"downscale": 3, "upscale": 1}  # OpenCV's INTER_AREA and INTER_LINEAR
    if style == "unseen":
        low, high = (min(pixels / side, 0.99) for pixels in UNSEEN_PIXELS)
        return albumentations.Compose(
            [
                albumentations.ToGray(p=1),
                albumentations.Downscale((low, high), shrink_and_enlarge, p=1),
                albumentations.GaussianBlur(blur_limit=0, sigma_limit=(1.0, 2.0), p=1),
                albumentations.RandomBrightnessContrast(0.1, (-0.35, -0.2), p=1),
            ]
        )
    return albumentations.Compose(
        [
            albumentations.Illumination(p=0.3),
            albumentations.CoarseDropout((1, 2), (0.08, 0.25), (0.08, 0.25), fill=90, p=0.15),
            albumentations.RandomGamma((60, 160), p=0.5),
            albumentations.RandomBrightnessContrast(0.25, 0.3, p=0.7),
            albumentations.CLAHE(clip_limit=(1, 3), p=0.1),
            albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.2), p=0.3),
            albumentations.MotionBlur(blur_limit=(3, 5), p=0.05),
            albumentations.Downscale((min(COARSEST / side, 0.9), 0.95), shrink_and_enlarge, p=0.5),
            albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            albumentations.ImageCompression(quality_range=(30, 95), p=0.4),
        ]
    )
