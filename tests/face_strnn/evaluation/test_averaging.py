"""Predictions averaged over a sequence's variants and over the networks of several seeds, and their audit."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from runs import cross_validated
from sklearn.metrics import accuracy_score
from variants_store import CONFIG, VARIANTS, write_store

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.store.store import FeatureStore
from face_strnn.audit.audit import audit_run
from face_strnn.cli.program import main
from face_strnn.evaluation.checkpoints import checkpoint_name
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.predictions import averaging_words
from face_strnn.evaluation.run import Run
from face_strnn.experiments.comparison import compare_runs
from face_strnn.models.strnn import STRNN

PROBABILITIES = [f"p_{name}" for name in EMOTIONS]
FIRST_SEED, SEEDS = 3, 3

pytestmark = pytest.mark.filterwarnings("ignore::data_prep.errors.DataWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = write_store(tmp_path_factory.mktemp("features"))
    store.entries()
    return store


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    """Maker of finished runs in two folds, each made once: read them, or take :func:`run`, a copy."""
    folder = tmp_path_factory.mktemp("runs")

    def make(seeds=1, **options):
        out = folder / "-".join([str(seeds), *map(str, options.values())])
        if not out.exists():
            cross_validated(store, out, CONFIG, folds=2, seed=FIRST_SEED, seeds=seeds, **options)
        return out

    return make


@pytest.fixture
def averaged(made):
    return made(test_average=True)


@pytest.fixture
def ensemble(made):
    return made(SEEDS, test_average=False, ensemble=True)


def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def summary_of(run):
    return json.loads((run / "summary.json").read_text())


def edit_summary(run, **changes):
    (run / "summary.json").write_text(json.dumps(summary_of(run) | changes))


def edit_settings(run, **changes):
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def failed(run, store=None):
    return {check.name for check in audit_run(Run(run), store).failed}


def findings(run, name, store=None):
    return " ".join(next(check.findings for check in audit_run(Run(run), store).checks if check.name == name))


def literal_probabilities(run, store, row, variants, seed=FIRST_SEED):
    """The mean of what one network says of each variant of a sequence, one by one."""
    model = STRNN.load(run / "checkpoints" / checkpoint_name(row.fold, seed, FIRST_SEED))
    probabilities = []
    for entry in store.entries():
        if entry.sequence == row.sequence and entry.variant in variants:
            logits = model.logits_of_sequences([store.maps(entry)], "linear")[0].detach().numpy().astype(float)
            probabilities.append(np.exp(logits) / np.exp(logits).sum())
    assert len(probabilities) == len(variants)
    return sum(probabilities) / len(probabilities)


def test_the_mean_over_variants_is_the_literal_mean_by_the_network_of_the_sequences_own_fold(averaged, store):
    predictions = pd.read_csv(averaged / "predictions.csv")
    assert len(predictions) == 12 and predictions["sequence"].is_unique
    for row in predictions.itertuples():
        expected = literal_probabilities(averaged, store, row, VARIANTS)
        found = np.array([getattr(row, name) for name in PROBABILITIES])
        assert found == pytest.approx(expected, abs=1e-5)
        assert row.prediction == EMOTIONS[found.argmax()]
        assert np.abs(found - literal_probabilities(averaged, store, row, [Variant()])).max() > 1e-4


def test_by_default_the_original_sequence_is_predicted_and_networks_are_the_same(averaged, made, store):
    plain = made()
    assert summary_of(plain)["tested"] == "unrotated" and summary_of(averaged)["tested"] == "mean over 3 variants"
    row = next(pd.read_csv(plain / "predictions.csv").itertuples())
    found = [getattr(row, name) for name in PROBABILITIES]
    assert found == pytest.approx(literal_probabilities(plain, store, row, [Variant()]), abs=1e-5)
    for checkpoint in (plain / "checkpoints").iterdir():
        assert checkpoint.read_bytes() == (averaged / "checkpoints" / checkpoint.name).read_bytes()
    assert "ensemble" in summary_of(plain) and "members" not in summary_of(plain)
    assert not (plain / "members.csv").exists()


@pytest.mark.parametrize(
    ("seeds", "options"),
    [
        (1, {"test_average": True}),
        (1, {"learn_from": "original", "test_average": True}),
        (1, {"selection": "inner", "protocol": "leave-one-subject-out", "test_average": True}),
        (SEEDS, {"test_average": False, "ensemble": True}),
        (2, {"learn_from": "one", "test_average": True, "ensemble": True}),
    ],
)
def test_an_honest_run_passes_every_check(made, store, seeds, options):
    audit = audit_run(Run(made(seeds, **options)), store)
    assert {check.name: check.outcome for check in audit.checks if check.outcome != "passed"} == {
        "trained on": "declared"
    }
    assert audit_run(Run(made(seeds, **options))).passed, "without the features, too"


def test_a_run_that_claims_unrotated_and_was_averaged_is_found_however_far_the_claim_goes(averaged, store, tmp_path):
    run = copy(averaged, tmp_path)
    edit_summary(run, tested="unrotated")
    assert failed(run) == {"settings"} and "mean over 3 variants" in findings(run, "settings")
    edit_settings(run, test_average=False)
    assert failed(run) == {"folds", "rotated copies"} and "flipped" in findings(run, "rotated copies")
    folds = pd.read_csv(run / "folds.csv")
    kept = (folds["role"] == "train") | ((folds["rotation"] == 0) & ~folds["flip"])
    folds[kept].to_csv(run / "folds.csv", index=False)
    assert failed(run) == set(), "its files agree now"
    assert failed(run, store) == {"recomputed"}


def test_a_run_that_claims_a_mean_and_took_the_sequence_alone_is_found(averaged, made, store, tmp_path):
    run = copy(averaged, tmp_path)
    shutil.copy(made() / "predictions.csv", run / "predictions.csv")
    edit_summary(run, **summarise(pd.read_csv(run / "predictions.csv"), EMOTIONS))
    assert "recomputed" in failed(run, store)
    run = copy(averaged, tmp_path / "other")
    edit_summary(run, tested="mean over 5 variants")
    assert failed(run, store) == {"settings", "features"}


def test_an_ensembles_row_is_the_literal_mean_over_seeds_and_its_figures_are_of_these_rows(ensemble, made):
    predictions, members = pd.read_csv(ensemble / "predictions.csv"), pd.read_csv(ensemble / "members.csv")
    assert list(predictions) == ["sequence", "subject", "fold", "truth", "prediction", *PROBABILITIES]
    assert len(predictions) == 12 and predictions["sequence"].is_monotonic_increasing
    assert (ensemble / "members.csv").read_text() == (made(SEEDS) / "predictions.csv").read_text()
    for row in predictions.itertuples():
        of_members = members[members["sequence"] == row.sequence]
        assert of_members["seed"].tolist() == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
        expected = sum(of_members[PROBABILITIES].to_numpy()) / SEEDS
        assert [getattr(row, name) for name in PROBABILITIES] == pytest.approx(expected, abs=1e-12)
        assert row.prediction == EMOTIONS[expected.argmax()]
    summary = summary_of(ensemble)
    assert summary["ensemble"] == SEEDS
    assert summary["accuracy"] == accuracy_score(predictions["truth"], predictions["prediction"])
    assert np.sum(summary["confusion_matrix"]) == 12
    each = [accuracy_score(rows["truth"], rows["prediction"]) for _, rows in members.groupby("seed")]
    assert summary["members"] == {
        **{"seeds": [3, 4, 5], "accuracies": each},
        **{"mean": pytest.approx(np.mean(each)), "std": pytest.approx(np.std(each, ddof=1))},
    }
    assert summary["seed_accuracies"] == each


def test_an_edited_row_of_a_member_is_found_though_the_figures_agree(ensemble, store, tmp_path):
    run = copy(ensemble, tmp_path)
    members = pd.read_csv(run / "members.csv")
    members.loc[4, PROBABILITIES[:2]] = members.loc[4, PROBABILITIES[:2]].to_numpy()[::-1]
    members.to_csv(run / "members.csv", index=False)
    name = members.loc[4, "sequence"]
    assert "predictions" in failed(run) and f"1 of 12 sequences: {name}" in findings(run, "predictions")
    assert f"1 of 6 sequences: {name}" in findings(run, "recomputed", store)


def test_an_ensemble_that_leaves_a_member_out_is_found(ensemble, store, tmp_path):
    run = copy(ensemble, tmp_path)
    members = pd.read_csv(run / "members.csv")
    kept = members[members["seed"] != FIRST_SEED + 1]
    means = kept.groupby(["sequence", "subject", "fold", "truth"], as_index=False)[PROBABILITIES].mean()
    means["prediction"] = [EMOTIONS[n] for n in means[PROBABILITIES].to_numpy().argmax(1)]
    means.to_csv(run / "predictions.csv", index=False)
    edit_summary(run, **summarise(means, EMOTIONS))
    assert failed(run) == {"predictions"} and "12 of 12 sequences" in findings(run, "predictions")
    kept.to_csv(run / "members.csv", index=False)
    assert {"tested once", "figures"} <= failed(run) and "seed 4: " in findings(run, "tested once")
    edit_summary(run, ensemble=2)
    assert "settings" in failed(run)


def test_an_ensemble_under_the_name_of_a_single_network_is_found(ensemble, tmp_path):
    run = copy(ensemble, tmp_path)
    edit_summary(run, ensemble=None)
    assert "files" in failed(run) and "summary.json: members not as a run writes it" in findings(run, "files")
    run = copy(ensemble, tmp_path / "without")
    (run / "members.csv").unlink()
    assert "files" in failed(run) and "members.csv" in findings(run, "files")


def test_page_table_and_comparison_name_what_was_averaged(made, ensemble, averaged, capsys):
    both = made(2, learn_from="one", test_average=True, ensemble=True)
    words = "ensemble of 2, mean over 3 variants"
    assert main(["report", str(both)]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "members of the ensemble alone" in printed and "mean over 3 variants of it" in printed
    page = (both / "report.html").read_text(encoding="utf-8")
    assert page.count(words) >= 4, "title, heading, accuracy, comparison"
    assert "Members of the ensemble" in page and 'data-column="seed"' not in page
    compared = compare_runs([Run(made(SEEDS)), Run(ensemble), Run(averaged)])
    assert [one.averaging for one in compared] == ["", f"ensemble of {SEEDS}", "mean over 3 variants"]
    assert [one.seeds for one in compared] == [SEEDS, 1, 1]
    assert compare_runs([Run(averaged), Run(ensemble)])[1].mcnemar_p is not None, "one prediction for each sequence"
    assert main(["compare", str(made(SEEDS)), str(both)]) == 0
    assert words in capsys.readouterr().out
    assert averaging_words(Run(made()).summary) == ""


def test_an_ensemble_that_was_interrupted_or_finished_is_taken_up(made, store, tmp_path):
    run = copy(made(2, learn_from="one", test_average=True, ensemble=True), tmp_path)
    again = {"folds": 2, "seed": FIRST_SEED, "seeds": 2, "learn_from": "one", "test_average": True}
    before = {path.name: path.read_bytes() for path in run.glob("*.csv")}
    (run / "members.csv").unlink()
    cross_validated(store, run, CONFIG, ensemble=True, **again)
    assert {path.name: path.read_bytes() for path in run.glob("*.csv")} == before
    with pytest.raises(BadInput, match=r"ensemble True \(now False\)"):
        cross_validated(store, run, CONFIG, **again)


def test_an_ensemble_of_one_seed_is_refused(store, tmp_path, capsys):
    status = main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "run"), "--ensemble"])
    assert status == 2 and "--ensemble: --seeds 1 has one network" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_store_that_gained_variants_since_is_no_longer_the_one_that_was_averaged_over(made, store, tmp_path):
    run = made(1, learn_from="original", test_average=True)
    grown = write_store(tmp_path / "features", (*VARIANTS, Variant(7)))
    originals = {entry.file_name for entry in store.entries()}
    for name in originals:
        shutil.copy(store.folder / name, grown.folder / name)
    grown.complete()
    grown = FeatureStore.open(grown.folder)
    assert "summary.json has tested mean over 3 variants, by the features it is mean over 4" in findings(
        run, "features", grown
    )
