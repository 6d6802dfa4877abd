"""What an STRNN must beat, under the same folds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from face_strnn.evaluation.folds import make_folds
from face_strnn.evaluation.predictions import prediction_table
from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.evaluation.settings import Plan
from face_strnn.training.samples import Samples

COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""The linear SVM's C, chosen inside the training folds; the middle one where they are too few to choose by."""

INNER_FOLDS = 5


FoldBaseline = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, dict[str, float]]]
"""Of the numbers of a fold's training samples and of its test samples: the labels of these, and the chosen setting."""


def apex_svm(samples: Samples) -> FoldBaseline:
    """Return a linear SVM on the maps of the last frame, the apex, of the original sequences.

    Scaling is fitted and C is chosen on the training subjects of each fold, C by inner subject-wise folds. Rotated and
    flipped training samples are left out. The setting is such as ``{"C": 0.01}``.
    """
    apex = np.stack([samples[n][-1].float().numpy().ravel() for n in samples.unrotated])

    def fit_and_predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        train, test = (np.flatnonzero(np.isin(samples.unrotated, numbers)) for numbers in (train, test))
        labels, cost = _svm(apex, samples, train, test)
        return labels, {"C": cost}

    return fit_and_predict


def most_frequent(samples: Samples) -> FoldBaseline:
    """Return chance: the prediction is always the most frequent emotion of the training samples."""
    labels = samples.labels.numpy()

    def fit_and_predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        classifier = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(train), 1)), labels[train])
        return classifier.predict(np.zeros((len(test), 1))), {}

    return fit_and_predict


BASELINES = {"linear SVM on the apex frame's maps": apex_svm, "chance: the most frequent emotion": most_frequent}
"""By the name under which they stand in a run's summary."""


def baseline_predictions(
    samples: Samples, plan: Plan, baseline: Callable[[Samples], FoldBaseline]
) -> pd.DataFrame:
    """Test a baseline on the original samples, under the folds of a plan.

    Returns:
        Columns :data:`face_strnn.evaluation.predictions.TEST_COLUMNS`.
    """
    originals = samples.originals()
    fit_and_predict = baseline(originals)
    tables = []
    for fold in make_folds(originals, originals, replace(plan, selection="last")):
        labels, _ = fit_and_predict(fold.train, fold.test)
        entries = originals.subset(fold.test).entries
        tables.append(prediction_table(entries, labels, samples.class_names, fold.number))
    return pd.concat(tables, ignore_index=True)


def _svm(features: np.ndarray, samples: Samples, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the labels of the test sequences, and the C that was chosen."""
    labels, subjects = samples.labels.numpy()[samples.unrotated], samples.subjects[samples.unrotated]
    scaler = StandardScaler().fit(features[train])
    if len(set(labels[train])) == 1:
        return np.full(len(test), labels[train][0]), COSTS[len(COSTS) // 2]
    # With thousands of channels and few sequences the products between sequences are all that a linear SVM needs.
    taught, asked = scaler.transform(features[train]), scaler.transform(features[test])
    svm = SVC(kernel="precomputed", C=COSTS[len(COSTS) // 2])
    n_inner = min(INNER_FOLDS, len(set(subjects[train])))
    inner = list(SubjectKFold(n_inner).split(train, groups=subjects[train])) if n_inner > 1 else []
    if inner and all(len(set(labels[train][part])) > 1 for part, _ in inner):
        svm = GridSearchCV(svm, {"C": COSTS}, cv=inner)
    svm.fit(taught @ taught.T, labels[train])
    cost = svm.best_params_["C"] if isinstance(svm, GridSearchCV) else svm.C
    return svm.predict(asked @ taught.T), cost
