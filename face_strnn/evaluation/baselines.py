"""Baselines under the same folds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from face_strnn.evaluation.folds import make_folds
from face_strnn.evaluation.nested import FoldPredictions, LinearKernel, Setting, nested_predictions
from face_strnn.evaluation.predictions import prediction_table
from face_strnn.evaluation.settings import Plan
from face_strnn.training.samples import Samples

COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""The linear SVM's C, chosen within the training folds; the middle one if there are too few inner folds."""

INNER_FOLDS = 5


def apex_svm(samples: Samples) -> FoldPredictions:
    """Return a linear SVM on the maps of the last frame, the apex, of the original sequences.

    Scaling is fitted and C is chosen on the training subjects of each fold, C by inner subject-wise folds.
    """
    originals = samples.originals()
    apex = np.stack([maps[-1].float().numpy().ravel() for maps in originals])

    def predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, Setting]:
        train, test = (np.flatnonzero(np.isin(samples.original_numbers, numbers)) for numbers in (train, test))
        kernel = make_pipeline(StandardScaler(), LinearKernel())
        products = np.zeros((len(apex), len(train)), apex.dtype)
        products[train], products[test] = kernel.fit_transform(apex[train]), kernel.transform(apex[test])
        settings = [{"C": cost} for cost in COSTS]
        return nested_predictions(SVC(kernel="precomputed"), settings, products, originals, train, test, INNER_FOLDS)

    return predict


def most_frequent(samples: Samples) -> FoldPredictions:
    """Return chance: always the most frequent emotion of the training folds, the first of equally frequent ones."""
    labels = samples.labels.numpy()
    return lambda train, test: (np.full(len(test), np.bincount(labels[train]).argmax()), {})


BASELINES = {"linear SVM on the apex frame's maps": apex_svm, "chance: the most frequent emotion": most_frequent}
"""By their name in a run's summary."""


def baseline_predictions(
    samples: Samples,
    plan: Plan,
    baseline: Callable[[Samples], FoldPredictions],
    on_fold: Callable[[int, int], None] = lambda *_: None,
) -> pd.DataFrame:
    """Test a baseline, such as one of the :data:`BASELINES`, on the original samples under the folds of a plan.

    Args:
        samples: of all variants.
        plan: its protocol and folds.
        baseline: what is tested.
        on_fold: called after every fold with the number of folds done and of all.

    Returns:
        Columns :data:`face_strnn.evaluation.predictions.ENSEMBLE_COLUMNS`.
    """
    originals, tables = samples.originals(), []
    predict = baseline(originals)
    folds = make_folds(originals, originals, replace(plan, selection="last"))
    for done, fold in enumerate(folds, start=1):
        labels, _ = predict(fold.train, fold.test)
        entries = originals.subset(fold.test).entries
        tables.append(prediction_table(entries, labels, samples.class_names, fold.number))
        on_fold(done, len(folds))
    return pd.concat(tables, ignore_index=True)
