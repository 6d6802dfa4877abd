"""What an audit finds in the checkpoints of a run: their headers, their history, their epochs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from planted import (
    CONFIG,
    EPOCHS,
    FOLDS,
    checkpoints,
    edit_header,
    edit_history_of_header,
    edit_table,
    failed,
    findings,
    kept_epoch,
    relabel,
)
from runs import cross_validated, plan_of
from safetensors import safe_open

from data_prep.faces.variants import Variant
from face_strnn.evaluation.folds import make_folds
from face_strnn.evaluation.learners.stacked_on_maps import StackedOnMaps
from face_strnn.evaluation.run_folder import open_run_folder
from face_strnn.evaluation.settings import RunSettings
from face_strnn.training.samples import Samples, names_sha256


def test_a_network_that_was_really_trained_on_a_test_subject_is_found_though_folds_csv_is_honest(store, tmp_path):
    out, plan, samples = tmp_path / "run", plan_of(CONFIG, folds=FOLDS), Samples.of(store)
    honest = make_folds(samples, samples, plan)
    third = honest[2]
    leaked = np.flatnonzero(samples.subjects == samples.subjects[third.test[0]])
    leaking = [*honest[:2], replace(third, train=np.union1d(third.train, leaked)), *honest[3:]]
    settings = RunSettings.of(plan, samples, samples.originals(), FOLDS)
    open_run_folder(out, settings.as_dict)
    (out / "checkpoints").mkdir()
    StackedOnMaps(settings, samples).fit(leaking, out)
    cross_validated(store, out, CONFIG, folds=FOLDS)
    assert failed(out) == failed(out, store) == {"trained on"}
    assert findings(out, "trained on").startswith("fold-03.safetensors: ")


def test_an_oracle_run_fails_on_its_selection_alone(made, store):
    assert failed(made("oracle"), store) == {"selection"}
    assert "not comparable" in findings(made("oracle"), "selection")


@pytest.mark.parametrize("selection", ["last", "inner"])
def test_an_oracle_run_under_another_name_is_found(run, selection):
    out = run("oracle")
    relabel(out, selection)
    assert {"settings", "selection"} <= failed(out)
    for path in checkpoints(out):
        edit_header(path, lambda header: header | {"selection": selection})
    assert "selection" in failed(out) and "settings" not in failed(out)


def test_an_oracle_run_as_inner_with_forged_headers_is_found_by_its_validation_accuracy(run, made, store):
    out = run("oracle")
    relabel(out, "inner")
    shutil.copy(made("inner") / "folds.csv", out)
    for path, honest in zip(checkpoints(out), checkpoints(made("inner")), strict=True):
        with safe_open(honest, framework="pt") as file:
            of_inner = file.metadata()
        forged = {name: of_inner[name] for name in ("selection", "train_sha256", "validation_sha256")}
        edit_header(path, lambda header, forged=forged: header | forged)
    assert failed(out) == set()
    assert failed(out, store) == {"recomputed"}
    assert "on the validation subjects it has accuracy" in findings(out, "recomputed", store)


def test_an_edited_history_is_found(run, store):
    out = run("inner")

    def flatter(table):
        return table.assign(validation_accuracy=table["validation_accuracy"].where(table["epoch"] > 1, 1.01))

    edit_table(out, "history.csv", flatter)
    assert failed(out, store) == {"selection"}
    assert "another validation_accuracy" in findings(out, "selection")


def test_a_model_of_another_epoch_than_the_history_asks_for_is_found(run, store):
    out = run("inner")
    path = checkpoints(out)[0]
    other = kept_epoch(path) % EPOCHS + 1

    def flatter_header(history):
        return [epoch | ({"validation_accuracy": 1.01} if epoch["epoch"] == other else {}) for epoch in history]

    def flatter_table(table):
        table.loc[(table["fold"] == 1) & (table["epoch"] == other), "validation_accuracy"] = 1.01
        return table

    edit_history_of_header(path, flatter_header)
    edit_table(out, "history.csv", flatter_table)
    assert "selection" in failed(out)
    assert f"keeps epoch {kept_epoch(path)}, and inner asks for {other}" in findings(out, "selection")
    edit_header(path, lambda header: header | {"epoch": str(other)})
    assert failed(out) == set()
    assert failed(out, store) == {"recomputed"}


def test_a_history_that_ends_early_or_chooses_an_epoch_is_not_of_the_last_epoch(run):
    out = run()
    edit_history_of_header(checkpoints(out)[0], lambda history: history[:-1])
    assert f"not of the epochs 1 to {EPOCHS}" in findings(out, "selection")
    out = shutil.copytree(out, out.with_name("other"))
    edit_history_of_header(checkpoints(out)[1], lambda history: [e | {"validation_accuracy": 0.5} for e in history])
    assert "fold-02.safetensors: its history has accuracies that choose an epoch" in findings(out, "selection")


def test_swapped_checkpoints_are_found(run, store):
    out = run()
    first, second = checkpoints(out)[:2]
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert failed(out, store) == {"trained on", "recomputed"}
    assert "fold-01.safetensors holds the network of fold 2" in findings(out, "trained on")
    for number, path in enumerate((first, second), start=1):
        edit_header(path, lambda header, number=number: header | {"fold": str(number)})
    assert failed(out) == {"trained on"}


def test_missing_damaged_and_strange_checkpoints_are_each_named(run):
    out = run()
    first, second, third, _ = checkpoints(out)
    first.unlink()
    second.write_bytes(b"half")
    edit_header(third, lambda header: {key: header[key] for key in ("config", "classes")})
    (out / "checkpoints" / "fold-99.safetensors").write_bytes(b"stray")
    said = findings(out, "files")
    needing = {"settings", "classes", "trained on", "selection"}
    assert failed(out) == {"files", *needing}
    assert all(f"fold-{number}.safetensors" in said for number in ("01", "02", "03", "99")) and "fold-04" not in said
    assert all("a checkpoint is missing or damaged" in findings(out, name) for name in needing)


@pytest.mark.parametrize("fact", ["fold", "epoch", "train_sha256", "history", "interpolation", "stack", "machines"])
def test_a_checkpoint_whose_header_lacks_a_fact_is_named(run, fact):
    out = run()
    edit_header(checkpoints(out)[1], lambda header: {name: value for name, value in header.items() if name != fact})
    assert failed(out) == {"files", "settings", "classes", "trained on", "selection"}
    assert f"fold-02.safetensors: its header lacks {fact}" in findings(out, "files")


def test_the_checksum_of_names_knows_which_samples_and_not_their_order():
    names = [("S1_1", Variant(0)), ("S1_1", Variant(-7)), ("S2_1", Variant(0))]
    assert names_sha256(names) == names_sha256(names[::-1])
    others = ([], names[:2], [("S1_1", Variant(0)), ("S1_1", Variant(7)), ("S2_1", Variant(0))])
    others += ([("S1_1", Variant(0, flip=True)), ("S1_1", Variant(-7)), ("S2_1", Variant(0))],)
    assert len({names_sha256(part) for part in (names, *others)}) == 5
