"""The main job through the command line, on a few synthetic faces: its files are checked, not its accuracy."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from data_prep.datasets.ckplus import read_ckplus
from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore
from face_strnn import STRNN
from face_strnn.cli.program import main
from face_strnn.evaluation.protocols import SubjectKFold

PROBABILITIES = [f"p_{emotion}" for emotion in EMOTIONS]


@pytest.fixture
def predictions(run):
    return pd.read_csv(run / "predictions.csv")


@pytest.fixture
def folds(run):
    return pd.read_csv(run / "folds.csv")


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_check_describes_the_copy(synthetic, capsys, synthetic_list):
    assert main(["check", "--root", str(synthetic)]) == 0
    catalogue = read_ckplus(synthetic)
    said = capsys.readouterr().out
    words = [line.replace("│", " ").split() for line in said.splitlines()]
    n_frames = sum(sequence.n_frames for sequence in catalogue.sequences)
    assert ["subjects", "6", "6"] in words and ["frames", *[str(n_frames)] * 2] in words
    assert "nothing is wrong" in said
    assert "synthetic" in said
    for emotion, count in catalogue.emotion_counts().items():
        row = next(line for line in said.splitlines() if emotion in line)
        assert str(count) in row


def test_a_run_folder_has_every_file_of_the_contract(run):
    files = set(files_below(run))
    assert {
        "config.yaml",
        "summary.json",
        "predictions.csv",
        "history.csv",
        "folds.csv",
        "checkpoints/fold-01.safetensors",
        "checkpoints/fold-02.safetensors",
        "report.html",
    } <= files
    assert any(name.startswith("figures/") for name in files)
    assert not [name for name in files if "unfinished" in name or name.endswith(".training")]


def test_the_summary_has_every_key_of_the_contract_and_agrees_with_the_predictions(run, predictions, features):
    summary = json.loads((run / "summary.json").read_text())
    assert {
        *("accuracy", "fold_accuracies", "mean_fold_accuracy", "std_fold_accuracy", "mean_class_recall"),
        *("confusion_matrix", "classes", "n_sequences", "n_subjects", "n_samples", "protocol", "selection", "seed"),
        *("seconds", "versions", "features", "data"),
    } <= set(summary)
    right = predictions["truth"] == predictions["prediction"]
    assert summary["accuracy"] == pytest.approx(right.mean())
    by_fold = right.groupby(predictions["fold"]).mean()
    assert summary["fold_accuracies"] == pytest.approx(by_fold.tolist())
    assert summary["mean_fold_accuracy"] == pytest.approx(by_fold.mean())
    assert summary["classes"] == list(EMOTIONS)
    counted = pd.crosstab(predictions["truth"], predictions["prediction"])
    counted = counted.reindex(index=EMOTIONS, columns=EMOTIONS, fill_value=0)
    assert summary["confusion_matrix"] == counted.values.tolist()
    assert (summary["n_sequences"], summary["n_subjects"], summary["n_samples"]) == (11, 6, 33)
    assert (summary["protocol"], summary["selection"], summary["seed"]) == ("interleaved", "last", 5)
    assert summary["data"] == "synthetic" and summary["seconds"] > 0
    store = FeatureStore.open(features).folder
    assert store.name.endswith(summary["features"]["fingerprint"])
    assert summary["features"]["rotations"] == [-7, 0, 7]
    assert {"backbone", "weights", "weights_sha256", "maps", "crop", "rotation"} <= set(summary["features"])


def test_every_sequence_is_tested_once_and_probabilities_sum_to_one(synthetic, predictions):
    catalogue = read_ckplus(synthetic)
    truth = {sequence.name: (sequence.subject, sequence.emotion) for sequence in catalogue.sequences}
    assert predictions["sequence"].tolist() == sorted(truth)
    for row in predictions.itertuples():
        assert (row.subject, row.truth) == truth[row.sequence]
    probabilities = predictions[PROBABILITIES].to_numpy()
    assert np.allclose(probabilities.sum(1), 1, atol=1e-9) and (probabilities >= 0).all()
    assert predictions["prediction"].tolist() == [EMOTIONS[best] for best in probabilities.argmax(1)]


def test_no_subject_stands_on_both_sides_of_a_fold(folds, predictions):
    assert set(folds["fold"]) == {1, 2} and set(folds["role"]) == {"train", "test"}
    for fold, rows in folds.groupby("fold"):
        train_mask, tested = (set(rows.loc[rows["role"] == role, "subject"]) for role in ("train", "test"))
        assert train_mask and tested and not train_mask & tested
        assert len(train_mask | tested) == 6
        assert set(predictions.loc[predictions["fold"] == fold, "subject"]) == tested


def test_rotated_copies_are_trained_on_and_never_tested(folds, predictions):
    assert set(folds.loc[folds["role"] == "test", "rotation"]) == {0}
    train_mask = folds[folds["role"] == "train"].groupby(["fold", "sequence"])["rotation"].apply(sorted)
    assert all(rotations == [-7, 0, 7] for rotations in train_mask)
    tested = folds[folds["role"] == "test"]
    assert not tested.duplicated(["sequence"]).any()
    assert set(zip(tested["fold"], tested["sequence"], strict=True)) == set(
        zip(predictions["fold"], predictions["sequence"], strict=True)
    )


def test_the_folds_are_those_of_the_protocol(predictions):
    protocol = SubjectKFold(2)
    for fold, (_, test) in enumerate(protocol.split(predictions, groups=predictions["subject"]), start=1):
        assert predictions["fold"].iloc[test].eq(fold).all()


def test_the_history_has_a_row_for_every_fold_and_epoch(run):
    history = pd.read_csv(run / "history.csv")
    pairs = set(zip(history["fold"], history["epoch"], strict=True))
    assert pairs == {(fold, epoch) for fold in (1, 2) for epoch in (1, 2, 3)}
    assert np.isfinite(history[["loss", "cross_entropy", "train_accuracy"]]).all(axis=None)


def test_the_configuration_can_be_read_back(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["network"]["spatial_hidden"] == 6 and config["training"]["epochs"] == 3 and config["seed"] == 5


def test_saved_models_carry_what_is_needed_to_use_them(run, features):
    model = STRNN.load(run / "checkpoints" / "fold-01.safetensors")
    assert model.config.length == 8 and model.config.grid == (7, 7)
    assert json.loads(model.facts["classes"]) == list(EMOTIONS)
    store = FeatureStore.open(features).folder
    assert store.name.endswith(model.facts["features"])
    assert len(json.loads(model.facts["history"])) == 3


def test_predictions_can_be_repeated_from_the_saved_models(run, features, predictions):
    store = FeatureStore.open(features).folder
    for row in predictions.itertuples():
        with safe_open(store / f"{row.sequence}_rot+00.safetensors", framework="pt") as file:
            maps = file.get_tensor("maps")
        model = STRNN.load(run / "checkpoints" / f"fold-{row.fold:02d}.safetensors")
        probabilities = model.logits_of_sequences([maps]).double().softmax(1)[0].tolist()
        assert [getattr(row, name) for name in PROBABILITIES] == pytest.approx(probabilities, abs=1e-5)


def test_the_same_seed_gives_the_same_run(run, cv_options, tmp_path):
    again = tmp_path / "again"
    assert main(["cv", "--out", str(again), "--epochs", "3", "--seed", "5", *cv_options]) == 0
    for name in ("predictions.csv", "history.csv", "folds.csv", "config.yaml"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (run, again))
    for changing in ("seconds", "command"):
        del first[changing], second[changing]
    assert first == second


def test_another_seed_gives_other_networks_under_the_same_folds(run, cv_options, tmp_path):
    other = tmp_path / "other"
    assert main(["cv", "--out", str(other), "--epochs", "3", "--seed", "6", *cv_options]) == 0
    assert (other / "folds.csv").read_bytes() == (run / "folds.csv").read_bytes()
    assert (other / "predictions.csv").read_bytes() != (run / "predictions.csv").read_bytes()


@pytest.mark.parametrize(("protocol", "n_folds"), [("contiguous", 3), ("leave-one-subject-out", 6)])
def test_other_protocols_run_to_the_end(cv_options, tmp_path, protocol, n_folds):
    out = tmp_path / "run"
    options = ["cv", "--out", str(out), "--epochs", "1", *cv_options, "--folds", "3", "--protocol", protocol]
    assert main(options) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["fold_accuracies"]) == n_folds and summary["protocol"] == protocol
    assert len(list((out / "checkpoints").iterdir())) == n_folds


def test_the_smallest_data_that_the_folds_allow_can_be_cross_validated(cv_options, features, tmp_path):
    """Two subjects in two folds: each is learned from while the other is tested."""
    whole = FeatureStore.open(features).folder
    store = tmp_path / whole.name
    store.mkdir()
    for file in [whole / "store.json", *whole.glob("S010*.safetensors"), *whole.glob("S011*.safetensors")]:
        (store / file.name).write_bytes(file.read_bytes())
    FeatureStore.open(store).complete()
    options = ["cv", "--out", str(tmp_path / "run"), "--epochs", "1", *cv_options, "--features", str(store)]
    assert main(options) == 0
    assert len(pd.read_csv(tmp_path / "run" / "predictions.csv")) == 4


def test_report_draws_a_finished_run_anew(run, capsys):
    (run / "report.html").unlink()
    saliency = run / "figures" / "saliency.png"
    saliency.unlink(missing_ok=True)
    before = {name: data for name, data in files_below(run).items() if not name.startswith("figures/")}
    assert main(["report", str(run)]) == 0
    assert saliency.read_bytes().startswith(b"\x89PNG")
    page = (run / "report.html").read_text()
    assert "synthetic" in page
    after = files_below(run)
    assert {name: after[name] for name in before} == before, "the evidence itself is not touched"
    assert "accuracy" in capsys.readouterr().out


def test_predict_recognises_a_folder_of_frames(run, synthetic, features, vgg_file, capsys, tmp_path):
    capsys.readouterr()
    frames = synthetic / "cohn-kanade-images" / "S010" / "002"
    options = ["--run", str(run), "--weights-file", str(vgg_file()), "--out", str(tmp_path)]
    assert main(["predict", *options, str(frames)]) == 0
    said = capsys.readouterr().out
    rows = re.findall(rf"({'|'.join(EMOTIONS)})\W+(\d\.\d\d\d)", said)
    found = {emotion: float(probability) for emotion, probability in rows}
    assert set(found) == set(EMOTIONS) and sum(found.values()) == pytest.approx(1, abs=0.004)
    assert "2 models" in said and "synthetic" in said
    # The mean of both folds' answers to the maps in the store, which were made from the same frames.
    store = FeatureStore.open(features).folder
    with safe_open(store / "S010_002_rot+00.safetensors", framework="pt") as file:
        maps = file.get_tensor("maps")
    models = [STRNN.load(run / "checkpoints" / f"fold-{fold:02d}.safetensors") for fold in (1, 2)]
    expected = sum(model.logits_of_sequences([maps]).double().softmax(1)[0] for model in models) / 2
    assert [found[emotion] for emotion in EMOTIONS] == pytest.approx(expected.tolist(), abs=0.002)
