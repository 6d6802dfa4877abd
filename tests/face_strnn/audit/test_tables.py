"""What an audit finds in the tables and the summary of a run."""

import json

import pandas as pd
import pytest
from planted import (
    FOLDS,
    checkpoints,
    count_again,
    edit_header,
    edit_json,
    edit_settings,
    edit_table,
    failed,
    findings,
    make_right,
    outcomes,
)

from data_prep.datasets.emotions import EMOTIONS
from face_strnn.evaluation.metrics import summarise


def test_a_training_row_of_a_test_subject_is_found(run):
    out = run()

    def leak(table):
        return pd.concat([table, table.query("fold == 2 and role == 'test'")[:1].assign(role="train")])

    edit_table(out, "folds.csv", leak)
    assert failed(out) == {"subjects", "folds"}
    assert findings(out, "subjects") == "fold 2: S1 in train and test (folds.csv)"


def test_a_leaked_subject_under_another_name_is_found(run, store):
    out = run()

    def leak(table):
        row = table.query("fold == 2 and role == 'test'")[:1].assign(role="train", subject="S9")
        return pd.concat([table, row])

    edit_table(out, "folds.csv", leak)
    assert "subjects" in failed(out)
    assert failed(out, store) == {"subjects", "folds"}


@pytest.mark.parametrize(
    ("with_probabilities", "found"), [(False, {"predictions", "recomputed"}), (True, {"recomputed"})]
)
def test_an_edited_prediction_is_found_though_the_summary_agrees(run, store, with_probabilities, found):
    out = run()
    edit_table(out, "predictions.csv", lambda t: make_right(t, with_probabilities))
    assert "figures" in failed(out)
    count_again(out)
    assert failed(out, store) == found


def test_an_edited_truth_is_found_though_the_summary_agrees(run, store):
    out = run()
    edit_table(out, "predictions.csv", lambda t: t.assign(truth=t["prediction"]))
    count_again(out)
    assert failed(out) == failed(out, store) == {"tested once"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", 0.99),
        ("fold_accuracies", [1.0] * FOLDS),
        ("std_fold_accuracy", 0.0),
        ("mean_class_recall", 0.9),
        ("accuracy_interval", [0.9, 1.0]),
        ("confusion_matrix", [[3] * 7] * 7),
        ("seed_accuracies", [0.99]),
        ("n_subjects", 118),
    ],
)
def test_an_edited_figure_of_the_summary_is_found(run, key, value):
    out = run()
    edit_json(out, **{key: value})
    assert failed(out) == {"figures"}
    assert findings(out, "figures").startswith(f"summary.json has {key} ")


def test_an_edited_baseline_is_found(run, store):
    out = run()
    svm, chance = json.loads((out / "summary.json").read_text())["baselines"]
    edit_json(out, baselines=[svm | {"accuracy": svm["accuracy"] - 0.1}, chance])
    assert failed(out) == set() and failed(out, store) == {"baselines"}
    assert "for linear SVM on the apex frame's maps, tested anew it is" in findings(out, "baselines", store)
    edit_json(out, baselines=[svm | {"accuracy_interval": [0.0, 0.02]}, chance])
    assert "has accuracy_interval [0.0, 0.02] for linear SVM" in findings(out, "baselines", store)
    edit_json(out, baselines=[chance])
    assert "has the baselines chance: the most frequent emotion and not" in findings(out, "baselines", store)


def test_an_edited_setting_of_the_summary_is_found(run):
    out = run()
    edit_json(out, protocol="contiguous", epochs=99)
    assert failed(out) == {"settings"}
    assert "epochs 99, config.yaml 5" in findings(out, "settings")


def test_another_protocol_than_the_one_named_is_found(run):
    out = run()
    edit_settings(out, protocol="contiguous")
    edit_json(out, protocol="contiguous")
    assert failed(out) == {"folds", "tested once", "trained on"}


def test_a_sequence_that_was_dropped_is_found(run, store):
    out = run()
    edit_table(out, "predictions.csv", lambda t: t[t["sequence"] != "S3_1"])
    count_again(out)
    assert failed(out) == failed(out, store) == {"tested once"}
    assert findings(out, "tested once") == "seed 3: S3_1 not tested (predictions.csv)"
    # Without the features nothing tells of a sequence that no table names, but the networks that trained on it.
    edit_table(out, "folds.csv", lambda t: t[t["sequence"] != "S3_1"])
    assert failed(out) == {"trained on"}
    assert failed(out, store) == {"folds", "tested once"}


def test_a_sequence_that_was_tested_twice_is_found(run, store):
    out = run("last", "interleaved", 2)
    edit_table(out, "predictions.csv", lambda t: pd.concat([t, t[t["truth"] == t["prediction"]][-1:]]))
    count_again(out)
    assert failed(out, store) == {"tested once"}
    assert "tested more than once" in findings(out, "tested once")


def test_a_rotated_copy_among_the_test_rows_is_found(run):
    out = run()
    edit_table(out, "folds.csv", lambda t: pd.concat([t, t[t["role"] == "test"][:1].assign(rotation=7)]))
    assert failed(out) == {"folds", "rotated copies"}
    assert findings(out, "rotated copies") == "fold 1: S0_0 rotated by 7 as test (folds.csv)"


def test_a_changed_order_of_the_classes_is_found(run, store):
    out = run()
    order = [*EMOTIONS[1:], EMOTIONS[0]]
    edit_json(out, **summarise(pd.read_csv(out / "predictions.csv"), order), classes=order)
    assert failed(out) == {"classes"}
    edit_table(out, "predictions.csv", lambda t: t[[*t.columns[:6], *(f"p_{emotion}" for emotion in order)]])
    for path in checkpoints(out):
        edit_header(path, lambda header: header | {"classes": json.dumps(order)})
    assert failed(out, store) == {"features", "recomputed"}


def test_edits_that_no_table_should_hold_are_findings_and_not_crashes(run, store):
    out = run()
    edit_table(out, "predictions.csv", lambda t: t.assign(p_anger="much", prediction="boredom"))
    assert failed(out, store) == {"predictions", "figures", "recomputed"}
    edit_table(out, "folds.csv", lambda t: t.assign(fold="first"))
    assert "fold is not a whole number" in findings(out, "files")
    edit_json(out, features=[], fold_accuracies=None, classes=7)
    edit_settings(out, training={"epochs": "many"}, folds=77, protocol="random")
    assert "files" in failed(out, store) and "passed" not in outcomes(out, store).values(), "and nothing crashes"
