"""Variants of a whole sequence, flipped and rotated: the augmentation of CK+ in the papers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock

import albumentations
import numpy as np

from data_prep.errors import BadInput

ROTATIONS = (-12, -7, 7, 12)
"""The paper's angles in degrees, counter-clockwise; with the unrotated one every sequence gives five samples."""

STEEPEST = 12
"""Largest angle in degrees for which :data:`ROOM` is enough."""

ROOM = 1.2
"""How much wider than the crop the rotated image must be: cos 12 + sin 12 = 1.19 keeps the corners filled."""


@dataclass(frozen=True, order=True)
class Variant:
    """One appearance of a sequence.

    Attributes:
        rotation: degrees, counter-clockwise as seen in the result; an int where they are whole.
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
        """Whether it is the sequence as it was taken."""
        return self == ORIGINAL

    @property
    def file_part(self) -> str:
        """``rot+00``, ``rot-12``, ``rot+02.5_flip``: what a file's name says of it."""
        angle = f"{self.rotation:+03d}" if isinstance(self.rotation, int) else f"{self.rotation:+05.1f}"
        return f"rot{angle}{'_flip' if self.flip else ''}"

    def __str__(self) -> str:
        """``+0``, ``-12``, ``+2.5 flipped``; checksums are made of it."""
        return f"{self.rotation:+g}{' flipped' if self.flip else ''}"


ORIGINAL = Variant()
"""The sequence as it was taken."""


AUGMENTATIONS: Mapping[str, tuple[tuple[float, ...], bool]] = {
    "paper": (ROTATIONS, False),
    "stc-nlstm": ((-7.5, -5, -2.5, 2.5, 5, 7.5), True),
    "flip": ((), True),
    "none": ((), False),
}
"""Rotations, and whether everything is flipped too, by name: the STRNN paper's; those of STC-NLSTM (Yu et al.,
Neurocomputing 317, 2018), which flips first and then rotates, 14 variants; the flipped sequence alone; nothing."""


def variants_of(rotations: Sequence[float], flip: bool) -> tuple[Variant, ...]:
    """Return the variants that are to be made of a sequence, each once, the original first.

    Args:
        rotations: degrees of the copies beside the unrotated sequence.
        flip: whether there is also a flipped copy of each of them, and of the unrotated sequence.

    Raises:
        BadInput: an angle is beyond :data:`STEEPEST`, or finer than a tenth of a degree.
    """
    for angle in rotations:
        if not abs(angle) <= STEEPEST:
            raise BadInput(f"--rotations {angle:g}: beyond {STEEPEST} degrees the corners of a crop would be empty")
        if round(angle, 1) != angle:
            raise BadInput(f"--rotations {angle:g}: finer than a tenth of a degree; give one decimal")
    flipped = (False, True) if flip else (False,)
    return tuple(dict.fromkeys(Variant(angle, one) for one in flipped for angle in (0, *rotations)))


def cut_variant(frames: np.ndarray, variant: Variant, pixels: int) -> np.ndarray:
    """Flip every frame of a sequence or none, rotate all by the same angle about the middle, and cut out the crop.

    Args:
        frames: uint8 (frames, n, n, 3), cut with room around the crop (:data:`ROOM`).
        variant: the original is only cut out.
        pixels: side of the crop.

    Returns:
        uint8 (frames, pixels, pixels, 3).
    """
    with _one_at_a_time:
        return _transform(variant, pixels)(images=frames)["images"]


_one_at_a_time = Lock()
"""A composed transform keeps what it draws for a call in itself, so that two threads must not call it at once."""


@cache
def _transform(variant: Variant, pixels: int) -> albumentations.Compose:
    steps: list[albumentations.DualTransform] = []
    if variant.flip:
        steps.append(albumentations.HorizontalFlip(p=1.0))
    if variant.rotation:
        # With equal limits nothing is drawn at random: every frame turns by exactly this angle.
        steps.append(albumentations.Rotate(limit=(variant.rotation, variant.rotation), p=1.0))
    return albumentations.Compose([*steps, albumentations.CenterCrop(pixels, pixels)])
