"""What an STRNN must beat, under the same folds."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import BaseCrossValidator, GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.training.samples import Samples

COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""The linear SVM's C, chosen inside the training folds; the middle one where they are too few to choose by."""

INNER_FOLDS = 5


def apex_svm(samples: Samples, protocol: BaseCrossValidator) -> pd.DataFrame:
    """Test a linear SVM on the maps of the last frame, the apex, of the unrotated sequences.

    Scaling is fitted and C is chosen on the training subjects of each fold, C by inner subject-wise folds.

    Args:
        samples: as the network gets them.
        protocol: the outer folds.

    Returns:
        Columns ``sequence``, ``subject``, ``fold``, ``truth``, ``prediction``.
    """
    apex = np.stack([samples[n][-1].float().numpy().ravel() for n in samples.unrotated])
    return _test(samples, protocol, lambda train, test: _svm(apex, samples, train, test)[0])


def most_frequent(samples: Samples, protocol: BaseCrossValidator) -> pd.DataFrame:
    """Test chance: always answer the most frequent emotion of the training folds. Returns as :func:`apex_svm`."""

    def answer(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        labels = samples.labels.numpy()[samples.unrotated]
        classifier = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(train), 1)), labels[train])
        return classifier.predict(np.zeros((len(test), 1)))

    return _test(samples, protocol, answer)


BASELINES = {"linear SVM on the apex frame's maps": apex_svm, "chance: the most frequent emotion": most_frequent}
"""By the name under which they stand in a run's summary."""


def apex_svm_of_folds(samples: Samples) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, dict[str, float]]]:
    """Return the SVM of :func:`apex_svm` fold by fold.

    Returns:
        A function of the numbers of a fold's training samples, of which the rotated ones are left out, and of its test
        samples. It returns the labels of these and the chosen setting, such as ``{"C": 0.01}``.
    """
    apex = np.stack([samples[n][-1].float().numpy().ravel() for n in samples.unrotated])

    def answer(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        taught, asked = (np.flatnonzero(np.isin(samples.unrotated, numbers)) for numbers in (train, test))
        answers, cost = _svm(apex, samples, taught, asked)
        return answers, {"C": cost}

    return answer


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


def _test(samples: Samples, protocol: BaseCrossValidator, answer) -> pd.DataFrame:  # noqa: ANN001
    entries = [samples.entries[n] for n in samples.unrotated]
    labels, subjects = samples.labels.numpy()[samples.unrotated], samples.subjects[samples.unrotated]
    rows = []
    for fold, (train, test) in enumerate(protocol.split(labels, groups=subjects), start=1):
        for n, prediction in zip(test, answer(train, test), strict=True):
            entry = entries[n]
            rows.append((entry.sequence, entry.subject, fold, entry.emotion, samples.class_names[prediction]))
    return pd.DataFrame(rows, columns=["sequence", "subject", "fold", "truth", "prediction"])
