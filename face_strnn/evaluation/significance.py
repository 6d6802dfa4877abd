"""Whether two methods differ, when the test sequences come from few subjects.

Both methods are tested on the same sequences, so everything here is paired; and sequences of one subject are alike, so
subjects are resampled or exchanged and not sequences. (The interval of a single accuracy is
:func:`face_strnn.evaluation.metrics.subject_bootstrap`.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, permutation_test

from face_strnn.evaluation.metrics import RESAMPLES, accuracy, bootstrap_interval, fold_accuracies, summarise

PERMUTATIONS = 20_000
"""Sign-flips that are drawn where there are more of them; up to 14 subjects that differ, all are counted."""


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> float:
    """Return the exact two-sided p of McNemar's test: is one method right where the other is wrong more often?

    It treats sequences as independent, although those of one subject are not: papers report it, but rely on
    :func:`sign_flip_test`.

    Args:
        first_right, second_right: (N,) whether each method is right, sequence by sequence.

    Returns:
        p; 1 where the methods never differ.

    Reference:
        Q. McNemar, Psychometrika 12, 1947; exact form: the binomial test on the sequences in which they differ.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def sign_flip_test(differences: Sequence[float], *, n_permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Return the two-sided p of the permutation test over subjects.

    If the methods were alike, each subject's difference could as well have the other sign. p is the share of all
    choices of signs whose sum is as far from 0 as the one found. Where there are more than ``n_permutations`` of them,
    as many are drawn, and the one found counts among them, so that p is never 0.

    Args:
        differences: (S,) for each subject the number of sequences in which the second method is right less that of the
            first, or any multiple of it. Whole numbers keep ties between choices of signs exact.
        n_permutations: sign choices that are drawn where not all are counted.
        seed: of the draws.

    Returns:
        p; 1 where no subject differs, or a single one.
    """
    # A difference of 0 has no sign: leaving it out changes no share, and the rest can more often be counted in full.
    differing = np.asarray([difference for difference in differences if difference], float)
    if len(differing) < 2:  # one difference is as far from 0 with either sign
        return 1.0
    found = permutation_test(
        (differing, np.zeros_like(differing)),
        lambda first, second, axis: (first - second).sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_permutations,
        batch=1000,
        rng=seed,
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's method, in the order given.

    Reference:
        S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def paired_bootstrap(
    differences: Sequence[float], counts: Sequence[int], *, n_resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """Return the interval of a difference in accuracy by :func:`face_strnn.evaluation.metrics.bootstrap_interval`.

    Args:
        differences: (S,) as for :func:`sign_flip_test`.
        counts: (S,) number of test sequences of each subject.
        n_resamples, seed: of the bootstrap.

    Returns:
        (low, high) as fractions; None with fewer than two subjects.
    """
    differences, counts = np.asarray(differences, float), np.asarray(counts, float)
    return bootstrap_interval(
        lambda draws: (draws @ differences) / (draws @ counts), len(counts), n_resamples=n_resamples, seed=seed
    )


@dataclass(frozen=True)
class PairedDifference:
    """How one method differs from another on the same test sequences. Fractions from 0 to 1.

    Attributes:
        accuracy: that of the method less that of the other.
        interval: 95 %, paired bootstrap over subjects; None with one subject.
        mcnemar_p: of the exact test over sequences; None unless both are of one seed.
        permutation_p: of the sign-flip test over subjects.
    """

    accuracy: float
    interval: tuple[float, float] | None
    mcnemar_p: float | None
    permutation_p: float


def paired_difference(first: pd.DataFrame, predictions: pd.DataFrame) -> PairedDifference:
    """Return how a method differs from the first one.

    Args:
        first, predictions: one row per sequence and seed, columns ``sequence``, ``subject``, ``seed``, ``truth``,
            ``prediction``; without ``seed`` one row per sequence, an ensemble's. Over the same sequences. A sequence
            counts by the share of seeds that are right.
    """
    seeds, seeds_first = _right(predictions), _right(first)
    # A sequence counts in whole parts of 1, of which every number of seeds has a whole number: in thirds, rounding
    # would tell sums apart that are equal.
    parts = math.lcm(*seeds["size"], *seeds_first["size"])
    right, right_first = (one["sum"] * (parts // one["size"]) for one in (seeds, seeds_first))
    difference = right - right_first.loc[right.index]
    by_subject = difference.groupby("subject", sort=True).agg(["sum", "size"])
    single_seed = _n_seeds(predictions) == 1 == _n_seeds(first)
    return PairedDifference(
        int(difference.sum()) / (parts * len(difference)),
        paired_bootstrap(by_subject["sum"].to_numpy() / parts, by_subject["size"].to_numpy()),
        mcnemar(right_first.loc[right.index] == parts, right == parts) if single_seed else None,
        sign_flip_test(by_subject["sum"].to_numpy()),
    )


def _n_seeds(predictions: pd.DataFrame) -> int:
    return predictions["seed"].nunique() if "seed" in predictions else 1


def _right(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return, for each sequence, the number of seeds whose prediction is right, ``sum``, and of all seeds, ``size``."""
    right = (predictions["truth"] == predictions["prediction"]).astype(int)
    return right.groupby([predictions["subject"], predictions["sequence"]]).agg(["sum", "size"])


def beside_frozen(classes: Sequence[str], frozen: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return what a summary says of the frozen networks: their figures, and what fine-tuning changed.

    Args:
        classes: the class names.
        frozen: the frozen networks' ``predictions.csv``.
        predictions: that of the fine-tuned ones, over the same sequences and seeds; of ensembles both without seeds.

    Returns:
        ``accuracy``, ``accuracy_interval`` and ``mean_class_recall`` of the frozen networks; ``difference`` of the
        fine-tuned ones' accuracy to it, ``difference_interval``, ``mcnemar_p`` and ``permutation_p``, see
        :class:`PairedDifference`.
    """
    summary, difference = summarise(frozen, classes), paired_difference(frozen, predictions)
    return {
        **{name: summary[name] for name in ("accuracy", "accuracy_interval", "mean_class_recall")},
        "difference": difference.accuracy,
        "difference_interval": None if difference.interval is None else list(difference.interval),
        "mcnemar_p": difference.mcnemar_p,
        "permutation_p": difference.permutation_p,
    }


@dataclass(frozen=True)
class StandardDeviations:
    """The variation of accuracies, over seeds and over folds. Fractions from 0 to 1.

    Attributes:
        mean_over_seeds: of the accuracy over all test sequences.
        std_over_seeds: of the sample (n - 1): what drawing other initial parameters changes; None with one seed.
        std_over_folds: of the sample, within a seed, averaged over seeds as variances are: what testing other subjects
            changes; None with one fold.
    """

    mean_over_seeds: float
    std_over_seeds: float | None
    std_over_folds: float | None


def standard_deviations(predictions: pd.DataFrame) -> StandardDeviations:
    """Return the standard deviations over seeds and, within a seed, over folds.

    Args:
        predictions: one row per sequence and seed, columns ``seed``, ``fold``, ``truth``, ``prediction``.
    """
    by_seed = [rows for _, rows in predictions.groupby("seed")]
    accuracies = [accuracy(rows) for rows in by_seed]
    within = [np.var(folds, ddof=1) for rows in by_seed if len(folds := fold_accuracies(rows)) > 1]
    return StandardDeviations(
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        float(np.sqrt(np.mean(within))) if within else None,
    )
