"""A run folder as an object: what it gives, what it refuses, and that one command reads each file once."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from runs import cross_validated
from variants_store import CONFIG, write_store

from data_prep.errors import BadInput
from face_strnn import Run
from face_strnn.cli.program import main
from face_strnn.evaluation import run as run_module
from face_strnn.evaluation.summary import Summary


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    cross_validated(store, out, CONFIG, folds=2, seed=3)
    return out


def test_it_gives_what_the_files_hold(folder, store):
    run = Run.open(folder)
    assert json.loads(json.dumps(run.summary.model_dump(exclude_unset=True))) == json.loads(
        (folder / "summary.json").read_text()
    )
    assert (run.settings.seed, run.settings.folds, run.settings.network.grid) == (3, 2, (2, 2))
    assert run.settings.config == CONFIG
    assert run.predictions.equals(pd.read_csv(folder / "predictions.csv"))
    assert [(one.fold, one.seed, one.name) for one in run.networks] == [
        (1, 3, "fold-01.safetensors"), (2, 3, "fold-02.safetensors")
    ]  # fmt: skip
    assert run.checksums["folds.csv"] == hashlib.sha256((folder / "folds.csv").read_bytes()).hexdigest()
    assert len(run.samples(store)) == 36
    assert run.summary is run.summary and run.folds is run.folds


def test_a_folder_without_a_run_and_a_store_of_another_are_refused(folder, tmp_path):
    with pytest.raises(BadInput, match="no run folder; `face-strnn cv"):
        Run.open(tmp_path)
    other = write_store(tmp_path / "other")
    for path in other.folder.glob("S0_0_*"):
        path.unlink()
    other.complete()
    with pytest.raises(BadInput, match="not the features that"):
        Run.open(folder).samples(other)


def test_one_cross_validation_hashes_each_file_once_and_parses_its_summary_once(store, tmp_path, monkeypatch):
    parsed, hashed = [], Counter()
    read, sha256 = Summary.read.__func__, hashlib.sha256

    def counted(data=b""):
        hashed[bytes(data)] += 1
        return sha256(data)

    def noted(cls, folder):
        parsed.append(Path(folder))
        return read(cls, folder)

    monkeypatch.setattr(Summary, "read", classmethod(noted))
    monkeypatch.setattr(run_module, "sha256", counted)
    out = tmp_path / "run"
    sizes = {name: value for name, value in vars(CONFIG.network).items() if isinstance(value, int)}
    options = [text for name, value in sizes.items() for text in (f"--network.{name}", str(value))]
    command = ["cv", "--features", str(store.folder), "--out", str(out), "--folds", "2", "--epochs", "1", *options]
    assert main([*command, "--network.grid", "[2,2]"]) == 0
    assert parsed == [out]
    checkpoints = list((out / "checkpoints").iterdir())
    names = ("config.yaml", "summary.json", "predictions.csv", "history.csv", "folds.csv")
    files = [*(out / name for name in names), *checkpoints]
    assert hashed == Counter(path.read_bytes() for path in files)
