"""A network's sizes follow the features and the data set's classes, from cross-validation to the page and the audit."""

import json

import cv2
import numpy as np
import pytest
import torch
import yaml

from data_prep.datasets.emotions import EMOTIONS, SIX_EMOTIONS, classes_of
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn import STRNN
from face_strnn.audit.audit import audit_run
from face_strnn.cli.program import main
from face_strnn.config import NetworkConfig
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.settings import Plan
from face_strnn.experiments.reproduction import Reproduction

SMALL = [
    *("--network.spatial_hidden", "4", "--network.spatial_output", "3", "--network.spatial_projection", "2"),
    *("--network.temporal_hidden", "4", "--network.length", "5", "--network.temporal_projection", "2"),
    *("--epochs", "2", "--folds", "2"),
]


def write_store(folder, shape, emotions, data="mine", n_subjects=6):
    rng = np.random.default_rng(0)
    store = FeatureStore.create(folder, data, {"data": data})
    for subject in range(n_subjects):
        for number, emotion in enumerate(emotions):
            maps = rng.normal(size=(2 + (subject + number) % 2, *shape))
            entry = StoredSequence(f"S{subject}_{number}", f"S{subject}", emotion, 0, len(maps), "0" * 64)
            store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    return store


@pytest.mark.parametrize(
    ("data", "shown", "classes"),
    [
        ("CK+", {"anger", "fear"}, EMOTIONS),
        ("synthetic", {"anger", "fear"}, EMOTIONS),
        ("Oulu-CASIA-NI-Weak-preprocessed", {"anger", "fear"}, SIX_EMOTIONS),
        ("MMI", set(SIX_EMOTIONS), SIX_EMOTIONS),
        ("MMI-whole", {"fear"}, SIX_EMOTIONS),
        ("DFEW", {"surprise", "anger", "contempt"}, ("anger", "contempt", "surprise")),
    ],
)
def test_a_data_set_has_its_classes(data, shown, classes):
    assert classes_of(data, shown) == classes


def test_a_manifest_of_six_emotions_goes_all_the_way(tmp_path, vgg_file, capsys):
    rng = np.random.default_rng(0)
    rows = ["subject,sequence,emotion,path"]
    for subject in range(4):
        for number, emotion in enumerate(SIX_EMOTIONS):
            folder = tmp_path / "six" / f"S{subject}" / emotion
            folder.mkdir(parents=True)
            for frame in range(2):
                cv2.imwrite(str(folder / f"{frame}.png"), rng.integers(0, 256, (24, 24, 3), np.uint8))
            rows.append(f"S{subject},{number},{emotion},S{subject}/{emotion}")
    (tmp_path / "six" / "manifest.csv").write_text("\n".join(rows) + "\n")
    features, run = str(tmp_path / "features"), tmp_path / "run"
    prepare = ["--dataset", "manifest", "--faces", "given", "--rotations", "[]"]
    backbone = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4"]
    assert main(["prepare", "--root", str(tmp_path / "six"), "--out", features, *prepare, *backbone]) == 0
    assert main(["cv", "--features", features, "--out", str(run), *SMALL]) == 0
    capsys.readouterr()
    assert main(["report", str(run)]) == 0
    assert "published" not in capsys.readouterr().out
    assert main(["audit", str(run), "--features", features]) == 0

    summary = json.loads((run / "summary.json").read_text())
    assert summary["classes"] == list(SIX_EMOTIONS) and np.shape(summary["confusion_matrix"]) == (6, 6)
    assert summary["warnings"] == []
    assert yaml.safe_load((run / "config.yaml").read_text())["network"]["n_classes"] == 6
    model = STRNN.load(run / "checkpoints" / "fold-01.safetensors")
    assert model.temporal.V.shape[1] == 6
    page = (run / "report.html").read_text()
    assert "6 emotions" in page and "95.4" not in page and "shown only for CK+" in page and "contempt" not in page


def test_a_reproduction_has_six_classes_too(tmp_path):
    store = write_store(tmp_path / "features", (2, 2, 3), SIX_EMOTIONS)
    out = tmp_path / "paper"
    chosen = ["--only", "lstm", "svm"]
    assert main(["reproduce", "--features", str(store.folder), "--out", str(out), *chosen, *SMALL]) == 0
    page = (out / "report.html").read_text()
    assert "contempt" not in page and "95.4" not in page
    assert Reproduction(store, out, Plan()).config.network.n_classes == 6


def test_a_larger_grid_trains_and_its_run_is_drawn(tmp_path):
    shape = (14, 14, 8)
    store = write_store(tmp_path / "features", shape, EMOTIONS, data="synthetic", n_subjects=4)
    run = tmp_path / "run"
    assert main(["cv", "--features", str(store.folder), "--out", str(run), *SMALL]) == 0
    network = yaml.safe_load((run / "config.yaml").read_text())["network"]
    assert (network["grid"], network["input_size"]) == (list(shape[:2]), shape[2])
    model = STRNN.load(run / "checkpoints" / "fold-01.safetensors")
    assert model.spatial.G.shape[1] == shape[0] * shape[1]
    assert audit_run(Run(run), store).verdict == "13 of 14 checks passed, 1 declared"
    assert main(["saliency", str(run), "--features", str(store.folder), "--sequence", "S1_2"]) == 0


def test_sizes_that_are_given_must_be_those_of_the_features():
    network = NetworkConfig(n_classes=6).for_maps((7, 7, 512), 6)
    assert (network.input_size, network.grid, network.n_classes) == (512, (7, 7), 6)
    for given in ({"input_size": 256}, {"grid": (14, 14)}, {"n_classes": 7}):
        with pytest.raises(BadInput, match=f"network.{next(iter(given))} is"):
            NetworkConfig(**given).for_maps((7, 7, 512), 6)


def test_a_single_emotion_is_refused(tmp_path, capsys):
    store = write_store(tmp_path / "features", (2, 2, 3), ["fear"])
    assert main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "run"), *SMALL]) == 2
    assert "all its sequences show fear" in " ".join(capsys.readouterr().err.split())
