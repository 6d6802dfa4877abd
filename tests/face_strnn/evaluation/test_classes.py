"""Nodes and classes are facts of the store: other nodes than a grid, and runs that tell only some classes apart."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from runs import plan_of

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import EMOTIONS, SIX_EMOTIONS, chosen_classes
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.audit.audit import audit_run
from face_strnn.cli.program import main
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.folds import make_folds
from face_strnn.models.scan import Scan
from face_strnn.training.samples import Samples

SMALL = [
    *("--network.spatial_hidden", "3", "--network.spatial_output", "3", "--network.spatial_projection", "2"),
    *("--network.temporal_hidden", "3", "--network.length", "3", "--network.temporal_projection", "2"),
    *("--epochs", "1", "--training.batch_size", "64"),
]


@pytest.fixture(scope="module")
def ckplus(tmp_path_factory):
    """A store of random maps with the subjects, sequences and emotions of CK+'s published list."""
    rng = np.random.default_rng(0)
    recipe = {"data": "CK+", "nodes": {"grid": [1, 2]}, "classes": list(EMOTIONS)}
    store = FeatureStore.create(tmp_path_factory.mktemp("features"), "ckplus", recipe)
    for one in ckplus_sequences():
        entry = StoredSequence(f"{one.subject}_{one.sequence}", one.subject, one.emotion, 0, 2, "0" * 64)
        store.write(entry, torch.from_numpy(rng.normal(size=(2, 1, 2, 3))).half())
    store.complete()
    return FeatureStore.open(store.folder)


def test_six_classes_are_309_sequences_of_106_subjects_in_the_folds_of_the_published_list(ckplus):
    samples = Samples.of(ckplus, ["six"])
    assert samples.class_names == SIX_EMOTIONS
    assert len(samples) == 309 and len(set(samples.subjects)) == 106
    published = {f"{one.subject}_{one.sequence}": one.fold_interleaved for one in ckplus_sequences()}
    folds = make_folds(samples, samples, plan_of(Config(), classes=("six",)))
    for fold in folds:
        assert {published[samples.entries[n].sequence] for n in fold.test} == {fold.number}
    # STC-NLSTM's protocol: 20 to 38 sequences in a fold, and none of fear in the tenth.
    assert [len(fold.test) for fold in folds] == [32, 37, 38, 33, 28, 35, 27, 28, 31, 20]
    assert "fear" not in {samples.entries[n].emotion for n in folds[9].test}


def test_classes_that_only_one_fold_shows_leave_none_for_training(ckplus):
    samples = Samples.of(ckplus, ["six"])
    one_fold = tuple(entry for entry in samples.entries if entry.subject == samples.entries[0].subject)
    with pytest.raises(BadInput, match=f"{ckplus.folder}: all sequences of anger, .* are in one fold, .* --classes"):
        make_folds(replace(samples, entries=one_fold), samples, plan_of(Config()))


def test_a_fold_of_subjects_who_show_other_classes_only_is_left_out(ckplus):
    samples = Samples.of(ckplus, ["six"])
    assert len(make_folds(samples, samples, plan_of(Config(), protocol="leave-one-subject-out"))) == 106


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["six"], SIX_EMOTIONS),
        (["seven"], EMOTIONS),
        (["Happy", "anger"], ("anger", "happiness")),
        (["fear", "surprise", "sadness"], ("fear", "sadness", "surprise")),
    ],
)
def test_classes_are_named_by_their_number_or_one_by_one_in_any_spelling(words, found):
    assert chosen_classes(words, EMOTIONS) == found


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["neutral", "anger"], "the data have no neutral; they have anger, contempt"),
        (["anger"], "needs two classes"),
        (["anger", "joyful"], "no known emotion"),
    ],
)
def test_unknown_and_too_few_classes_are_named(words, complaint):
    with pytest.raises(BadInput, match=complaint):
        chosen_classes(words, EMOTIONS)


def test_a_run_of_six_classes_passes_its_audit_and_stands_beside_the_six_class_figures(ckplus, tmp_path, capsys):
    out, features = tmp_path / "run", ["--features", str(ckplus.folder)]
    assert main(["cv", *features, "--out", str(out), "--classes", "six", *SMALL]) == 0
    assert "audit: 14 of 15 checks passed, 1 declared" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["classes"] == list(SIX_EMOTIONS) and summary["n_sequences"] == 309 and summary["n_subjects"] == 106
    assert summary["features"]["classes"] == list(EMOTIONS)
    assert "contempt" not in set(pd.read_csv(out / "folds.csv")["emotion"])
    page = (out / "report.html").read_text()
    assert "STC-NLSTM" in page and "99.8" in page and "STM-ExpLet" not in page
    assert main(["audit", str(out)]) == 0
    assert "subjects of other classes count in the folds" in " ".join(capsys.readouterr().out.split())
    assert main(["cv", *features, "--out", str(out), *SMALL]) == 2
    assert "classes ['anger', 'disgust'" in capsys.readouterr().err


def test_a_reproduction_takes_the_classes_too(ckplus, tmp_path, capsys):
    out = tmp_path / "paper"
    command = ["reproduce", "--features", str(ckplus.folder), "--out", str(out), "--only", "svm", "--classes", "six"]
    assert main([*command, "--folds", "2", *SMALL]) == 0
    assert set(pd.read_csv(out / "svm" / "predictions.csv")["truth"]) == set(SIX_EMOTIONS)


def test_the_program_refuses_classes_that_the_features_do_not_have(ckplus, tmp_path, capsys):
    command = ["cv", "--features", str(ckplus.folder), "--out", str(tmp_path / "run"), "--classes", "eight"]
    assert main(command) == 2
    assert "eight" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_store_whose_nodes_are_no_grid_is_scanned_as_its_recipe_says(tmp_path):
    rng, places = np.random.default_rng(0), [[0, 1], [0, 2], [1, 0], [1, 1], [2, 1]]
    nodes = {"places": places, "reach": 1.5}
    store = FeatureStore.create(tmp_path, "sensors", {"data": "sensors", "nodes": nodes, "classes": ["low", "high"]})
    for subject in range(6):
        for number, label in enumerate(("low", "high")):
            entry = StoredSequence(f"S{subject}_{number}", f"S{subject}", label, 0, 4, "0" * 64)
            store.write(entry, torch.from_numpy(rng.normal(number, 0.1, size=(4, 5, 3))).half())
    store.complete()
    network = NetworkConfig(spatial_hidden=4, spatial_output=3, spatial_projection=2, temporal_hidden=4, length=4)
    config = Config(network, TrainingConfig(epochs=20, batch_size=6, learning_rate=0.05))
    run = cross_validate(store, tmp_path / "run", plan_of(config, folds=3))
    assert run.summary.accuracy == 1 and run.summary.classes == ["low", "high"]
    for one in run.networks:
        assert one.model.scan.predecessors == Scan.of(nodes).predecessors
        assert one.model.get_parameter("spatial.G").shape == (4, 5, 2)
    assert audit_run(run, store).verdict == "13 of 14 checks passed, 1 declared"
