"""Edited files of runs that have more of them: ensembles, fine-tuned and unfinished runs, reproductions."""

import csv

import pytest
from edits import with_edits
from program_under_edits import (
    assert_accuracy,
    assert_audit_counts,
    assert_comparison_counts,
    assert_report_counts,
    ended_well,
)

FEW, SOME, MANY = 2, 100, 500

FINETUNED_FILES = (
    "config.yaml", "summary.json", "checkpoints/fold-01.safetensors", "checkpoints/fold-01.backbone.safetensors",
    "frozen/config.yaml", "frozen/summary.json", "frozen/predictions.csv", "frozen/folds.csv",
    "frozen/checkpoints/fold-01.safetensors",
)  # fmt: skip
REPRODUCTION_FILES = (
    "reproduction.yaml", "results.csv", "logistic/settings.yaml", "logistic/predictions.csv",
    "strnn/seed-0/config.yaml", "strnn/seed-0/summary.json", "strnn/seed-0/predictions.csv", "strnn/seed-0/audit.json",
)  # fmt: skip


def how_many(file):
    """Files that every run has are edited in test_run_folder.py too."""
    of_every_run = ("config.yaml", "summary.json", "predictions.csv", "folds.csv", "history.csv", "audit.json")
    return SOME if file.endswith((*of_every_run, "fold-01.safetensors")) else MANY


@pytest.fixture
def check_ensemble(store):
    def check(run, command):
        if command == "report":
            assert_report_counts(ended_well("report", run, names=[run]), run)
        elif command == "compare":
            assert_comparison_counts(ended_well("compare", run, run, "--json", names=[run]), run)
        else:
            features = ["--features", store] if command == "audit --features" else []
            assert_audit_counts(ended_well("audit", run, "--json", *features, names=[run]), run)

    return check


ENSEMBLE_COMMANDS = (*["audit"] * 6, "audit --features", "report", "report")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.yaml", "summary.json", "predictions.csv", "members.csv", "history.csv"])
def test_many_edits_of_an_ensemble(ensemble_run, check_ensemble, tmp_path, file):
    with_edits(how_many(file), ensemble_run, file, ENSEMBLE_COMMANDS, check_ensemble, tmp_path)


@pytest.fixture
def check_finetuned(image_features, thin_weights, finetune_small, images, tmp_path):
    frames = sorted(images.rglob("*.png"))[0].parent
    with_weights = ["--weights-file", thin_weights]

    def check(run, command):
        names = [run, image_features, thin_weights.name]
        if command == "report":
            assert_report_counts(ended_well("report", run, names=names), run)
        elif command == "predict":
            options = ["--run", run, *with_weights, "--out", tmp_path / "predicted", "--json", frames]
            ended_well("predict", *options, names=names)
        elif command == "cv":
            assert_report_counts(ended_well("cv", "--out", run, *finetune_small, names=names), run)
        else:
            features = ["--features", image_features, *with_weights] if command == "audit --features" else []
            assert_audit_counts(ended_well("audit", run, "--json", *features, names=names), run)

    return check


FINETUNED_COMMANDS = (*["audit"] * 12, *["audit --features"] * 2, "report", "report", "predict", "predict", "cv")


@pytest.mark.slow
@pytest.mark.parametrize("file", FINETUNED_FILES)
def test_many_edits_of_a_finetuned_run(small_finetuned_run, check_finetuned, tmp_path, file):
    with_edits(how_many(file), small_finetuned_run, file, FINETUNED_COMMANDS, check_finetuned, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["summary.json", "checkpoints/fold-01.safetensors"])
def test_many_edits_of_a_run_that_predicts(small_finetuned_run, check_finetuned, tmp_path, file):
    with_edits(how_many(file), small_finetuned_run / "frozen", file, ("predict",), check_finetuned, tmp_path)


@pytest.fixture
def check_unfinished(store, training_options):
    def check(run, _):
        ended = ended_well("cv", "--out", run, "--features", store, *training_options, names=[run])
        assert_report_counts(ended, run)

    return check


UNFINISHED_FILES = ("config.yaml", "folds.csv", "checkpoints/*.training")


@pytest.mark.parametrize("file", UNFINISHED_FILES)
def test_a_few_edits_of_an_unfinished_run(unfinished_run, check_unfinished, tmp_path, file):
    with_edits(FEW, unfinished_run, file, ("cv",), check_unfinished, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", UNFINISHED_FILES)
def test_many_edits_of_an_unfinished_run(unfinished_run, check_unfinished, tmp_path, file):
    with_edits(how_many(file), unfinished_run, file, ("cv",), check_unfinished, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.yaml", "checkpoints/*.finetuning", "scratch/**/*.*"])
def test_many_edits_of_an_unfinished_finetuning(unfinished_finetuning, check_finetuned, tmp_path, file):
    with_edits(how_many(file), unfinished_finetuning, file, ("cv",), check_finetuned, tmp_path)


@pytest.fixture
def check_reproduction(store, training_options):
    def check(folder, _):
        options = ["--features", store, "--out", folder, "--only", "logistic", *training_options]
        ended = ended_well("reproduce", *options, names=[folder])
        if ended.status == 0:
            with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
                rows = {row["method"]: row for row in csv.DictReader(file) if row["seed"] == "mean"}
            for method, results in (("strnn", folder / "strnn" / "seed-0"), ("logistic", folder / "logistic")):
                assert_accuracy(float(rows[method]["accuracy"]), results, "results.csv gives")

    return check


@pytest.mark.slow
@pytest.mark.parametrize("file", REPRODUCTION_FILES)
def test_many_edits_of_a_reproduction(reproduction, check_reproduction, tmp_path, file):
    with_edits(how_many(file), reproduction, file, ("reproduce",), check_reproduction, tmp_path)
