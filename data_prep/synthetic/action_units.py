"""The facial action units of the synthetic face, and the landmarks that each one moves.

Facial action coding (FACS) describes an expression by the muscles that make it. A unit here is a set of displacements
of the landmarks of one half of the face; folds and bulges of the skin follow in :mod:`data_prep.synthetic.relief`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
"""``MIRROR[i]`` is the landmark that stands where landmark ``i`` does on the other half of the face (iBUG order)."""


@dataclass(frozen=True)
class ActionUnit:
    """One action unit at full strength.

    Attributes:
        number: its number in FACS.
        name: its name in FACS.
        moves: landmark of the subject's right half (left in the image) or of the midline -> (outward, down), in
            template units: the distance between the pupils is 104. The other half is the mirror image.
    """

    number: int
    name: str
    moves: Mapping[int, tuple[float, float]]


ACTION_UNITS = (
    ActionUnit(1, "inner brow raiser", {21: (0, -14), 20: (0, -11), 19: (0, -5), 18: (0, -1)}),
    ActionUnit(2, "outer brow raiser", {17: (1, -11), 18: (0, -14), 19: (0, -11), 20: (0, -4)}),
    ActionUnit(
        4,
        "brow lowerer",
        {21: (-7, 10), 20: (-5, 10), 19: (-3, 8), 18: (-1, 4), 17: (0, 1), 37: (0, 1), 38: (0, 1.5), 27: (0, 1)},
    ),
    ActionUnit(5, "upper lid raiser", {37: (0, -5), 38: (0, -5), 36: (0, -0.5)}),
    ActionUnit(
        6, "cheek raiser", {40: (0, -3.5), 41: (0, -4), 37: (0, 1), 38: (0, 1), 36: (1, 0.5), 17: (0, 2), 18: (0, 1.5)}
    ),
    ActionUnit(7, "lid tightener", {40: (0, -4), 41: (0, -3.5), 37: (0, 2), 38: (0, 2)}),
    ActionUnit(
        9,
        "nose wrinkler",
        {31: (2, -6), 32: (1, -6), 33: (0, -5), 30: (0, -5), 29: (0, -3), 21: (-3, 7), 20: (-2, 6), 19: (0, 3)}
        | {49: (0, -6), 50: (0, -8), 51: (0, -7), 61: (0, -4), 62: (0, -3.5), 40: (0, -2.5), 41: (0, -1.5)}
        | {37: (0, 1.5), 38: (0, 2), 48: (1, -1), 60: (1, -1)},
    ),
    ActionUnit(
        10,
        "upper lip raiser",
        {49: (1, -8), 50: (1, -9), 51: (0, -7), 61: (0, -7), 62: (0, -6), 31: (2, -3), 32: (0, -2), 48: (1, -3)},
    ),
    ActionUnit(
        12,
        "lip corner puller",
        {48: (15, -15), 60: (15, -14), 49: (8, -7), 50: (2, -1), 51: (0, 1), 61: (4, -1), 62: (0, 2), 67: (4, 0)}
        | {66: (0, 2), 59: (9, -6), 58: (3, 0), 57: (0, 2), 31: (3, -1), 3: (3, -1), 4: (3, -1), 2: (2, 0)},
    ),
    ActionUnit(
        14,
        "dimpler",
        {48: (10, -6), 60: (10, -5), 49: (6, -1), 61: (2, 1), 50: (1, 2), 59: (5, -3), 58: (1, -2), 67: (1, -1)},
    ),
    ActionUnit(
        15,
        "lip corner depressor",
        {48: (3, 14), 60: (2, 13), 49: (1, 6), 50: (0, 1), 59: (3, 10), 58: (1, 3), 57: (0, -1), 61: (0, 1)}
        | {67: (0, 1)},
    ),
    ActionUnit(
        16,
        "lower lip depressor",
        {57: (0, 9), 58: (2, 10), 59: (2, 6), 66: (0, 9), 67: (2, 9), 48: (2, 3), 60: (1, 3)},
    ),
    ActionUnit(
        17,
        "chin raiser",
        {57: (0, -7), 58: (0, -6), 59: (0, -2), 66: (0, -5), 67: (0, -4), 61: (0, -4), 62: (0, -5), 50: (0, -3)}
        | {51: (0, -4), 48: (0, 3), 60: (0, 3), 8: (0, -5), 7: (0, -4)},
    ),
    ActionUnit(
        20,
        "lip stretcher",
        {48: (17, 4), 60: (17, 4), 49: (10, 3), 50: (3, 2), 59: (11, 2), 58: (5, -1), 57: (0, -2), 61: (4, 0)}
        | {67: (4, 1), 51: (0, 2), 3: (2, 0), 4: (3, 1)},
    ),
    ActionUnit(
        23,
        "lip tightener",
        {48: (-6, 1), 60: (-4, 0), 49: (-4, 4), 50: (-2, 5), 51: (0, 5), 57: (0, -7), 58: (-3, -6), 59: (-5, -4)},
    ),
    ActionUnit(24, "lip pressor", {49: (0, 3), 50: (0, 5), 51: (0, 5), 57: (0, -6), 58: (0, -6), 59: (0, -4)}),
    ActionUnit(
        25,
        "lips part",
        {66: (0, 7), 67: (0, 6), 57: (0, 6), 58: (0, 5), 59: (0, 2), 61: (0, -2), 62: (0, -2), 50: (0, -2)}
        | {51: (0, -2)},
    ),
    ActionUnit(
        26,
        "jaw drop",
        {8: (0, 24), 7: (0, 23), 6: (-1, 20), 5: (-2, 14), 4: (-2, 8), 3: (-1, 3), 57: (0, 24), 58: (-1, 22)}
        | {59: (-2, 14), 66: (0, 25), 67: (0, 23), 48: (-4, 6), 60: (-4, 6), 49: (-2, 1), 61: (0, -2), 62: (0, -2)}
        | {50: (0, -2), 51: (0, -2)},
    ),
    ActionUnit(
        27,
        "mouth stretch",
        {8: (0, 16), 7: (0, 15), 6: (-1, 13), 5: (-2, 9), 4: (-2, 5), 57: (0, 17), 58: (-2, 15), 59: (-3, 10)}
        | {66: (0, 18), 67: (-1, 16), 48: (-6, 4), 60: (-6, 4), 61: (0, -3), 62: (0, -3), 50: (0, -4), 51: (0, -4)},
    ),
)
"""Every unit that the face knows."""

ROW_OF_UNIT = {unit.number: row for row, unit in enumerate(ACTION_UNITS)}

LIP_PARTERS = np.array([unit.number in (16, 25, 26, 27) for unit in ACTION_UNITS])
"""bool (units,): units without an opposite. Noise on them would part the lips of half of all faces at rest."""
SIDES = ("R", "L")
"""The subject's right half (left in the image), then the subject's left half."""


def activation(units: Mapping[str | int, float]) -> np.ndarray:
    """Turn named strengths into the array that the face is drawn from.

    Args:
        units: name -> strength, where 1 is a full, clear movement: ``{"6": 0.8, "12": 1.0, "L14": 0.3}``. A letter in
            front, R or L, moves one half of the face.

    Returns:
        (units, 2) float64, rows as in :data:`ACTION_UNITS`, columns as in :data:`SIDES`.

    Raises:
        KeyError: the face has no such unit.

    Example:
        >>> activation({"L14": 0.5})[ROW_OF_UNIT[14]].tolist()
        [0.0, 0.5]
    """
    strengths = np.zeros((len(ACTION_UNITS), 2))
    for unit, strength in units.items():
        text = str(unit)
        sides = SIDES.index(text[0]) if text[:1] in SIDES else slice(None)
        digits = text.lstrip("RL")
        if not digits.isdigit() or int(digits) not in ROW_OF_UNIT:
            raise KeyError(f"no action unit {text!r}; the face knows {', '.join(map(str, ROW_OF_UNIT))}")
        strengths[ROW_OF_UNIT[int(digits)], sides] += strength
    return strengths


def saturate(strengths: np.ndarray) -> np.ndarray:
    """Bound strengths as skin bounds muscles: towards 1.3 above, and -0.7 below, where a unit's opposite takes over.

    Close to the identity between -0.2 and 0.4, and smooth everywhere.
    """
    return np.where(strengths > 0, 1.3 * np.tanh(strengths / 1.3), 0.7 * np.tanh(strengths / 0.7))


def _displacements() -> np.ndarray:
    table = np.zeros((len(ACTION_UNITS), 2, 68, 2))
    for row, unit in enumerate(ACTION_UNITS):
        for landmark, (outward, down) in unit.moves.items():
            if MIRROR[landmark] == landmark:
                # Each half carries half of what happens on the midline, so that one half alone pulls it half-way.
                table[row, :, landmark] = (0.0, down / 2)
            else:
                table[row, 0, landmark] = (-outward, down)
                table[row, 1, MIRROR[landmark]] = (outward, down)
    return table


DISPLACEMENTS = _displacements()
"""(units, 2 sides, 68, 2): x to the right and y down in the image, per unit of strength, in template units."""
