"""Cheats, and the command that finds each: every one has fooled a reader of published figures, or could."""

import json
import shutil
from dataclasses import replace

import pytest
from ckplus_store import write_ckplus_store
from planted import (
    CONFIG,
    EPOCHS,
    checkpoints,
    count_again,
    edit_header,
    edit_json,
    edit_table,
    make_right,
    options_of,
    relabel,
)
from runs import cross_validated
from safetensors import safe_open

from data_prep.datasets.ckplus_list import ckplus_sequences
from face_strnn.audit.audit import audit_run, write_audit
from face_strnn.cli.program import main
from face_strnn.config import Config, TrainingConfig
from face_strnn.evaluation.run import Run
from face_strnn.training.step import StackStep

SMALL = [
    *("--folds", "2", "--epochs", "1", "--training.batch_size", "64", "--network.length", "3"),
    *("--network.spatial_hidden", "3", "--network.spatial_output", "3", "--network.spatial_projection", "2"),
    *("--network.temporal_hidden", "3", "--network.temporal_projection", "2"),
]


@pytest.fixture
def audited(capsys, store):
    """Runner of ``face-strnn audit``: its status, and the checks by their names."""

    def audit(run, *options):
        capsys.readouterr()
        status = main(["audit", str(run), "--json", *options])
        return status, {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return audit


def failing(checks):
    return {name for name, check in checks.items() if check["outcome"] == "failed"}


def test_test_subjects_trained_on_inside_the_step_are_found_by_training_again(store, tmp_path, audited, monkeypatch):
    def leaking(self, batch, labels, train_mask, *others):
        return step(self, batch, labels, train_mask.new_ones(train_mask.shape), *others)

    step, features = StackStep.step, ["--features", str(store.folder)]
    with monkeypatch.context() as patch:
        patch.setattr(StackStep, "step", leaking)
        assert main(["cv", *features, "--out", str(tmp_path / "run"), *options_of(CONFIG)]) == 0
    status, checks = audited(tmp_path / "run", *features)
    assert status == 0 and checks["trained on"]["outcome"] == "declared"
    status, checks = audited(tmp_path / "run", *features, "--repeat-fold", "2")
    assert status == 2 and failing(checks) == {"trained on"}
    assert "fold-02.safetensors: other " in checks["trained on"]["findings"][1]


@pytest.fixture(scope="module")
def published():
    return [(one.name, one.subject, one.emotion) for one in ckplus_sequences()]


@pytest.fixture
def audit_of(tmp_path, audited):
    """Runner of a cross-validation over a store named CK+ and of its audit: status and checks."""

    def audit(sequences):
        store, out = write_ckplus_store(tmp_path / "features", sequences), tmp_path / "run"
        network = replace(CONFIG.network, grid=(1, 2), input_size=3)
        settings = Config(network, TrainingConfig(epochs=1, batch_size=64))
        cross_validated(store, out, settings, folds=2)
        return audited(out)

    return audit


def test_one_person_under_several_subject_ids_is_found(published, tmp_path, audited, capsys):
    store = write_ckplus_store(tmp_path / "features", [(name, name, emotion) for name, _, emotion in published])
    assert main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "run"), *SMALL]) == 2
    said = capsys.readouterr()
    assert "0 of 327 published sequences\n327 under another subject than published: S005_001, " in said.out
    assert "failed: published list" in said.err
    page = " ".join((tmp_path / "run" / "report.html").read_text().split())
    assert "<strong>Not CK+ as published:</strong> 327 under another subject than published: S005_001, " in page
    status, checks = audited(tmp_path / "run")
    assert status == 2 and failing(checks) == {"published list"}


def test_labels_changed_before_the_run_are_found(published, audit_of):
    changed = [(name, subject, "anger" if emotion == "contempt" else emotion) for name, subject, emotion in published]
    status, checks = audit_of(changed)
    assert status == 2 and failing(checks) == {"published list"}
    assert "18 with another emotion than published: " in checks["published list"]["findings"][0]
    assert checks["published list"]["remarks"] == ["309 of 327 published sequences"]


def test_sequences_dropped_before_the_run_are_found(published, audit_of):
    status, checks = audit_of(published[:-3])
    assert status == 2 and failing(checks) == {"published list"}
    names = ", ".join(name for name, _, _ in published[-3:])
    assert checks["published list"]["findings"] == [f"3 of the published sequences missing: {names} (folds.csv)"]


@pytest.mark.parametrize(
    "facts",
    [
        ("validation_sha256", "train_sha256", "epoch", "selection"),
        ("machines", "stack", "validation_sha256", "history"),
        ("selection",),
    ],
)
def test_an_oracle_run_with_facts_deleted_from_its_headers_is_found(run, audited, capsys, made, facts):
    out = run("oracle")
    relabel(out, "last")
    for path in checkpoints(out):
        edit_header(path, lambda header: {name: value for name, value in header.items() if name not in facts})
    status, checks = audited(out)
    assert status == 2 and {"files", "trained on", "selection"} <= failing(checks)
    (out / "audit.json").unlink()
    assert main(["compare", str(made()), str(out)]) == 0
    said = capsys.readouterr().out
    assert "audit failed" in said and f"{out}: its audit: " in said


def test_an_oracle_run_with_headers_forged_consistently_is_found_by_training_again(run, store, audited):
    out, features = run("oracle"), ["--features", str(store.folder)]
    relabel(out, "last")

    def of_last(header):
        history = json.loads(header["history"])
        history = [epoch | {"validation_accuracy": None, "validation_cross_entropy": None} for epoch in history]
        forged = {"selection": "last", "validation_sha256": "", "epoch": str(EPOCHS), "history": json.dumps(history)}
        return header | forged

    kept = []
    for path in checkpoints(out):
        with safe_open(path, framework="pt") as file:
            kept.append(int(file.metadata()["epoch"]))
        edit_header(path, of_last)
    assert set(kept) != {EPOCHS}, "the best epoch on the test subjects is not always the last"
    assert audited(out, *features)[0] == 0
    status, checks = audited(out, *features, "--repeat-fold", "all")
    assert status == 2 and failing(checks) == {"trained on"}
    found = {finding.split(":")[0] for finding in checks["trained on"]["findings"]}
    assert found == {path.name for path, epoch in zip(checkpoints(out), kept, strict=True) if epoch != EPOCHS}


def forge_audit(run):
    """Let audit.json say that every check passed, on the files as they are."""
    audit = audit_run(Run(run))
    forged = [replace(check, outcome="passed", findings=(), remarks=()) for check in audit.checks]
    write_audit(Run(run), replace(audit, checks=tuple(forged)))


def test_predictions_edited_with_probabilities_and_summary_are_found_with_the_features_alone(
    run, store, audited, capsys, made
):
    out = run()
    edit_table(out, "predictions.csv", lambda table: make_right(table, with_probabilities=True))
    count_again(out)
    status, checks = audited(out)
    assert status == 0 and checks["recomputed"]["outcome"] == "not checkable"
    status, checks = audited(out, "--features", str(store.folder))
    assert status == 2 and failing(checks) == {"recomputed"}
    # Without the features the failure stands until a new audit.
    assert main(["compare", str(made()), str(out)]) == 0
    assert f"{out}: its audit: " in capsys.readouterr().out


def test_an_audit_that_was_edited_to_passed_shows_nothing(run, audited, store, capsys):
    out = run()
    edit_table(out, "predictions.csv", lambda table: make_right(table, with_probabilities=True))
    count_again(out)
    forge_audit(out)
    assert main(["report", str(out)]) == 0
    assert "audit: 10 of 14 checks passed, 4 declared" in capsys.readouterr().out
    page = " ".join((out / "report.html").read_text().split())
    assert page.count("Declared: as audit.json says") == 4
    assert audited(out, "--features", str(store.folder))[0] == 2


def test_an_audit_that_was_edited_to_passed_hides_nothing_that_the_files_show(run, made, capsys):
    out = run()
    edit_json(out, accuracy=0.99)
    forge_audit(out)
    assert main(["report", str(out)]) == 0
    assert "1 failed: figures" in capsys.readouterr().out
    assert main(["compare", "--json", str(made()), str(out)]) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert first["mark"] == "" and second["mark"] == "audit failed" and "1 failed: figures" in second["audit"]


def test_a_warning_of_a_class_that_was_never_trained_on_cannot_be_deleted(run, audited):
    out = run()
    assert len(json.loads((out / "summary.json").read_text())["warnings"]) > 0
    edit_json(out, warnings=[])
    status, checks = audited(out)
    assert status == 2 and failing(checks) == {"classes"}


def test_an_accuracy_in_training_that_hides_a_leak_is_found(run, audited, store):
    out = run()
    networks = json.loads((out / "summary.json").read_text())["networks"]
    edit_json(out, networks=[one | {"held_out_accuracy": one["held_out_accuracy"] / 2 + 0.01} for one in networks])
    assert failing(audited(out)[1]) == {"figures"}
    edit_json(out, networks=[one | {"training_accuracy": one["training_accuracy"] / 2} for one in networks])
    status, checks = audited(out, "--features", str(store.folder))
    assert status == 2 and failing(checks) == {"recomputed"}
    edit_json(out, networks=networks[1:])
    assert failing(audited(out)[1]) == {"figures"}


def test_a_frozen_network_taken_away_from_a_finetuned_run_is_missed(finetuned_run, tmp_path, audited):
    out = shutil.copytree(finetuned_run, tmp_path / "run")
    (out / "frozen" / "checkpoints" / "fold-01.safetensors").unlink()
    (out / "frozen" / "predictions.csv").unlink()
    status, checks = audited(out)
    assert status == 2 and failing(checks) == {"trained on", "figures"}
    assert "frozen/checkpoints/fold-01.safetensors is missing" in checks["trained on"]["findings"][0]
