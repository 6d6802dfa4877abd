"""How well a saliency map finds the nodes that move, on synthetic data, where they are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from data_prep.errors import BadInput
from face_strnn.saliency.explained import Explained, mean_map
from face_strnn.saliency.projections import DIRECTIONS, has_projection, projection_saliency


def localisation(
    explained: Sequence[Explained], checkpoints: list[Path], truth: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Measure how well each kind of saliency finds the nodes that each emotion moves.

    Maps of attributions are means over an emotion's held-out sequences; |G|, the same for all emotions, is a mean over
    networks. Maps of kind ``"control"`` use no trained network, or another
    emotion's.

    Over all nodes, any map that is bright in the middle of the face scores well. The area among the nodes that some
    emotion moves tells more: whether a map finds this emotion's nodes rather than those of other emotions.

    Args:
        explained: the attributed sequences.
        checkpoints: all of the run's.
        truth: emotion -> bool (h, w).

    Returns:
        One row per map: ``saliency`` (its name), ``kind`` (``"network"`` or ``"control"``), ``auc`` (emotion -> area
        under the ROC curve over all nodes) and ``mean`` of it over emotions; ``auc_among_moved`` and
        ``mean_among_moved``: the same over the nodes that some emotion moves, omitting emotions that move all of them.
    """
    emotions = list(truth)
    somewhere = np.any(list(truth.values()), axis=0)
    by_emotion = {emotion: [one for one in explained if one.emotion == emotion] for emotion in emotions}
    rows = []

    def add(name: str, kind: str, maps: Mapping[str, Sequence[np.ndarray]]) -> None:
        row = {"saliency": name, "kind": kind}
        for suffix, among in (("", np.ones_like(somewhere)), ("_among_moved", somewhere)):
            row[f"auc{suffix}"] = auc = {
                emotion: float(np.mean([area_under_curve(one[among], truth[emotion][among]) for one in maps[emotion]]))
                for emotion in emotions
                if not truth[emotion][among].all()
            }
            row[f"mean{suffix}"] = float(np.mean(list(auc.values()))) if auc else None
        rows.append(row)

    def attributed(field: str) -> dict[str, tuple[np.ndarray]]:
        return {emotion: (mean_map(ones, field),) for emotion, ones in by_emotion.items()}

    if has_projection(checkpoints[0]):
        projected = projection_saliency(checkpoints)
        add("|G|, mean over directions", "network", dict.fromkeys(emotions, (projected.mean,)))
        for direction, mean in zip(DIRECTIONS, projected.per_direction.mean(axis=0), strict=True):
            add(f"|G| from the {direction}", "network", dict.fromkeys(emotions, (mean,)))
    add("integrated gradients", "network", attributed("per_node"))
    absolute = attributed("absolute")
    add("integrated gradients, absolute", "network", absolute)
    add("gradient x change, absolute", "network", attributed("gradient"))
    if len(emotions) > 1:
        others = {
            emotion: [one for other in emotions if other != emotion for one in absolute[other]] for emotion in emotions
        }
        add("absolute, of the other emotions", "control", others)
    add("absolute, untrained networks", "control", attributed("untrained"))
    add("change of the maps, no network", "control", attributed("change"))
    add("centre prior, no data", "control", dict.fromkeys(emotions, (centre_prior(somewhere.shape),)))
    return rows


def area_under_curve(saliency: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve over nodes.

    It is the probability that a node that moves has more saliency than one that does not: 1 for a perfect map, 0.5 for
    a map that is the same everywhere or random.

    Args:
        saliency: a number for each node, any scale.
        truth: bool, of the same shape: the nodes that move.

    Raises:
        BadInput: all nodes move, or none does.
    """
    if truth.all() or not truth.any():
        raise BadInput(
            f"{int(truth.sum())} of {truth.size} nodes move: no map can tell them from others; use a finer grid"
        )
    return float(roc_auc_score(truth.ravel(), saliency.ravel()))


def centre_prior(grid: tuple[int, int]) -> np.ndarray:
    """Return a map that only assumes faces in the middle: minus the distance to the grid's centre.

    Args:
        grid: (h, w).

    Returns:
        (h, w), largest in the middle; distances are in shares of the grid's height and width.
    """
    rows, columns = ((np.arange(n) + 0.5) / n - 0.5 for n in grid)
    return -np.hypot(rows[:, None], columns[None])
