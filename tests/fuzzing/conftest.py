"""A tiny store, runs over it, and the program without what takes long and reads no file."""

import functools
import shutil
import warnings
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from data_prep.backbones.architectures import THIN, feature_layers
from data_prep.backbones.head import Head
from data_prep.backbones.naming import pooling_indices
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import PREPROCESSINGS
from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.store.store import FeatureStore
from data_prep.synthetic import dataset
from face_strnn.cli import cv, program
from face_strnn.config import NetworkConfig, TrainingConfig
from face_strnn.evaluation import crossval
from face_strnn.evaluation.settings import Plan
from face_strnn.report import page

SIZES = {
    "spatial_hidden": 2, "spatial_output": 2, "spatial_projection": 1, "temporal_hidden": 3, "length": 3,
    "temporal_projection": 1,
}  # fmt: skip


@contextmanager
def quickly():
    """Neither parse the commands anew, nor compile the page, nor render figures: they are drawn, and saved empty."""

    def save(figure, path, **_):
        Image.new("L", (1, 1)).save(path, format="png")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "program", functools.cache(program.program))
        patch.setattr(page, "page_templates", functools.cache(page.page_templates))
        patch.setattr(Figure, "savefig", save)
        yield


@pytest.fixture(scope="module", autouse=True)
def _quickly():
    with quickly():
        yield


def made(*arguments):
    """Run the program, which must do its work."""
    with quickly():
        assert program.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A synthetic data set: of each of six subjects up to two sequences of two frames."""
    listed = dataset.first_subjects(6)
    seen = Counter()
    cut = []
    for sequence in listed:
        seen[sequence.subject] += 1
        cut += [replace(sequence, frames=2)] if seen[sequence.subject] <= 2 else []
    rest = [sequence for sequence in ckplus_sequences() if sequence not in listed]
    root = tmp_path_factory.mktemp("fuzzed-images") / "ck"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "ckplus_sequences", lambda: [*cut, *rest])
        made("synth", "--out", root, "--subjects", "6", "--seed", "3")
    return root


@pytest.fixture(scope="session")
def sequences(images):
    """The names of its sequences."""
    return {f"{path.parent.name}_{path.name}" for path in (images / "cohn-kanade-images").glob("*/*")}


@pytest.fixture(scope="session")
def thin_weights(tmp_path_factory):
    """The project's own file of a backbone's weights, of the smallest backbone."""
    path = tmp_path_factory.mktemp("fuzzed-weights") / "thin.safetensors"
    torch.manual_seed(0)
    layers = feature_layers(THIN)
    layers = layers[: pooling_indices(layers)[3]].eval()
    head = Head(torch.randn(2, 256), torch.zeros(2), ("anger", "fear"), "pool4")
    write_backbone(path, THIN, layers.state_dict(), PREPROCESSINGS["imagenet"], {"data": "none"}, 4, head)
    return path


@pytest.fixture(scope="session")
def prepare_small(images, thin_weights):
    """The options of `prepare`, but for --out and --rotations: maps and crops of these images."""
    return ["--root", images, "--weights", thin_weights, "--maps", "pool3", "--keep-crops", "--contact-sheet"]


@pytest.fixture(scope="session")
def image_features(tmp_path_factory, prepare_small):
    """The folder of a faces store and of a feature store in which every sequence is one file."""
    out = tmp_path_factory.mktemp("fuzzed-features") / "features"
    made("prepare", "--out", out, *prepare_small, "--rotations", "[]")
    return out


@pytest.fixture(scope="session")
def store_of_originals(image_features):
    """A feature store in which every sequence is one file."""
    return next(image_features.glob("*-pool3-*"))


@pytest.fixture(scope="session")
def store(tmp_path_factory, prepare_small):
    """A feature store with an original and a rotated variant of each sequence."""
    out = tmp_path_factory.mktemp("fuzzed-features") / "variants"
    made("prepare", "--out", out, *prepare_small, "--rotations", "[7]")
    return next(out.glob("*-pool3-*"))


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
    made("cv", "--features", store, "--out", out, *training_options)
    made("saliency", out, "--features", store, "--steps", "2")
    return without_figures(out)


@pytest.fixture(scope="session")
def other_run(tmp_path_factory, store, training_options):
    """A run of another seed, to be compared with."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "other"
    made("cv", "--features", store, "--out", out, "--seed", "3", *training_options)
    return without_figures(out)


ENSEMBLE = ("--seeds", "2", "--ensemble", "--selection", "inner")


@pytest.fixture(scope="session")
def ensemble_run(tmp_path_factory, store, training_options):
    """A finished run of ensembles, whose epochs are chosen by inner validation."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "ensemble"
    options = [*training_options, "--folds", "3", *ENSEMBLE]
    made("cv", "--features", store, "--out", out, *options)
    return without_figures(out)


@pytest.fixture(scope="session")
def unfinished_run(tmp_path_factory, store, small_plan):
    """A run that was stopped after its first epoch."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "unfinished"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings(action="ignore"):
        crossval.cross_validate(FeatureStore.open(store), out, small_plan, progress=stop)
    return out


@pytest.fixture(scope="session")
def finetune_small(image_features, training_options, thin_weights):
    """The options of a fine-tuned cross-validation, but for --out."""
    finetuning = [
        text
        for name, value in {"epochs": 2, "batch_size": 3, "variants": 1, "frames": 2}.items()
        for text in (f"--finetuning.{name}", str(value))
    ]
    weights = ["--finetune", "last-block", "--weights-file", thin_weights]
    return ["--features", image_features, *training_options, *weights, *finetuning]


@pytest.fixture(scope="session")
def small_finetuned_run(tmp_path_factory, finetune_small):
    """A finished run with fine-tuned backbones."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "finetuned"
    made("cv", "--out", out, *finetune_small)
    without_figures(out / "frozen")
    return without_figures(out)


@pytest.fixture(scope="session")
def unfinished_finetuning(tmp_path_factory, finetune_small):
    """A run that was stopped after the first epoch of fine-tuning."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "unfinished-finetuning"

    def stop(stage, *_):
        if stage == "fine-tuning":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv, "training_progress", lambda: nullcontext(stop))
        assert program.main([str(argument) for argument in ["cv", "--out", out, *finetune_small]]) == 130
    return out


@pytest.fixture(scope="session")
def reproduction(tmp_path_factory, store, training_options):
    """A finished reproduction of the STRNN and one baseline."""
    out = tmp_path_factory.mktemp("fuzzed-runs") / "reproduction"
    options = ["--features", store, "--out", out, "--only", "logistic", *training_options]
    made("reproduce", *options)
    without_figures(out / "strnn" / "seed-0")
    return without_figures(out)


def without_figures(run):
    """Delete what nothing reads back, so that a copy takes less time."""
    shutil.rmtree(run / "figures")
    return run
