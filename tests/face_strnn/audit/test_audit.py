"""The audit of a finished run, honest or with a cheat planted in it: random maps, a tiny network, real training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from runs import cross_validated, plan_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.datasets.emotions import EMOTIONS
from data_prep.datasets.problems import PROBLEMS_FILE, Problem, write_problems
from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.audit.audit import audit_run, standing_audit, write_audit
from face_strnn.cli.program import main
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.folds import make_folds
from face_strnn.evaluation.learners.stacked_on_maps import StackedOnMaps
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.run_folder import open_run_folder
from face_strnn.evaluation.settings import RunSettings
from face_strnn.models.strnn import STRNN
from face_strnn.report.page import render_report
from face_strnn.training.samples import Samples, names_sha256

SUBJECTS, FOLDS, EPOCHS = 8, 4, 5
NETWORK = NetworkConfig(
    input_size=4,
    grid=(2, 2),
    spatial_hidden=4,
    spatial_output=3,
    spatial_projection=2,
    temporal_hidden=5,
    length=5,
    n_classes=7,
)
CONFIG = Config(NETWORK, TrainingConfig(epochs=EPOCHS, batch_size=6, learning_rate=0.02))
NEED_FEATURES = {"features", "baselines", "recomputed"}


def write_store(folder, seed=0, source="0" * 64):
    """Eight subjects of three random sequences each, and one rotated copy of every sequence; subjects tell the fold."""
    rng = np.random.default_rng(seed)
    store = FeatureStore.create(folder, "random", {"data": "synthetic"})
    for subject in range(SUBJECTS):
        for number in range(3):
            emotion = EMOTIONS[(subject + number) % 3]
            for rotation in (0, 7):
                frames = 2 + number
                entry = StoredSequence(
                    f"S{subject}_{number}", f"S{subject}", emotion, rotation, frames, source, f"block {subject // 3}"
                )
                store.write(entry, torch.from_numpy(rng.normal(size=(frames, 2, 2, 4))).half())
    store.complete()
    store.entries()
    return FeatureStore.open(store.folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    """Maker of finished runs, each made once: read them, or take :func:`run`, a copy."""
    folder = tmp_path_factory.mktemp("runs")

    def make(selection="last", protocol="interleaved", seeds=1):
        out = folder / f"{selection}-{protocol}-{seeds}"
        if not out.exists():
            cross_validated(
                store, out, CONFIG, protocol=protocol, folds=FOLDS, selection=selection, seed=3, seeds=seeds
            )
        return out

    return make


@pytest.fixture
def run(made, tmp_path):
    """Copy a finished run, to plant something in."""
    return lambda *options: shutil.copytree(made(*options), tmp_path / "run")


def outcomes(run, store=None):
    return {check.name: check.outcome for check in audit_run(Run(run), store).checks}


def failed(run, store=None):
    return {check.name for check in audit_run(Run(run), store).failed}


def findings(run, name, store=None):
    return " ".join(next(check.findings for check in audit_run(Run(run), store).checks if check.name == name))


def edit_table(run, name, edit):
    table = pd.read_csv(run / name)
    edit(table).to_csv(run / name, index=False)


def edit_json(run, **changes):
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_settings(run, **changes):
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def edit_header(path, edit):
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(load_file(path), path, edit(header))


def edit_history_of_header(path, edit):
    edit_header(path, lambda header: header | {"history": json.dumps(edit(json.loads(header["history"])))})


def checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def count_again(run):
    """Make summary.json agree with an edited predictions.csv, as a careful cheat would."""
    predictions = pd.read_csv(run / "predictions.csv")
    edit_json(run, **summarise(predictions, EMOTIONS))
    seeds = predictions.assign(right=predictions["truth"] == predictions["prediction"]).groupby("seed")
    edit_json(run, seed_accuracies=seeds["right"].mean().tolist())


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
    assert [check for check in audit.checks if check.outcome != "passed"] == []
    assert audit.passed and audit.verdict == "14 of 14 checks passed"


def test_without_the_features_only_what_needs_them_stays_open(made):
    found = outcomes(made())
    assert {name for name, outcome in found.items() if outcome == "not checkable"} == NEED_FEATURES
    assert {name for name, outcome in found.items() if outcome == "passed"} == found.keys() - NEED_FEATURES
    assert "--features" in findings(made(), "recomputed")
    given = outcomes(made("last", "given"))
    assert given["folds"] == "not checkable" and given["subjects"] == "passed"


def test_an_oracle_run_fails_on_its_selection_alone(made, store):
    assert failed(made("oracle"), store) == {"selection"}
    assert "not comparable" in findings(made("oracle"), "selection")


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


def relabel(run, selection):
    """Call an oracle run by another name, in every file but the checkpoints."""
    edit_settings(run, selection=selection)
    edit_json(run, selection=selection)
    new = {"last": lambda t: t.drop(columns=["test_accuracy", "test_cross_entropy"])}
    rename = lambda t: t.rename(columns=lambda column: column.replace("test_", "validation_"))  # noqa: E731
    edit_table(run, "history.csv", new.get(selection, rename))


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


def kept_epoch(path):
    with safe_open(path, framework="pt") as file:
        return int(file.metadata()["epoch"])


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


def make_right(table, with_probabilities):
    """Turn the first wrong prediction into a right one."""
    row = table.index[table["truth"] != table["prediction"]][0]
    predicted, truth = f"p_{table.loc[row, 'prediction']}", f"p_{table.loc[row, 'truth']}"
    table.loc[row, "prediction"] = table.loc[row, "truth"]
    if with_probabilities:
        table.loc[row, [predicted, truth]] = table.loc[row, [truth, predicted]].to_numpy()
    return table


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


def test_a_changed_order_of_the_classes_is_found(run, store):
    out = run()
    order = [*EMOTIONS[1:], EMOTIONS[0]]
    edit_json(out, **summarise(pd.read_csv(out / "predictions.csv"), order), classes=order)
    assert failed(out) == {"classes"}
    edit_table(out, "predictions.csv", lambda t: t[[*t.columns[:6], *(f"p_{emotion}" for emotion in order)]])
    for path in checkpoints(out):
        edit_header(path, lambda header: header | {"classes": json.dumps(order)})
    assert failed(out, store) == {"features", "recomputed"}


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "predictions.csv", "history.csv", "folds.csv"])
@pytest.mark.parametrize("content", [None, b"\x89PNG", b"", b"a,b\n1,2\n"])
def test_a_missing_or_damaged_file_is_named_and_the_rest_is_still_checked(run, store, name, content):
    out = run()
    (out / name).unlink()
    if content is not None:
        (out / name).write_bytes(content)
    found = outcomes(out, store)
    assert {check for check, outcome in found.items() if outcome == "failed"} == {"files"}
    assert findings(out, "files").startswith(f"{name}: ")
    assert "not checkable" in found.values() and (name == "config.yaml" or "passed" in found.values())


def test_a_run_is_audited_from_within_its_own_folder(run, monkeypatch):
    out = run()
    (out / "folds.csv").write_bytes(b"a,b\n1,2\n")
    monkeypatch.chdir(out)
    assert findings(Path(), "files") == findings(out, "files") != ""


def test_missing_damaged_and_strange_checkpoints_are_each_named(run):
    out = run()
    first, second, third, _ = checkpoints(out)
    first.unlink()
    second.write_bytes(b"half")
    edit_header(third, lambda header: {key: header[key] for key in ("config", "classes")})
    (out / "checkpoints" / "fold-99.safetensors").write_bytes(b"stray")
    said = findings(out, "files")
    assert failed(out) == {"files"}
    assert all(f"fold-{number}.safetensors" in said for number in ("01", "02", "03", "99")) and "fold-04" not in said
    assert outcomes(out)["trained on"] == outcomes(out)["selection"] == "not checkable"


def test_edits_that_no_table_should_hold_are_findings_and_not_crashes(run, store):
    out = run()
    edit_table(out, "predictions.csv", lambda t: t.assign(p_anger="much", prediction="boredom"))
    assert failed(out, store) == {"predictions", "figures", "recomputed"}
    edit_table(out, "folds.csv", lambda t: t.assign(fold="first"))
    assert "fold is not a whole number" in findings(out, "files")
    edit_json(out, features=[], fold_accuracies=None, classes=7)
    edit_settings(out, training={"epochs": "many"}, folds=77, protocol="random")
    assert failed(out, store) == {"files"}, "what cannot be read is not checkable, and nothing crashes"


@pytest.mark.parametrize("fact", ["fold", "epoch", "train_sha256", "history", "interpolation"])
def test_a_checkpoint_whose_header_lacks_a_fact_is_named(run, fact):
    out = run()
    edit_header(checkpoints(out)[1], lambda header: {name: value for name, value in header.items() if name != fact})
    assert failed(out) == {"files"}
    assert f"fold-02.safetensors: its header lacks {fact}" in findings(out, "files")


def test_the_checksum_of_names_knows_which_samples_and_not_their_order():
    names = [("S1_1", Variant(0)), ("S1_1", Variant(-7)), ("S2_1", Variant(0))]
    assert names_sha256(names) == names_sha256(names[::-1])
    others = ([], names[:2], [("S1_1", Variant(0)), ("S1_1", Variant(7)), ("S2_1", Variant(0))])
    others += ([("S1_1", Variant(0, flip=True)), ("S1_1", Variant(-7)), ("S2_1", Variant(0))],)
    assert len({names_sha256(part) for part in (names, *others)}) == 5


def test_an_audit_that_is_written_down_stands_until_a_file_changes(run, store):
    out = run()
    audit = audit_run(Run(out), store)
    write_audit(Run(out), audit)
    assert standing_audit(Run(out)) == audit
    edit_json(out, accuracy=0.99)
    assert "figures" in {check.name for check in standing_audit(Run(out)).failed}
    (out / "audit.json").write_text("{}")
    assert "figures" in {check.name for check in standing_audit(Run(out)).failed}


def test_the_page_begins_with_the_audit(run, store):
    out = run()
    write_audit(Run(out), audit_run(Run(out), store))
    page = render_report(Run(out)).read_text(encoding="utf-8")
    assert page.index("<h2>Audit: 14 of 14 checks passed</h2>") < page.index('aria-label="Result"')
    edit_json(out, accuracy=0.99)
    page = render_report(Run(out)).read_text(encoding="utf-8")
    assert "3 not checkable, 1 failed: figures</h2>" in page
    assert "summary.json has accuracy 0.99, predictions.csv gives" in page


def test_the_program_audits_and_says_what_is_wrong(run, store, capsys):
    out = run()
    features = ["--features", str(store.folder)]
    assert main(["audit", str(out), *features]) == 0
    assert "14 of 14 checks passed" in capsys.readouterr().out
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


def options_of(config):
    sizes = {name: value for name, value in vars(config.network).items() if name not in ("grid", "activation")}
    given = [text for name, value in sizes.items() for text in (f"--network.{name}", str(value))]
    return [*given, "--network.grid", "[2,2]", "--training.batch_size", "6", "--epochs", "2", "--folds", str(FOLDS)]


def test_every_cross_validation_is_audited_at_its_end(store, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["cv", "--features", str(store.folder), "--out", str(out), *options_of(CONFIG)]
    assert main(command) == 0
    assert "audit: 14 of 14 checks passed" in capsys.readouterr().out
    assert json.loads((out / "audit.json").read_text())["passed"]
    assert "Audit: 14 of 14 checks passed" in (out / "report.html").read_text(encoding="utf-8")
    edit_table(out, "predictions.csv", lambda t: t.assign(prediction=t["truth"]))
    assert main(command) == 2
    assert "failed: predictions, figures, recomputed" in capsys.readouterr().err


def test_an_oracle_cross_validation_ends_well_and_its_audit_does_not(store, tmp_path):
    out = tmp_path / "run"
    command = ["cv", "--features", str(store.folder), "--out", str(out), "--selection", "oracle", *options_of(CONFIG)]
    assert main(command) == 0
    assert main(["audit", str(out), "--features", str(store.folder)]) == 2
