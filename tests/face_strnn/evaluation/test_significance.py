"""Tests of differences, against published values, full enumeration by hand, and other ways to count the same."""

from fractions import Fraction
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, wilcoxon

from face_strnn.evaluation.significance import (
    holm,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    sign_flip_test,
    standard_deviations,
)


def pairs(both, only_first, only_second, neither):
    """Right or wrong of two methods, by how often each pair occurs."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("table", "p"),
    [
        # mlxtend's user guide, scenario A of its McNemar test: 11 to 1 of 10,000.
        ((9959, 11, 1, 29), 0.00634765625),
        # 2 (1 + 7) / 2^7, worked out by hand: 6 to 1.
        ((3, 6, 1, 2), 0.125),
        ((5, 3, 3, 0), 1.0),
        ((5, 0, 0, 2), 1.0),
        ((0, 0, 5, 0), 2 / 32),
    ],
)
def test_mcnemar_is_the_exact_test_of_published_tables(table, p):
    assert mcnemar(*pairs(*table)) == pytest.approx(p, abs=1e-12)
    both, only_first, only_second, neither = table
    assert mcnemar(*pairs(both, only_second, only_first, neither)) == pytest.approx(p), "whichever comes first"


def test_mcnemar_is_twice_a_tail_of_the_binomial_distribution():
    """A table of 101, 121, 59 and 33, whose chi-squared with correction is 20.67."""
    assert mcnemar(*pairs(101, 121, 59, 33)) == pytest.approx(2 * binom.cdf(59, 180, 0.5), rel=1e-9)


def enumerated(differences):
    """The share of all choices of signs whose sum is at least as far from 0."""
    sums = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(differences))]
    return np.mean(np.array(sums) >= abs(sum(differences)) - 1e-9)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # 2, 1, 1: the eight sums are 4, 2, 2, 0, 0, -2, -2, -4; two of them are as far from 0 as 4.
        ([2, 1, 1], 2 / 8),
        # 3, -1, 2, 1: the sum is 5; of the sixteen, 7 and 5 on either side, 5 in two ways: 3 + 3.
        ([3, -1, 2, 1], 6 / 16),
        ([1, -1], 1.0),
        ([5], 1.0),
        ([], 1.0),
        ([0, 0, 2, 0, 1, 1], 2 / 8),
    ],
)
def test_few_subjects_are_counted_in_full_by_hand(differences, p):
    assert sign_flip_test(differences) == p == enumerated(differences)


def test_the_sign_flip_test_agrees_with_full_enumeration_whatever_the_differences():
    rng = np.random.default_rng(0)
    for _ in range(15):
        differences = rng.choice([-1, 0, 1, 2, 0.2, -0.4], size=rng.integers(2, 11))
        assert sign_flip_test(differences) == pytest.approx(enumerated(differences))


def test_on_ranks_the_sign_flip_test_is_the_exact_signed_rank_test():
    differences = np.array([1, -2, 3, 4, 5, -6, 7, 8, 9, 10])
    assert sign_flip_test(differences) == pytest.approx(wilcoxon(differences, mode="exact").pvalue)


def test_many_subjects_are_drawn_with_the_one_found_among_them():
    certain = np.ones(40)
    assert sign_flip_test(certain, n_permutations=999) == 2 / 1000, "one of 1,000 on each side, and never 0"
    differences = np.random.default_rng(1).choice([-1, 1, 2], size=16)
    exact = enumerated(differences)
    drawn = sign_flip_test(differences, n_permutations=20_000)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert drawn == sign_flip_test(differences), "the seed makes it repeat"


def test_under_the_null_a_twentieth_of_the_tests_falls_below_a_twentieth():
    rng = np.random.default_rng(2)
    below = np.mean([sign_flip_test(rng.normal(size=12), n_permutations=400) <= 0.05 for _ in range(400)])
    assert 0.02 < below < 0.085


def test_holm_is_worked_out_by_hand():
    # 0.01 * 4; 0.02 * 3; 0.03 * 2 is as much; 0.04 * 1 is less, and cannot be below those before it.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03] and holm([]) == []


def test_the_paired_interval_equals_a_plain_loop_over_resampled_subjects():
    differences, counts = np.array([1, 0, -1, 2, 0.5]), np.array([3, 2, 4, 2, 1])
    drawn = np.random.default_rng(7).multinomial(5, [0.2] * 5, size=80)
    resampled = []
    for times in drawn:
        chosen = np.repeat(np.arange(5), times)
        resampled.append(differences[chosen].sum() / counts[chosen].sum())
    found = paired_bootstrap(differences, counts, n_resamples=80, seed=7)
    assert found == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))
    assert paired_bootstrap([1], [2]) is None


def test_equal_gains_of_all_subjects_have_an_interval_of_no_width():
    """The pairing takes out what subjects differ in: it is not the interval of two accuracies apart."""
    assert paired_bootstrap([1] * 6, [4] * 6) == (0.25, 0.25)


def right_answers(rng, n_seeds, by_subject):
    """Predictions of seeds, and for each subject the exact mean number of sequences that a seed gets right."""
    rows, right = [], []
    for subject, n_sequences in enumerate(by_subject):
        answers = rng.random((n_sequences, n_seeds)) < 0.5
        right.append(Fraction(int(answers.sum()), n_seeds))
        for sequence, of_seeds in enumerate(answers):
            rows += [(f"S{subject}", f"S{subject}_{sequence}", seed, yes) for seed, yes in enumerate(of_seeds)]
    table = pd.DataFrame(rows, columns=["subject", "sequence", "seed", "right"])
    return table.assign(truth="fear", prediction=np.where(table["right"], "fear", "anger")), right


def share_as_far_from_0(differences):
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return Fraction(sum(one >= abs(sum(differences)) for one in sums), len(sums))


@pytest.mark.parametrize("seeds", [*((n, n) for n in range(1, 11)), (1, 3), (3, 2), (6, 9), (7, 10), (10, 4), (5, 1)])
def test_p_and_difference_over_seeds_are_those_of_exact_fractions(seeds):
    by_subject, rng = (2, 1, 3, 2, 1, 2, 3), np.random.default_rng(seeds)
    for _ in range(4):
        (first, right_first), (second, right) = (right_answers(rng, n, by_subject) for n in seeds)
        differences = [one - other for one, other in zip(right, right_first, strict=True)]
        found = paired_difference(first, second)
        assert found.permutation_p == pytest.approx(float(share_as_far_from_0(differences)), abs=1e-12)
        assert found.accuracy == pytest.approx(float(sum(differences) / sum(by_subject)), abs=1e-12)
        assert found.interval == pytest.approx(paired_bootstrap([float(one) for one in differences], by_subject))


def test_the_std_over_seeds_is_kept_apart_from_that_over_folds():
    # seed 0: folds 1 and 1/2; seed 1: folds 1/2 and 0.
    rows = [(0, 1, 1), (0, 1, 1), (0, 2, 1), (0, 2, 0), (1, 1, 1), (1, 1, 0), (1, 2, 0), (1, 2, 0)]
    table = pd.DataFrame(rows, columns=["seed", "fold", "right"])
    table = table.assign(truth="fear", prediction=np.where(table["right"] == 1, "fear", "anger"))
    found = standard_deviations(table)
    assert found.mean_over_seeds == 0.5
    assert found.std_over_seeds == pytest.approx(np.std([0.75, 0.25], ddof=1))
    assert found.std_over_folds == pytest.approx(np.std([1, 0.5], ddof=1))
    alone = standard_deviations(table.query("seed == 0 and fold == 1"))
    assert (alone.mean_over_seeds, alone.std_over_seeds, alone.std_over_folds) == (1.0, None, None)
