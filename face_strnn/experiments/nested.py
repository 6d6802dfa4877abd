"""Settings of a baseline chosen inside the training folds: no test subject's data or label has a part in it."""

from collections.abc import Callable, Sequence

import numpy as np

from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.training.samples import Samples

INNER_FOLDS = 3

Setting = dict[str, float]
"""Such as ``{"C": 0.01}``."""

Learn = Callable[[np.ndarray, np.ndarray, Setting], np.ndarray]
"""Learns from samples, by their numbers, and returns the labels of others, under a setting."""


def nested_answers(
    samples: Samples, train: np.ndarray, test: np.ndarray, settings: Sequence[Setting], learn: Learn
) -> tuple[np.ndarray, Setting]:
    """Choose a setting on the training subjects, learn from all of them, and answer the test samples.

    Args:
        samples: for their labels and subjects.
        train: numbers of a fold's training samples, all variants among them.
        test: numbers of its test samples.
        settings: those to choose from.
        learn: see :data:`Learn`.

    Returns:
        The labels (len(test),) and the setting.
    """
    labels = samples.labels.numpy()

    def learn_classes(taught: np.ndarray, asked: np.ndarray, setting: Setting) -> np.ndarray:
        if len(set(labels[taught])) == 1:
            return np.full(len(asked), labels[taught][0])
        return learn(taught, asked, setting)

    setting = _best(samples, train, settings, learn_classes)
    return learn_classes(train, test, setting), setting


def _best(samples: Samples, train: np.ndarray, settings: Sequence[Setting], learn: Learn) -> Setting:
    """Return the setting of the highest mean accuracy over the inner folds, the first of equals.

    Where the training subjects are too few to choose by, that is the middle one.
    """
    labels, subjects = samples.labels.numpy(), samples.subjects[train]
    n_inner = min(INNER_FOLDS, len(set(subjects)))
    if n_inner < 2 or len(settings) == 1:
        return settings[len(settings) // 2]
    inner = [
        (train[taught], np.intersect1d(train[held_out], samples.unrotated))
        for taught, held_out in SubjectKFold(n_inner).split(train, groups=subjects)
    ]

    def mean_accuracy(setting: Setting) -> float:
        return float(np.mean([(learn(taught, asked, setting) == labels[asked]).mean() for taught, asked in inner]))

    return max(settings, key=mean_accuracy)
