"""A tiny store, runs over it, and the program without what takes long and reads no file."""

import functools
import shutil

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from data_prep.datasets.emotions import EMOTIONS
from data_prep.faces.variants import Variant
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.cli import program
from face_strnn.config import NetworkConfig, TrainingConfig
from face_strnn.evaluation import crossval
from face_strnn.evaluation.settings import Plan
from face_strnn.report import page

SIZES = {
    "spatial_hidden": 2, "spatial_output": 2, "spatial_projection": 1, "temporal_hidden": 3, "length": 3,
    "temporal_projection": 1,
}  # fmt: skip
SEQUENCES = frozenset(f"S{subject}_{number}" for subject in range(6) for number in range(2))


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Neither parse the commands anew, nor compile the page, nor render figures: they are drawn, and saved empty."""

    def save(figure, path, **_):
        Image.new("L", (1, 1)).save(path, format="png")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "program", functools.cache(program.program))
        patch.setattr(page, "page_templates", functools.cache(page.page_templates))
        patch.setattr(Figure, "savefig", save)
        yield


def write_store(folder, variants):
    """Six subjects of two sequences of random maps."""
    rng = np.random.default_rng(0)
    crop = {"detector": "given", "margin": 0.2, "pixels": 16}
    store = FeatureStore.create(folder, "random", {"data": "synthetic", "crop": crop})
    for subject in range(6):
        for number in range(2):
            for variant in variants:
                facts = (EMOTIONS[(subject + number) % 7], variant.rotation, 2 + number, "0" * 64, "", variant.flip)
                maps = torch.from_numpy(rng.normal(size=(2 + number, 7, 7, 3))).half()
                store.write(StoredSequence(f"S{subject}_{number}", f"S{subject}", *facts), maps)
    store.rebuild_index()
    store.write_left_out([])
    return store.folder


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A store with an original and a rotated variant of each sequence."""
    return write_store(tmp_path_factory.mktemp("fuzzed-store"), (Variant(), Variant(7)))


@pytest.fixture(scope="session")
def store_of_originals(tmp_path_factory):
    """A store in which every sequence is one file."""
    return write_store(tmp_path_factory.mktemp("fuzzed-originals"), (Variant(),))


@pytest.fixture(scope="session")
def training_options():
    """The options of a cross-validation, but for --features and --out."""
    sizes = [text for name, size in SIZES.items() for text in (f"--network.{name}", str(size))]
    return ["--folds", "2", "--epochs", "2", "--training.batch_size", "16", *sizes]


@pytest.fixture(scope="session")
def small_plan():
    """The plan of the same cross-validation."""
    training = TrainingConfig(epochs=2, batch_size=16)
    return Plan(folds=2, network=NetworkConfig(**SIZES), training=training)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, store, training_options):
    """A finished run with its saliency."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "run"
    assert program.main(["cv", "--features", str(store), "--out", str(out), *training_options]) == 0
    assert program.main(["saliency", str(out), "--features", str(store), "--steps", "2"]) == 0
    return without_figures(out)


@pytest.fixture(scope="session")
def other_run(tmp_path_factory, store, training_options):
    """A run of another seed, to be compared with."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "other"
    assert program.main(["cv", "--features", str(store), "--out", str(out), "--seed", "3", *training_options]) == 0
    return without_figures(out)


ENSEMBLE = ("--seeds", "2", "--ensemble", "--selection", "inner")


@pytest.fixture(scope="session")
def ensemble_run(tmp_path_factory, store, training_options):
    """A finished run of ensembles, whose epochs are chosen by inner validation."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "ensemble"
    options = [*training_options, "--folds", "3", *ENSEMBLE]
    assert program.main(["cv", "--features", str(store), "--out", str(out), *options]) == 0
    return without_figures(out)


@pytest.fixture(scope="session")
def unfinished_run(tmp_path_factory, store, small_plan):
    """A run that was stopped after its first epoch."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "unfinished"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crossval.cross_validate(FeatureStore.open(store), out, small_plan, progress=stop)
    return out


def without_figures(run):
    """Delete what nothing reads back, so that a copy takes less time."""
    shutil.rmtree(run / "figures")
    return run
