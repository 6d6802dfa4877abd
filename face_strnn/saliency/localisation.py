"""How well a saliency map finds the places that are known to move, where they are known: on the stand-in data."""

import numpy as np
from sklearn.metrics import roc_auc_score

from data_prep.errors import BadInput


def area_under_curve(saliency: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve over nodes.

    It is the probability that a place that moves has more saliency than one that does not: 1 for a perfect map, 0.5 for
    a map that is the same everywhere or random.

    Args:
        saliency: a number for each node, any scale.
        truth: bool, of the same shape: the places that move.

    Raises:
        BadInput: all places move or none does, so that there is nothing to find.
    """
    if truth.all() or not truth.any():
        raise BadInput(
            f"{int(truth.sum())} of {truth.size} places move: no map can tell them from others; use a finer grid"
        )
    return float(roc_auc_score(truth.ravel(), saliency.ravel()))


def centre_prior(grid: tuple[int, int]) -> np.ndarray:
    """Return a map that knows nothing but that faces are in the middle: minus the distance to the grid's centre.

    Args:
        grid: (h, w).

    Returns:
        (h, w), largest in the middle; distances are in shares of the grid's height and width.
    """
    rows, columns = ((np.arange(n) + 0.5) / n - 0.5 for n in grid)
    return -np.hypot(rows[:, None], columns[None])
