"""A fine-tuned run beside the frozen networks that it started from."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.paired import paired_difference


def beside_frozen(classes: Sequence[str], frozen: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return what a summary says of the frozen networks: their figures, and what fine-tuning changed.

    Args:
        classes: the class names.
        frozen: the frozen networks' ``predictions.csv``.
        predictions: that of the fine-tuned ones, over the same sequences and seeds.

    Returns:
        ``accuracy``, ``accuracy_interval`` and ``mean_class_recall`` of the frozen networks; ``difference`` of the
        fine-tuned ones' accuracy to it, ``difference_interval``, ``mcnemar_p`` and ``permutation_p``, see
        :class:`face_strnn.evaluation.paired.PairedDifference`.
    """
    summary, difference = summarise(frozen, classes), paired_difference(frozen, predictions)
    return {
        **{name: summary[name] for name in ("accuracy", "accuracy_interval", "mean_class_recall")},
        "difference": difference.accuracy,
        "difference_interval": None if difference.interval is None else list(difference.interval),
        "mcnemar_p": difference.mcnemar_p,
        "permutation_p": difference.permutation_p,
    }
