"""Edits that once ended in a traceback or without end, each with the command that reads the file."""

import json
from shutil import copytree

import pytest
import torch
from program_under_edits import ended_well, run_program
from safetensors import safe_open
from safetensors.torch import load_file, save_file

DEEP = "[" * 100_000
BOMB = "[&a [x, x, x, x, x, x, x, x, x]" + "".join(
    f", &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A few hundred bytes that stand for a list of nine to the ninth entries."""


@pytest.fixture
def edited_run(small_run, tmp_path):
    """A copy of a run of which the file named is changed by a function of its text."""

    def edit(name, change):
        run = copytree(small_run, tmp_path / "run", dirs_exist_ok=True)
        path = run / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return run

    return edit


def with_setting(name, value):
    """Replace a setting at the top of ``config.yaml``."""

    def change(text):
        lines = [line for line in text.splitlines() if not line.startswith(f"{name}:")]
        return "\n".join([*lines, f"{name}: {value}", ""])

    return change


def with_facts(path, tensors=None, **facts):
    """Write a checkpoint anew with other facts in its header, or other tensors."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({**load_file(path), **(tensors or {})}, path, {**header, **facts})


@pytest.mark.parametrize("value", ["0", "10000000", "9" * 30, "1000000.0", "[" * 2000])
def test_settings_that_no_run_has(edited_run, value):
    run = edited_run("config.yaml", with_setting("seeds", value))
    ended = ended_well("audit", run, names=[run])
    assert ended.status == 2 and "config.yaml" in ended.out


def test_more_epochs_than_a_list_can_hold(edited_run):
    run = edited_run("config.yaml", lambda text: text.replace("epochs: 2", "epochs: 1" + 30 * "0"))
    ended = ended_well("audit", run, names=[run])
    assert ended.status == 2 and "selection" in ended.err


@pytest.mark.parametrize("value", [f"{BOMB}]", "{1: 2, null: 3}", "&loop {again: *loop}", "[" * 2000])
def test_a_run_with_settings_of_another_kind_is_not_resumed(edited_run, store, training_options, value):
    run = edited_run("config.yaml", with_setting("training", value))
    ended = ended_well("cv", "--out", run, "--features", store, *training_options, names=[run])
    assert ended.status == 2 and len(ended.err) < 3000


@pytest.mark.parametrize("name", ["summary.json", "audit.json"])
def test_a_file_of_brackets_alone(edited_run, name):
    run = edited_run(name, lambda text: DEEP)
    ended = ended_well("report", run, names=[run])
    assert ended.status == (2 if name == "summary.json" else 0)


@pytest.mark.parametrize("sequences", ["18 of 24", [18, 24], {"held": 18}, {"held": [18], "expected": 24}, {}])
def test_partial_features_of_another_kind(edited_run, sequences):
    def change(text):
        summary = json.loads(text)
        summary["features"]["sequences"] = sequences
        return json.dumps(summary)

    run = edited_run("summary.json", change)
    assert "features not as a run writes it" in ended_well("report", run, names=[run]).err


def test_an_audit_from_which_checks_were_taken_out_is_not_shown(edited_run):
    run = edited_run("audit.json", lambda text: json.dumps({**json.loads(text), "checks": []}))
    assert "0 of 0" not in ended_well("report", run, names=[run]).out


@pytest.mark.parametrize(
    "facts", [{"classes": "3"}, {"classes": DEEP}, {"history": DEEP}, {"config": DEEP}, {"tensor": "whole numbers"}]
)
def test_a_checkpoint_whose_header_or_tensors_are_of_another_kind(edited_run, facts):
    run = edited_run("config.yaml", str)
    checkpoint = run / "checkpoints" / "fold-01.safetensors"
    tensors = {"spatial.b": load_file(checkpoint)["spatial.b"].int()} if facts.pop("tensor", None) else {}
    with_facts(checkpoint, tensors, **facts)
    ended = ended_well("audit", run, names=[run])
    assert ended.status == 2 and "fold-01.safetensors" in ended.out


@pytest.mark.parametrize("classes", ["[null]", '["anger"]'])
def test_a_model_of_other_classes_does_not_predict(edited_run, images, thin_weights, tmp_path, classes):
    run = edited_run("config.yaml", str)
    with_facts(run / "checkpoints" / "fold-01.safetensors", classes=classes)
    frames = next(images.rglob("*.png")).parent
    options = ["--weights-file", thin_weights, "--out", tmp_path / "predicted", frames]
    ended = ended_well("predict", "--run", run, *options, names=[run])
    assert ended.status == 2 and "other classes" in ended.err


def test_a_prediction_of_an_unknown_class_is_not_compared(edited_run, other_run):
    run = edited_run("predictions.csv", lambda text: text.replace("anger", "ange", 2).replace("p_ange", "p_anger", 1))
    for runs in ([run, other_run], [other_run, run]):
        ended = ended_well("compare", *runs, names=[run])
        assert ended.status == 2


def test_a_recipe_of_other_bytes_is_written_anew(image_features, prepare_small, tmp_path):
    features = copytree(image_features, tmp_path / "features")
    recipe = next(features.glob("*-pool3-*")) / "store.json"
    whole = recipe.read_bytes()
    recipe.write_bytes(whole.replace(b"pool3", b"pool\xff"))
    assert run_program("prepare", "--out", features, *prepare_small, "--rotations", "[]").status == 0
    assert recipe.read_bytes() == whole


def test_names_of_other_bytes_are_refused_by_cv(store, training_options, tmp_path):
    copied = copytree(store, tmp_path / store.name)
    (copied / "left_out.txt").write_bytes(b"S005\xff\n")
    ended = ended_well("cv", "--features", copied, "--out", tmp_path / "run", *training_options, names=[copied])
    assert ended.status == 2 and "left_out.txt" in ended.err


def track_without(name):
    return lambda tensors, facts: ({key: value for key, value in tensors.items() if key != name}, facts)


TRACKS = {
    "no source": lambda tensors, facts: (tensors, {key: value for key, value in facts.items() if key != "source"}),
    "frames in words": lambda tensors, facts: (tensors, {**facts, "frames": "two"}),
    "no probabilities": track_without("probabilities"),
    "no tensors": lambda tensors, facts: ({}, facts),
    "found in an unknown way": lambda tensors, facts: ({**tensors, "how": tensors["how"] + 7}, facts),
    "a frame less": lambda tensors, facts: ({name: values[1:].clone() for name, values in tensors.items()}, facts),
    "boxes that are no numbers": lambda tensors, facts: ({**tensors, "boxes": tensors["boxes"] * torch.nan}, facts),
}


@pytest.mark.parametrize("change", TRACKS.values(), ids=TRACKS)
def test_a_damaged_track_is_made_anew(image_features, prepare_small, tmp_path, change):
    features = copytree(image_features, tmp_path / "features")
    track = sorted(features.glob("*-faces-*/tracks/*"))[0]
    whole = track.read_bytes()
    with safe_open(track, framework="pt") as file:
        tensors, facts = change(load_file(track), file.metadata())
    save_file(tensors, track, facts)
    assert run_program("prepare", "--out", features, *prepare_small, "--rotations", "[]").status == 0
    assert track.read_bytes() == whole


@pytest.mark.parametrize(
    "entry",
    [
        *({"classes": one} for one in (["anger", "anger"], ["anger", 3], "anger", ["an\nger"], {"anger": 1})),
        {"nodes": None},
        {"nodes": {"places": 3}},
        {"weights": 3},
    ],
    ids=str,
)
def test_what_is_no_part_of_a_fingerprint_is_checked(store, training_options, tmp_path, entry):
    copied = copytree(store, tmp_path / store.name)
    recipe = json.loads((copied / "store.json").read_text(encoding="utf-8"))
    (copied / "store.json").write_text(json.dumps({**recipe, **entry}), encoding="utf-8")
    ended = ended_well("cv", "--features", copied, "--out", tmp_path / "run", *training_options, names=[copied])
    assert ended.status == 2 and "store.json" in ended.err


def test_a_summary_of_an_unknown_network(edited_run):
    run = edited_run("summary.json", lambda text: text.replace('"variant": "strnn"', '"variant": "lstm"'))
    assert "variant" in ended_well("report", run, names=[run]).err


@pytest.mark.parametrize(
    "change",
    [{"epochs_done": None}, {"epochs_done": 2}, {"history": []}, {"best_scores": 1}, {"optimiser": {0: {}}}],
    ids=str,
)
def test_a_training_state_of_other_epochs_is_refused(unfinished_run, store, training_options, tmp_path, change):
    run = copytree(unfinished_run, tmp_path / "run")
    (path,) = run.glob("checkpoints/*.training")
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    ended = ended_well("cv", "--out", run, "--features", store, *training_options, names=[run])
    assert ended.status == 2 and path.name in ended.err


def test_maps_of_another_type_are_refused(store, training_options, tmp_path):
    copied = copytree(store, tmp_path / store.name)
    path = sorted(copied.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes().replace(b'"F16"', b'"I16"', 1))
    ended = ended_well("cv", "--features", copied, "--out", tmp_path / "run", *training_options, names=[copied])
    assert ended.status == 2 and path.name in ended.err


def test_a_member_that_predicts_an_unknown_class(ensemble_run, tmp_path):
    run = copytree(ensemble_run, tmp_path / "run")
    table = (run / "members.csv").read_text(encoding="utf-8")
    (run / "members.csv").write_text(table.replace(",surprise,", ",surprised,", 1), encoding="utf-8")
    ended = ended_well("report", run, names=[run])
    assert ended.status == 2 and "members.csv: names surprised" in ended.err


def test_seconds_of_a_baseline_that_are_no_numbers(reproduction, store, training_options, tmp_path):
    folder = copytree(reproduction, tmp_path / "reproduction")
    table = folder / "logistic" / "predictions.csv"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([header, *(f"{row.rpartition(',')[0]},long" for row in rows), ""]), encoding="utf-8")
    options = ["--features", store, "--out", folder, "--only", "logistic", *training_options]
    ended = ended_well("reproduce", *options, names=[folder])
    assert ended.status == 2 and "predictions.csv: seconds not a number" in ended.err
