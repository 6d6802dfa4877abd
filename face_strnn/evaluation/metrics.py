"""Metrics of a table of predictions: accuracy, class recalls, confusions, and bootstrap intervals.

All results are fractions from 0 to 1. A value that does not exist (the recall of a class that never occurs, the
standard deviation over a single fold, an interval over a single subject) is None, never 0 or 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

RESAMPLES = 2000
CONFIDENCE = 0.95


def confusion_matrix(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Count the predictions.

    Args:
        predictions: one row per tested sequence, columns ``truth`` and ``prediction``.
        classes: the C class names, in the order wanted.

    Returns:
        (C, C) int array; rows are the truth, columns the prediction.

    Raises:
        ValueError: the table is empty or holds a label that is not in ``classes``.
    """
    if predictions.empty:
        raise ValueError("there are no predictions")
    unknown = (set(predictions["truth"]) | set(predictions["prediction"])) - set(classes)
    if unknown:
        raise ValueError(f"labels {sorted(map(str, unknown))} are not among the classes {list(classes)}")
    return sklearn_confusion_matrix(predictions["truth"], predictions["prediction"], labels=list(classes))


def accuracy(predictions: pd.DataFrame) -> float:
    """Return the fraction of rows, pooled over all folds, whose prediction is the truth."""
    return float((predictions["truth"] == predictions["prediction"]).mean())


def fold_accuracies(predictions: pd.DataFrame) -> list[float]:
    """Return the accuracy of each fold, in ascending order of the column ``fold``."""
    correct = predictions["truth"] == predictions["prediction"]
    return [float(value) for value in correct.groupby(predictions["fold"]).mean()]


def class_recalls(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, float | None]:
    """Return each class's recall from a (C, C) confusion matrix; None for a class that never occurs."""
    return {
        name: float(row[column] / row.sum()) if row.sum() else None
        for column, (name, row) in enumerate(zip(classes, confusion, strict=True))
    }


def mean_class_recall(confusion: np.ndarray) -> float:
    """Return the mean recall over the classes that occur (UAR, scikit-learn's balanced accuracy).

    Args:
        confusion: (C, C) counts, rows truth, at least one of them not zero.
    """
    return float(_pooled_mean_class_recall(confusion[None])[0])


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], n_subjects: int, *, n_resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of a statistic, resampling subjects rather than sequences.

    Sequences of one subject are alike, so resampling sequences would give intervals that are too narrow. Each
    resample draws as many subjects as there are, with replacement. (:func:`scipy.stats.bootstrap` draws positions
    instead of counts: other intervals for the same seed, and many times slower here.)

    Args:
        statistic: maps draws, an int array (B, S) of how often each resample draws each subject, to (B,) values.
        n_subjects: S.
        n_resamples: B.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        (low, high); None with fewer than two subjects.
    """
    if n_subjects < 2:
        return None
    draws = np.random.default_rng(seed).multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_resamples)
    low, high = np.quantile(statistic(draws), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def subject_bootstrap(
    predictions: pd.DataFrame, classes: Sequence[str], *, n_resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return the intervals of accuracy and mean class recall by :func:`bootstrap_interval`.

    A resample pools all sequences of the subjects drawn; its mean class recall is over the classes that occur in it.

    Args:
        predictions: one row per tested sequence, columns ``subject``, ``truth``, ``prediction``.
        classes: the C class names.
        n_resamples, seed: see :func:`bootstrap_interval`.

    Returns:
        ``accuracy_interval`` and ``mean_class_recall_interval``, each (low, high), or None with one subject.
    """
    by_subject = _confusions_by_subject(predictions, classes)  # (S, C, C)

    def interval(statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float] | None:
        def resampled(draws: np.ndarray) -> np.ndarray:
            pooled = draws @ by_subject.reshape(len(by_subject), -1)
            return statistic(pooled.reshape(-1, *by_subject.shape[1:]))

        return bootstrap_interval(resampled, len(by_subject), n_resamples=n_resamples, seed=seed)

    return {
        "accuracy_interval": interval(_pooled_accuracy),
        "mean_class_recall_interval": interval(_pooled_mean_class_recall),
    }


def summarise(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, object]:
    """Return the keys of a run's ``summary.json`` that follow from its predictions, ready for JSON.

    Args:
        predictions: one row per tested sequence, columns ``sequence``, ``subject``, ``fold``, ``truth``,
            ``prediction``.
        classes: the C class names, in the network's order.

    Returns:
        ``accuracy`` (pooled over folds), ``fold_accuracies`` in order of the folds, ``mean_fold_accuracy``,
        ``std_fold_accuracy`` (of the sample, n - 1; None with one fold), ``mean_class_recall``, ``class_recalls``,
        ``confusion_matrix`` (lists, rows truth), ``accuracy_interval`` and ``mean_class_recall_interval`` (95 %,
        [low, high]; None with one subject), ``n_sequences`` and ``n_subjects`` (each counted once).
    """
    confusion = confusion_matrix(predictions, classes)
    folds = fold_accuracies(predictions)
    intervals = subject_bootstrap(predictions, classes)
    return {
        "accuracy": accuracy(predictions),
        "fold_accuracies": folds,
        "mean_fold_accuracy": float(np.mean(folds)),
        "std_fold_accuracy": float(np.std(folds, ddof=1)) if len(folds) > 1 else None,
        "mean_class_recall": mean_class_recall(confusion),
        **{name: None if interval is None else list(interval) for name, interval in intervals.items()},
        "class_recalls": class_recalls(confusion, classes),
        "confusion_matrix": confusion.tolist(),
        "n_sequences": int(predictions["sequence"].nunique()),
        "n_subjects": int(predictions["subject"].nunique()),
    }


def _confusions_by_subject(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return (S, C, C) counts, one confusion matrix per subject in order of appearance."""
    subject, subjects = pd.factorize(predictions["subject"])
    position = pd.Index(classes)
    shape = (len(subjects), len(classes), len(classes))
    cells = np.ravel_multi_index(
        (subject, position.get_indexer(predictions["truth"]), position.get_indexer(predictions["prediction"])), shape
    )
    return np.bincount(cells, minlength=np.prod(shape)).reshape(shape)


def _pooled_accuracy(confusions: np.ndarray) -> np.ndarray:
    """(B, C, C) counts -> (B,) accuracies."""
    return np.trace(confusions, axis1=1, axis2=2) / confusions.sum(axis=(1, 2))


def _pooled_mean_class_recall(confusions: np.ndarray) -> np.ndarray:
    """(B, C, C) counts -> (B,) mean recalls over the classes that occur in each."""
    correct = np.diagonal(confusions, axis1=1, axis2=2)  # (B, C)
    occurrences = confusions.sum(axis=2)  # (B, C)
    recalls = correct / np.maximum(occurrences, 1)  # 0 where a class is absent, which adds nothing to the sum
    return recalls.sum(axis=1) / (occurrences > 0).sum(axis=1)
