"""Position of the mean synthetic face in its crop, and the cells of a grid over the crop that its expressions move.

This is ground truth for saliency maps, which real faces do not have. It belongs to the mean face, whose crop equals
that of the synthetic sequences up to :data:`SCATTER`.
"""

from collections.abc import Iterable

import numpy as np

from data_prep.faces.crops import MARGIN
from data_prep.synthetic.action_units import activation
from data_prep.synthetic.expressions import PROTOTYPES
from data_prep.synthetic.shape import TEMPLATE, expressed, moved_landmarks

BOX_SIDE = 282.0
"""Longer side of MTCNN's box around a drawn face, in template units: its mean over 74 drawn sequences."""

BOX_MIDDLE = (-4.0, 30.6)
"""The middle of that box, x and y in template units; MTCNN's boxes lie a little to the left."""

SCATTER = 0.018
"""Standard deviation over drawn sequences of where a landmark lies in the crop, as a share of the crop's side: an
eighth of a cell of a 7 x 7 grid."""


def in_crop(points: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """Transform points of the mean face to coordinates of its crop.

    Args:
        points: (n, 2) or (n, 3), template units; depth is left out.
        margin: the crop's, see :func:`data_prep.faces.crops.sequence_crop`.

    Returns:
        (n, 2): x to the right and y down as shares of the crop's side, from its top-left corner.
    """
    return (np.asarray(points)[:, :2] - BOX_MIDDLE) / (BOX_SIDE * (1 + margin)) + 0.5


def neutral_landmarks(margin: float = MARGIN) -> np.ndarray:
    """Return the mean face's 68 landmarks in its crop, (68, 2) as :func:`in_crop` has it, in iBUG order."""
    return in_crop(TEMPLATE, margin)


def moved_cells(units: Iterable[str | int], grid: tuple[int, int] = (7, 7), margin: float = MARGIN) -> np.ndarray:
    """Return the cells that contain, before or after its motion, a landmark moved by one of the action units.

    A landmark closer than :data:`SCATTER` to a cell's edge counts in both cells: on many faces it lies in the other.

    Args:
        units: names such as ``12`` or ``"L14"``.
        grid: (h, w) cells over the crop.
        margin: the crop's.

    Returns:
        bool (h, w).

    Example:
        >>> moved_cells(["L14"]).nonzero()  # the left corner of the mouth, on the right of the image
        (array([4, 4, 5, 5]), array([3, 4, 3, 4]))
    """
    moved = np.zeros(grid, bool)
    for unit in units:
        landmarks = list(moved_landmarks(unit))
        for strength in (0.0, 1.0):
            places = in_crop(expressed(TEMPLATE, activation({unit: strength}))[landmarks], margin)
            for shift in SCATTER * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]):
                columns, rows = np.floor((places + shift) * (grid[1], grid[0])).astype(int).T
                inside = (rows >= 0) & (rows < grid[0]) & (columns >= 0) & (columns < grid[1])
                moved[rows[inside], columns[inside]] = True
    return moved


def emotion_cells(emotion: str, grid: tuple[int, int] = (7, 7), margin: float = MARGIN) -> np.ndarray:
    """Return the cells that the action units of an emotion's prototype move, bool (h, w).

    Contempt, which shows on one side, counts on both, because either side is as likely. Units that only come with an
    emotion now and then (:data:`data_prep.synthetic.expressions.COMPANIONS`) do not count.
    """
    return moved_cells(PROTOTYPES[emotion], grid, margin)
