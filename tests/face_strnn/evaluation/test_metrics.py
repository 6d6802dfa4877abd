"""Metrics against scikit-learn and against values worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from face_strnn.evaluation.metrics import (
    accuracy,
    class_recalls,
    confusion_matrix,
    fold_accuracies,
    mean_class_recall,
    subject_bootstrap,
    summarise,
)

CLASSES = ("anger", "fear", "sadness")


def table(rows: list[tuple[str, int, str, str]]) -> pd.DataFrame:
    """Build predictions from (subject, fold, truth, prediction)."""
    frame = pd.DataFrame(rows, columns=["subject", "fold", "truth", "prediction"])
    return frame.assign(sequence=[f"{subject}_{number:03d}" for number, subject in enumerate(frame["subject"])])


@pytest.fixture
def by_hand() -> pd.DataFrame:
    return table(
        [
            ("S1", 1, "anger", "anger"),
            ("S1", 1, "anger", "fear"),
            ("S1", 1, "fear", "fear"),
            ("S2", 2, "fear", "fear"),
            ("S2", 2, "anger", "anger"),
            ("S3", 2, "anger", "sadness"),
        ]
    )


@pytest.fixture
def random_table() -> pd.DataFrame:
    """Random predictions, right two times in three, of 40 subjects: the numbers mean nothing."""
    rng = np.random.default_rng(3)
    truth = rng.choice(CLASSES, size=200, p=[0.6, 0.3, 0.1])
    prediction = np.where(rng.random(200) < 0.67, truth, rng.choice(CLASSES, size=200))
    subject = rng.integers(40, size=200)
    return table([(f"S{s:02d}", s % 10 + 1, t, p) for s, t, p in zip(subject, truth, prediction, strict=True)])


def test_values_worked_out_by_hand(by_hand):
    confusion = confusion_matrix(by_hand, CLASSES)
    assert confusion.tolist() == [[2, 1, 1], [0, 2, 0], [0, 0, 0]]
    assert accuracy(by_hand) == pytest.approx(4 / 6)
    assert fold_accuracies(by_hand) == pytest.approx([2 / 3, 2 / 3])
    assert class_recalls(confusion, CLASSES) == {"anger": 0.5, "fear": 1.0, "sadness": None}
    assert mean_class_recall(confusion) == pytest.approx(0.75)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_accuracy_and_mean_class_recall_agree_with_scikit_learn(by_hand, random_table):
    for predictions in (by_hand, random_table):
        truth, prediction = predictions["truth"], predictions["prediction"]
        assert accuracy(predictions) == pytest.approx(accuracy_score(truth, prediction))
        assert mean_class_recall(confusion_matrix(predictions, CLASSES)) == pytest.approx(
            balanced_accuracy_score(truth, prediction)
        )


def test_folds_come_in_the_order_of_their_numbers():
    predictions = table([("S1", 10, "fear", "fear"), ("S2", 2, "fear", "anger"), ("S3", 1, "fear", "fear")])
    assert fold_accuracies(predictions) == [1.0, 0.0, 1.0]


def test_the_interval_equals_a_plain_loop_over_resampled_tables(random_table):
    """The same draws, pooled table by table, give the same percentiles as the vectorised sums."""
    by_subject = dict(iter(random_table.groupby("subject", sort=False)))
    draws = np.random.default_rng(5).multinomial(len(by_subject), np.full(len(by_subject), 1 / len(by_subject)), 60)
    pooled = [
        pd.concat([rows for rows, times in zip(by_subject.values(), draw, strict=True) for _ in range(times)])
        for draw in draws
    ]
    intervals = subject_bootstrap(random_table, CLASSES, n_resamples=60, seed=5)
    for name, statistic in (
        ("accuracy_interval", accuracy),
        ("mean_class_recall_interval", lambda sample: mean_class_recall(confusion_matrix(sample, CLASSES))),
    ):
        assert intervals[name] == pytest.approx(tuple(np.quantile([statistic(s) for s in pooled], [0.025, 0.975])))


def test_intervals_cover_the_value_and_repeat_with_the_seed(random_table):
    summary = summarise(random_table, CLASSES)
    for name in ("accuracy", "mean_class_recall"):
        low, high = summary[f"{name}_interval"]
        assert 0 <= low < summary[name] < high <= 1
    first, again, other = (subject_bootstrap(random_table, CLASSES, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_intervals_cover_the_true_accuracy_about_as_often_as_they_promise():
    """Draws of 60 subjects whose own accuracies differ: the 95 % interval must hold the true mean nearly always."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        chance_of_right = np.repeat(rng.choice([0.5, 0.9], size=60), 4)
        right = rng.random(240) < chance_of_right
        predictions = pd.DataFrame(
            {"subject": np.repeat(np.arange(60), 4), "truth": "anger", "prediction": np.where(right, "anger", "fear")}
        )
        low, high = subject_bootstrap(predictions, CLASSES, n_resamples=400)["accuracy_interval"]
        covered += low <= 0.7 <= high
    assert covered >= 88


def test_subjects_and_not_sequences_are_resampled():
    """Four sequences of a subject that stand or fall together are worth one: the interval must not shrink."""
    one_each = table([(f"S{n:02d}", 1, "fear", "fear" if n % 2 else "anger") for n in range(30)])
    four_each = pd.concat([one_each] * 4)
    assert subject_bootstrap(four_each, CLASSES) == subject_bootstrap(one_each, CLASSES)


def test_one_subject_has_no_interval_and_one_fold_no_deviation():
    summary = summarise(table([("S1", 1, "fear", "fear"), ("S1", 1, "anger", "fear")]), CLASSES)
    assert summary["accuracy"] == 0.5
    assert summary["accuracy_interval"] is None
    assert summary["mean_class_recall_interval"] is None
    assert summary["std_fold_accuracy"] is None


def test_a_summary_is_ready_for_json_and_has_no_key_too_many(random_table):
    summary = json.loads(json.dumps(summarise(random_table, CLASSES), allow_nan=False))
    assert set(summary) == {
        "accuracy", "fold_accuracies", "mean_fold_accuracy", "std_fold_accuracy", "mean_class_recall",
        "accuracy_interval", "mean_class_recall_interval", "class_recalls", "confusion_matrix", "n_sequences",
        "n_subjects",
    }  # fmt: skip
    assert summary["n_sequences"] == 200
    assert summary["n_subjects"] == random_table["subject"].nunique()
    assert summary["mean_fold_accuracy"] == pytest.approx(np.mean(summary["fold_accuracies"]))
    assert summary["std_fold_accuracy"] == pytest.approx(np.std(summary["fold_accuracies"], ddof=1))


def test_labels_outside_the_classes_and_empty_tables_are_refused(by_hand):
    with pytest.raises(ValueError, match="sadness"):
        summarise(by_hand, CLASSES[:2])
    with pytest.raises(ValueError, match="no predictions"):
        summarise(by_hand.iloc[:0], CLASSES)
