"""The audit of a finished run, honest or with a cheat planted in it: random maps, a tiny network, real training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from planted import (
    CONFIG,
    DECLARED,
    FOLDS,
    NEED_FEATURES,
    count_again,
    edit_json,
    edit_table,
    failed,
    findings,
    options_of,
    outcomes,
    write_store,
)
from runs import cross_validated

from data_prep.datasets.emotions import EMOTIONS
from data_prep.datasets.problems import PROBLEMS_FILE, Problem, write_problems
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.audit.audit import audit_run, standing_audit, write_audit
from face_strnn.cli.program import main
from face_strnn.evaluation.run import Run
from face_strnn.models.strnn import STRNN
from face_strnn.report.page import render_report


@pytest.mark.parametrize(
    "options",
    [
        ("last",),
        ("inner",),
        ("last", "interleaved", 2),
        ("inner", "contiguous"),
        ("last", "leave-one-subject-out"),
        ("last", "given"),
    ],
)
def test_an_honest_run_passes_every_check(made, store, options):
    audit = audit_run(Run(made(*options)), store)
    assert {check.name for check in audit.checks if check.outcome != "passed"} == DECLARED
    assert audit.passed and audit.verdict == "13 of 14 checks passed, 1 declared"
    assert "--repeat-fold" in " ".join(audit.check("trained on").remarks)


def test_without_the_features_only_what_needs_them_stays_open(made):
    found = outcomes(made())
    assert {name for name, outcome in found.items() if outcome == "not checkable"} == NEED_FEATURES
    assert {name for name, outcome in found.items() if outcome == "passed"} == found.keys() - NEED_FEATURES - DECLARED
    assert "--features" in findings(made(), "recomputed")
    given = outcomes(made("last", "given"))
    assert given["folds"] == "not checkable" and given["subjects"] == "passed"


def test_a_prediction_that_was_made_from_a_rotated_copy_is_found(run, store):
    out = run()
    (rotated,) = [entry for entry in store.entries() if (entry.sequence, entry.rotation) == ("S0_2", 7)]
    model = STRNN.load(out / "checkpoints" / "fold-01.safetensors")
    probabilities = model.logits_of_sequences([store.maps(rotated)]).double().softmax(1)[0].tolist()

    def test_rotated(table):
        table.loc[table["sequence"] == "S0_2", [f"p_{emotion}" for emotion in EMOTIONS]] = probabilities
        table.loc[table["sequence"] == "S0_2", "prediction"] = EMOTIONS[int(np.argmax(probabilities))]
        return table

    edit_table(out, "predictions.csv", test_rotated)
    count_again(out)
    assert failed(out) == set()
    assert failed(out, store) == {"recomputed"}
    assert "S0_2" in findings(out, "recomputed", store)


def test_other_maps_under_the_same_name_are_found(made, tmp_path):
    other = write_store(tmp_path / "other", seed=1)
    assert failed(made(), other) == {"features"}
    assert findings(made(), "features", other).startswith("the features have maps_blake2b")


def test_features_of_other_images_are_found_and_nothing_else_is_held_against_them(made, tmp_path):
    other = write_store(tmp_path / "other", source="1" * 64)
    assert failed(made(), other) == {"features"}
    assert outcomes(made(), other)["recomputed"] == "not checkable"
    assert "not those that config.yaml names" in findings(made(), "recomputed", other)


def test_an_edited_index_of_the_features_is_found(made, store, tmp_path):
    own = FeatureStore.open(shutil.copytree(store.folder, tmp_path / store.folder.name))
    index = own.folder / "index.csv"
    index.write_text(index.read_text().replace("S7_2,S7", "S7_2,S6"))
    assert failed(made(), own) == {"features"}
    assert "S7_2_rot+00.safetensors" in findings(made(), "features", own)


def test_features_that_lack_a_sequence_are_found(made, store, tmp_path):
    own = FeatureStore.open(shutil.copytree(store.folder, tmp_path / store.folder.name))
    for path in own.folder.glob("S3_1*"):
        path.unlink()
    assert failed(made(), own) == {"features"}
    assert "S3_1_rot+00.safetensors and 1 more removed from it, 23 of 24" in findings(made(), "features", own)
    own.complete()
    assert "n_samples 48, the features 46" in findings(made(), "features", own)


def test_what_was_damaged_in_the_features_is_in_the_summary_and_checked(store, run, tmp_path):
    own = FeatureStore.open(shutil.copytree(store.folder, tmp_path / store.folder.name))
    write_problems(own.folder / PROBLEMS_FILE, [Problem(Path("data/S8_0/1.png"), "is empty", "S8_0")])
    assert failed(run(), own) == {"features"}
    assert 'damaged [], the features ["S8_0"]' in findings(tmp_path / "run", "features", own).replace("'", '"')
    summary = cross_validated(own, tmp_path / "complete", CONFIG, folds=FOLDS, seed=3)
    assert summary.damaged == ["S8_0"] and not failed(tmp_path / "complete", own)


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "predictions.csv", "history.csv", "folds.csv"])
@pytest.mark.parametrize("content", [None, b"\x89PNG", b"", b"a,b\n1,2\n"])
def test_a_missing_or_damaged_file_is_named_and_the_rest_is_still_checked(run, store, name, content):
    out = run()
    (out / name).unlink()
    if content is not None:
        (out / name).write_bytes(content)
    found = outcomes(out, store)
    assert findings(out, "files").startswith(f"{name}: ")
    assert "files" in failed(out, store) and "not checkable" not in found.values()
    assert found["rotated copies"] == ("failed" if name in ("folds.csv", "config.yaml") else "passed")
    assert found["trained on"] == ("failed" if name == "config.yaml" else "declared")


def test_a_run_is_audited_from_within_its_own_folder(run, monkeypatch):
    out = run()
    (out / "folds.csv").write_bytes(b"a,b\n1,2\n")
    monkeypatch.chdir(out)
    assert findings(Path(), "files") == findings(out, "files") != ""


def test_an_audit_that_is_written_down_stands_until_a_file_changes(run, store):
    out = run()
    audit = audit_run(Run(out), store)
    write_audit(Run(out), audit)
    standing = standing_audit(Run(out))
    outcomes = {check.name: check.outcome for check in standing.checks}
    assert {name for name, outcome in outcomes.items() if outcome == "declared"} == NEED_FEATURES | DECLARED
    assert standing.check("recomputed").remarks == ("as audit.json says",) and standing.passed
    edit_json(out, accuracy=0.99)
    assert "figures" in {check.name for check in standing_audit(Run(out)).failed}
    (out / "audit.json").write_text("{}")
    assert "figures" in {check.name for check in standing_audit(Run(out)).failed}


def test_the_page_begins_with_the_audit(run, store):
    out = run()
    write_audit(Run(out), audit_run(Run(out), store))
    page = render_report(Run(out)).read_text(encoding="utf-8")
    assert page.index("<h2>Audit: 10 of 14 checks passed, 4 declared</h2>") < page.index('aria-label="Result"')
    edit_json(out, accuracy=0.99)
    page = render_report(Run(out)).read_text(encoding="utf-8")
    assert "1 declared, 3 not checkable, 1 failed: figures</h2>" in page
    assert "summary.json has accuracy 0.99, predictions.csv gives" in page


def test_the_program_audits_and_says_what_is_wrong(run, store, capsys):
    out = run()
    features = ["--features", str(store.folder)]
    assert main(["audit", str(out), *features]) == 0
    assert "13 of 14 checks passed, 1 declared" in capsys.readouterr().out
    assert json.loads((out / "audit.json").read_text())["passed"]
    edit_json(out, accuracy=0.99)
    assert main(["audit", str(out), "--json", *features]) == 2
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found == json.loads((out / "audit.json").read_text()) and not found["passed"]
    assert [check["name"] for check in found["checks"] if check["outcome"] == "failed"] == ["figures"]
    assert "1 failed: figures" in said.err and len(said.err.splitlines()) == 1
    assert main(["audit", str(out)]) == 2
    assert "predictions.csv gives" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    with pytest.raises(BadInput, match="no run folder"):
        Run.open(tmp_path)
    assert main(["audit", str(tmp_path)]) == 2
    assert "no run folder" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_every_cross_validation_is_audited_at_its_end(store, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["cv", "--features", str(store.folder), "--out", str(out), *options_of(CONFIG)]
    assert main(command) == 0
    assert "audit: 13 of 14 checks passed, 1 declared" in capsys.readouterr().out
    assert json.loads((out / "audit.json").read_text())["passed"]
    assert "Audit: 13 of 14 checks passed, 1 declared" in (out / "report.html").read_text(encoding="utf-8")
    edit_table(out, "predictions.csv", lambda t: t.assign(prediction=t["truth"]))
    assert main(command) == 2
    assert "failed: predictions, figures, recomputed" in capsys.readouterr().err


def test_an_oracle_cross_validation_ends_well_and_its_audit_does_not(store, tmp_path):
    out = tmp_path / "run"
    command = ["cv", "--features", str(store.folder), "--out", str(out), "--selection", "oracle", *options_of(CONFIG)]
    assert main(command) == 0
    assert main(["audit", str(out), "--features", str(store.folder)]) == 2
