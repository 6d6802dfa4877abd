"""Variants of a whole sequence, flipped and rotated: the augmentation of CK+ in the papers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock

import albumentations
import numpy as np

from data_prep.errors import BadInput

ROTATIONS = (-12, -7, 7, 12)
"""The paper's angles in degrees, counter-clockwise; with the original, every sequence gives five samples."""

STEEPEST = 12
"""Largest angle in degrees for which :data:`ROTATION_BORDER` suffices."""

ROTATION_BORDER = 1.2
"""Width of the image to rotate, in widths of the crop: cos 12 + sin 12 = 1.19 keeps the corners filled."""


@dataclass(frozen=True, order=True)
class Variant:
    """One variant of a sequence: rotated, flipped, both or neither.

    Attributes:
        rotation: degrees, counter-clockwise as seen in the result; an int if whole.
        flip: whether it was flipped left to right, before the rotation.
    """

    rotation: float = 0
    flip: bool = False

    def __post_init__(self) -> None:
        # 7.0 from an option or a table must give the names and checksums that 7 gives.
        whole = float(self.rotation).is_integer()
        object.__setattr__(self, "rotation", int(self.rotation) if whole else float(self.rotation))

    @property
    def is_original(self) -> bool:
        """Whether it is the original sequence."""
        return self == ORIGINAL

    @property
    def file_part(self) -> str:
        """The variant in a file's name: ``rot+00``, ``rot-12``, ``rot+02.5_flip``."""
        angle = f"{self.rotation:+03d}" if isinstance(self.rotation, int) else f"{self.rotation:+05.1f}"
        return f"rot{angle}{'_flip' if self.flip else ''}"

    def __str__(self) -> str:
        """``+0``, ``-12``, ``+2.5 flipped``; checksums are computed from it."""
        return f"{self.rotation:+g}{' flipped' if self.flip else ''}"


ORIGINAL = Variant()
"""The sequence as recorded, neither rotated nor flipped."""


AUGMENTATIONS: Mapping[str, tuple[tuple[float, ...], bool]] = {
    "paper": (ROTATIONS, False),
    "stc-nlstm": ((-7.5, -5, -2.5, 2.5, 5, 7.5), True),
    "flip": ((), True),
    "none": ((), False),
}
"""Name -> rotations, and whether all variants are also flipped: the STRNN paper's; those of STC-NLSTM (Yu et al.,
Neurocomputing 317, 2018), which flips first and then rotates, 14 variants; only the flipped sequence; none."""


def variants_of(rotations: Sequence[float], flip: bool) -> tuple[Variant, ...]:
    """Return the variants of a sequence, each once, the original first.

    Args:
        rotations: degrees of the copies beside the original sequence.
        flip: whether each of them, and the original sequence, also gets a flipped copy.

    Raises:
        BadInput: an angle exceeds :data:`STEEPEST`, or is finer than a tenth of a degree.
    """
    for angle in rotations:
        if not abs(angle) <= STEEPEST:
            raise BadInput(f"--rotations {angle:g}: beyond {STEEPEST} degrees the corners of a crop would be empty")
        if round(angle, 1) != angle:
            raise BadInput(f"--rotations {angle:g}: finer than a tenth of a degree; give one decimal")
    flipped = (False, True) if flip else (False,)
    return tuple(dict.fromkeys(Variant(angle, one) for one in flipped for angle in (0, *rotations)))


def cut_variant(frames: np.ndarray, variant: Variant, pixels: int) -> np.ndarray:
    """Flip all frames of a sequence or none, rotate all by the same angle about the middle, and extract the crop.

    Args:
        frames: uint8 (frames, n, n, 3), crops with the border of :data:`ROTATION_BORDER`.
        variant: for the original, only the border is removed.
        pixels: side of the crop.

    Returns:
        uint8 (frames, pixels, pixels, 3).
    """
    with _one_at_a_time:
        return _transform(variant, pixels)(images=frames)["images"]


_one_at_a_time = Lock()
"""A composed transform stores a call's random state in itself, so that two threads must not call it at once."""


@cache
def _transform(variant: Variant, pixels: int) -> albumentations.Compose:
    steps: list[albumentations.DualTransform] = []
    if variant.flip:
        steps.append(albumentations.HorizontalFlip(p=1.0))
    if variant.rotation:
        # Equal limits leave nothing random: every frame is rotated by exactly this angle.
        steps.append(albumentations.Rotate(limit=(variant.rotation, variant.rotation), p=1.0))
    return albumentations.Compose([*steps, albumentations.CenterCrop(pixels, pixels)])
