"""What an STRNN must beat, under the same folds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from face_strnn.evaluation.nested import FoldPredictions, LinearKernel, Setting, nested_predictions
from face_strnn.evaluation.predictions import ENSEMBLE_COLUMNS
from face_strnn.training.samples import Samples

COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""The linear SVM's C, chosen inside the training folds; the middle one where they are too few to choose by."""

INNER_FOLDS = 5


def apex_svm(samples: Samples) -> FoldPredictions:
    """Return a linear SVM on the maps of the last frame, the apex, of the original sequences.

    Scaling is fitted and C is chosen on the training subjects of each fold, C by inner subject-wise folds.
    """
    originals = samples.as_taken()
    apex = np.stack([maps[-1].float().numpy().ravel() for maps in originals])

    def predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, Setting]:
        train, test = (np.flatnonzero(np.isin(samples.unrotated, numbers)) for numbers in (train, test))
        kernel = make_pipeline(StandardScaler(), LinearKernel())
        products = np.zeros((len(apex), len(train)), apex.dtype)
        products[train], products[test] = kernel.fit_transform(apex[train]), kernel.transform(apex[test])
        settings = [{"C": cost} for cost in COSTS]
        return nested_predictions(SVC(kernel="precomputed"), settings, products, originals, train, test, INNER_FOLDS)

    return predict


def most_frequent(samples: Samples) -> FoldPredictions:
    """Return chance: always the most frequent emotion of the training folds, the first of equals."""
    labels = samples.labels.numpy()
    return lambda train, test: (np.full(len(test), np.bincount(labels[train]).argmax()), {})


BASELINES = {"linear SVM on the apex frame's maps": apex_svm, "chance: the most frequent emotion": most_frequent}
"""By the name under which they stand in a run's summary."""


def baseline_predictions(name: str, samples: Samples, protocol: BaseCrossValidator) -> pd.DataFrame:
    """Test one of the :data:`BASELINES` on the original sequences.

    Args:
        name: of the baseline.
        samples: as the network gets them.
        protocol: the outer folds.

    Returns:
        Columns ``sequence``, ``subject``, ``fold``, ``truth``, ``prediction``.
    """
    predict, tables = BASELINES[name](samples), []
    for fold, (train, test) in enumerate(protocol.split(samples.labels, groups=samples.subjects), start=1):
        test = np.intersect1d(test, samples.unrotated)
        tables.append(fold_table(samples, fold, test, predict(train, test)[0]))
    return pd.concat(tables, ignore_index=True)


def fold_table(samples: Samples, fold: int, test: np.ndarray, labels: Sequence[int]) -> pd.DataFrame:
    """Return the predictions of one fold as a table.

    Args:
        samples: of which the fold is.
        fold: its number, from 1.
        test: numbers of its test samples.
        labels: those predicted for them.

    Returns:
        Columns as of :func:`baseline_predictions`.
    """
    rows = [
        (entry.sequence, entry.subject, fold, entry.emotion, samples.class_names[label])
        for entry, label in zip((samples.entries[n] for n in test), labels, strict=True)
    ]
    return pd.DataFrame(rows, columns=ENSEMBLE_COLUMNS)
