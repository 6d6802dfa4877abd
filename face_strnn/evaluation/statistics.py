"""Whether two methods differ, when the test sequences come from few subjects.

Both methods are tested on the same sequences, so everything here is paired; and sequences of one subject are alike, so
subjects are resampled or exchanged and not sequences. (The interval of a single accuracy is
:func:`face_strnn.evaluation.metrics.subject_bootstrap`.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, permutation_test

from face_strnn.evaluation.metrics import CONFIDENCE, RESAMPLES, accuracy, fold_accuracies

PERMUTATIONS = 20_000
"""Sign-flips that are drawn where there are more of them; up to 14 subjects that differ, all are counted."""


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> float:
    """Return the exact two-sided p of McNemar's test: is one method right where the other is wrong more often?

    It takes sequences for independent, which those of one subject are not: beside :func:`sign_flip_test` it is the
    figure that papers print, not the one to rely on.

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
            first.
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
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def paired_bootstrap(
    differences: Sequence[float],
    counts: Sequence[int],
    *,
    n_resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a difference in accuracy, resampling subjects.

    Args:
        differences: (S,) as for :func:`sign_flip_test`.
        counts: (S,) number of test sequences of each subject.
        n_resamples: number of resamples.
        confidence: coverage aimed at, 0 to 1.
        seed: of the draws.

    Returns:
        (low, high) as fractions; None with fewer than two subjects.
    """
    n_subjects = len(counts)
    if n_subjects < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_resamples)
    resampled = (drawn @ np.asarray(differences, float)) / (drawn @ np.asarray(counts, float))
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Spread:
    """How far accuracies lie apart, for two reasons that should not be mixed. Fractions from 0 to 1.

    Attributes:
        mean_over_seeds: of the accuracy over all test sequences.
        std_over_seeds: of the sample (n - 1): what drawing other initial parameters changes; None with one seed.
        std_over_folds: of the sample, within a seed, averaged over seeds as variances are: what testing other subjects
            changes; None with one fold.
    """

    mean_over_seeds: float
    std_over_seeds: float | None
    std_over_folds: float | None


def spread(predictions: pd.DataFrame) -> Spread:
    """Return the spread over seeds and that over folds within a seed.

    Args:
        predictions: one row per sequence and seed, columns ``seed``, ``fold``, ``truth``, ``prediction``.
    """
    by_seed = [rows for _, rows in predictions.groupby("seed")]
    accuracies = [accuracy(rows) for rows in by_seed]
    within = [np.var(folds, ddof=1) for rows in by_seed if len(folds := fold_accuracies(rows)) > 1]
    return Spread(
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        float(np.sqrt(np.mean(within))) if within else None,
    )
