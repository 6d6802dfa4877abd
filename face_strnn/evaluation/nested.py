"""Baselines whose settings are chosen by subject-wise folds within the training set, without test subjects."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.model_selection import GridSearchCV

from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.training.samples import Samples

Setting = dict[str, float]
"""Such as ``{"C": 0.01}``."""

FoldPredictions = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Setting]]
"""Maps the numbers of a fold's training samples and of its test samples to the labels predicted for the latter, and
the setting chosen."""


class LinearKernel(TransformerMixin, BaseEstimator):
    """Products with the training samples, for ``SVC(kernel="precomputed")``.

    With few sequences of thousands of channels, the products are computed once for all settings.

    Args:
        normalised: divide them by the mean squared length of a training sample, so that the cost C means the same for
            few channels and for many.
    """

    def __init__(self, normalised: bool = False) -> None:
        self.normalised = normalised

    def fit(self, X: np.ndarray, y: object = None) -> "LinearKernel":
        """Keep the training samples, (N, channels)."""
        self.training_ = X
        self.unit_ = np.square(X).sum(1).mean() or 1.0 if self.normalised else 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return (len(X), N) products."""
        return X @ self.training_.T / self.unit_


def nested_predictions(
    classifier: ClassifierMixin,
    settings: Sequence[Setting],
    features: np.ndarray,
    samples: Samples,
    train: np.ndarray,
    test: np.ndarray,
    n_inner: int = 3,
) -> tuple[np.ndarray, Setting]:
    """Choose a setting on the training subjects, fit it to all of them, and predict the test samples.

    Inner folds are fitted to all variants of a sequence and scored on the original ones alone.

    Args:
        classifier: scikit-learn's, or one with its interface.
        settings: to choose from: the one with the highest mean accuracy over the inner folds, the first of equals; the
            middle one if there are too few training subjects for inner folds.
        features: (N, ...), a row for each sample.
        samples: their labels and subjects.
        train, test: numbers of a fold's training samples and test samples.
        n_inner: number of inner folds.

    Returns:
        The labels (len(test),) and the setting.

    Raises:
        BadInput: what the classifier refuses, whichever setting it is fitted with.
    """
    labels, subjects = samples.labels.numpy()[train], samples.subjects[train]
    setting, n_inner = settings[len(settings) // 2], min(n_inner, len(set(subjects)))
    if len(set(labels)) == 1:
        return np.full(len(test), labels[0]), setting
    originals = np.flatnonzero(np.isin(train, samples.original_numbers))
    folds = SubjectKFold(n_inner).split(train, groups=subjects) if n_inner > 1 else []
    inner = [(fitted, np.intersect1d(scored, originals)) for fitted, scored in folds]
    if inner and all(len(set(labels[fitted])) > 1 for fitted, _ in inner):
        grid = [{name: [value] for name, value in one.items()} for one in settings]
        search = GridSearchCV(classifier, grid, cv=inner, error_score="raise").fit(features[train], labels)
        return search.predict(features[test]), search.best_params_
    return classifier.set_params(**setting).fit(features[train], labels).predict(features[test]), setting
