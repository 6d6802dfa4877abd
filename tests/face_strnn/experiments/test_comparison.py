"""Runs compared through the program: known predictions in real run folders."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from face_strnn.cli.program import main
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.run import Run
from face_strnn.experiments.comparison import compare_runs


@pytest.fixture
def run_with(run, tmp_path):
    """Copy the finished run and let it be right in these of its eleven sequences, seed by seed."""

    def write(name, *right_by_seed, **summary):
        out = shutil.copytree(run, tmp_path / name)
        (out / "audit.json").unlink()
        table = pd.read_csv(out / "predictions.csv")
        seeds = []
        for seed, right in enumerate(right_by_seed):
            wrong = [EMOTIONS[EMOTIONS.index(truth) - 1] for truth in table["truth"]]
            labels = np.where(np.isin(np.arange(len(table)), list(right)), table["truth"], wrong)
            seeds.append(table.assign(seed=seed, prediction=labels))
        predictions = pd.concat(seeds)
        predictions.to_csv(out / "predictions.csv", index=False)
        edited = json.loads((out / "summary.json").read_text()) | summarise(predictions, EMOTIONS) | summary
        (out / "summary.json").write_text(json.dumps(edited))
        return out

    return write


def test_differences_and_tests_match_a_worked_example(run_with):
    first, second = run_with("first", {0, 1, 2}), run_with("second", {1, 2, 3, 4, 5, 6, 7})
    subjects = pd.read_csv(first / "predictions.csv")["subject"]
    one, other = compare_runs(list(map(Run, [first, second])))
    assert (one.accuracy, other.accuracy) == pytest.approx((3 / 11, 7 / 11))
    assert one.difference is one.permutation_p is one.mcnemar_p is None
    assert other.difference == pytest.approx(4 / 11)
    # The second alone is right in five sequences, the first alone in one: 2 (1 + 6) / 2^6.
    assert other.mcnemar_p == other.mcnemar_holm == pytest.approx(14 / 64)
    gained = pd.Series([-1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]).groupby(subjects).sum()
    assert gained.tolist() == [-1, 0, 2, 2, 1, 0]
    # Sums of the signs of 1, 2, 2, 1: 16 choices, |sum| >= 4 in 6, 4, 4 and their opposites.
    assert other.permutation_p == other.permutation_holm == pytest.approx(6 / 16)
    low, high = other.difference_interval
    assert low < 4 / 11 < high <= 1


def test_several_runs_are_corrected_for_their_number(run_with):
    runs = [run_with("a", {0}), run_with("b", set(range(11))), run_with("c", set(range(6)))]
    _, b, c = compare_runs(list(map(Run, runs)))
    assert b.mcnemar_p == pytest.approx(2 / 2**10) and c.mcnemar_p == pytest.approx(2 / 2**5)
    assert b.mcnemar_holm == pytest.approx(2 * b.mcnemar_p) and c.mcnemar_holm == pytest.approx(c.mcnemar_p)
    assert b.permutation_holm == pytest.approx(2 * b.permutation_p)


def test_seeds_are_averaged_and_do_not_count_as_more_subjects(run_with):
    once, thrice = run_with("once", {0, 1, 2, 3}), run_with("thrice", {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3})
    low = run_with("low", {0})
    a, b = compare_runs(list(map(Run, [low, once])))[1], compare_runs(list(map(Run, [low, thrice])))[1]
    assert (a.difference, a.permutation_p, a.difference_interval) == (
        b.difference,
        b.permutation_p,
        b.difference_interval,
    )
    assert a.mcnemar_p is not None and b.mcnemar_p is None and b.seeds == 3
    assert b.standard_deviations.std_over_seeds == pytest.approx(0) and a.standard_deviations.std_over_seeds is None


def test_the_program_prints_a_table_and_warns_of_what_should_not_be_compared(run_with, run, capsys):
    oracle = run_with("oracle", {0, 1}, selection="oracle")
    assert main(["compare", str(run), str(oracle)]) == 0
    said = capsys.readouterr().out
    assert "McNemar p" in said and "permutation p" in said and "18.2" in said
    assert f"{oracle}: its epochs were chosen by test accuracy (oracle): not comparable" in said
    edited = run_with("edited", {0, 1})
    assert main(["compare", "--json", str(run), str(edited)]) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert first["warning"] == "" and "failed" in second["warning"]
    assert second["accuracy"] == pytest.approx(2 / 11) and second["permutation_holm"] <= 1


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda t: t[1:], "1 sequences"),
        (lambda t: t.assign(fold=3 - t["fold"]), "11 sequences"),
        (lambda t: t.assign(truth="anger"), "sequences"),
    ],
)
def test_runs_over_other_sequences_folds_or_labels_are_refused(run_with, run, edit, complaint, capsys):
    other = run_with("other", {0})
    edit(pd.read_csv(other / "predictions.csv")).to_csv(other / "predictions.csv", index=False)
    assert main(["compare", str(run), str(other)]) == 2
    said = capsys.readouterr().err
    assert complaint in said and f"not tested as in {run}" in said


def test_runs_of_another_protocol_or_of_no_second_one_are_refused(run_with, run, capsys):
    with pytest.raises(BadInput, match=r"its protocol is contiguous and that of .* interleaved"):
        compare_runs(list(map(Run, [run, run_with("other", {0}, protocol="contiguous")])))
    assert main(["compare", str(run)]) == 2
    assert "give two or more" in capsys.readouterr().err
