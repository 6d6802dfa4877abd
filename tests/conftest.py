"""A tiny synthetic data set, its feature store and a run over it, made once for all tests that only read them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch
from small_network import SMALL_NETWORK
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from data_prep.datasets import ckplus_check
from data_prep.datasets.ckplus_list import ListedSequence, ckplus_sequences
from data_prep.synthetic import dataset
from face_strnn.cli.program import main
from face_strnn.config import Config, NetworkConfig, TrainingConfig

CONFIGURATIONS = {"vgg11": ("A", False), "vgg11_bn": ("A", True), "vgg13": ("B", False)}
"""Torchvision's letter of a VGG and whether it normalises batches."""

SUBJECTS = 6


def seeded_features(architecture: str, seed: int) -> nn.Sequential:
    """Torchvision's feature part of a VGG with random weights, and random statistics where it normalises batches."""
    letter, batch_norm = CONFIGURATIONS[architecture]
    features = make_layers(cfgs[letter], batch_norm)
    generator = torch.Generator().manual_seed(seed)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", generator=generator)
            nn.init.normal_(layer.bias, std=0.05, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 2.0, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
    return features.eval()


@pytest.fixture(scope="session")
def vgg_features() -> Callable[[str, int], nn.Sequential]:
    """Maker of VGG feature parts with seeded random weights."""
    return seeded_features


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Maker of state dicts in torchvision's naming, with seeded random weights."""
    folder = tmp_path_factory.mktemp("weights")

    def write(architecture: str = "vgg11", seed: int = 0) -> Path:
        path = folder / f"{architecture}-{seed}.pth"
        if not path.is_file():
            state = seeded_features(architecture, seed).state_dict()
            torch.save({f"features.{name}": tensor for name, tensor in state.items()}, path)
        return path

    return write


def drawn_sequences() -> list[ListedSequence]:
    """The published list, its first subjects cut to two sequences of 3 to 5 frames: what :func:`synthetic` has."""
    listed = dataset.first_subjects(SUBJECTS)
    chosen = [
        replace(sequence, frames=3 + place % 3)
        for place, sequence in enumerate(listed)
        if sum(earlier.subject == sequence.subject for earlier in listed[:place]) < 2
    ]
    return [*chosen, *(sequence for sequence in ckplus_sequences() if sequence not in listed)]


@pytest.fixture
def synthetic_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``check`` compare with the sequences as :func:`synthetic` cuts them."""
    cut = drawn_sequences()
    monkeypatch.setattr(ckplus_check, "ckplus_sequences", lambda: cut)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic data set, reduced to two sequences of 3 to 5 frames for each of six subjects."""
    cut = drawn_sequences()
    root = tmp_path_factory.mktemp("standin") / "ck"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "ckplus_sequences", lambda: cut)
        assert main(["synth", "--out", str(root), "--subjects", str(SUBJECTS), "--seed", "3"]) == 0
    return root


@pytest.fixture(scope="session")
def prepare_options(synthetic: Path, vgg_file: Callable[..., Path]) -> list[str]:
    """How the synthetic data set's features are made, but for --out."""
    return [
        *("--root", str(synthetic), "--backbone", "vgg11", "--weights", str(vgg_file())),
        *("--maps", "pool4", "--rotations", "[-7,7]"),
    ]


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, prepare_options: list[str]) -> Path:
    """The folder that holds the synthetic data set's feature store, with two rotated copies of each sequence."""
    out = tmp_path_factory.mktemp("features")
    assert main(["prepare", "--out", str(out), *prepare_options]) == 0
    return out


@pytest.fixture(scope="session")
def cv_options(features: Path) -> list[str]:
    """A cross-validation of a small network, but for --out and --epochs."""
    sizes = [text for name, size in SMALL_NETWORK.items() for text in (f"--network.{name}", str(size))]
    return ["--features", str(features), "--folds", "2", "--training.batch_size", "8", *sizes]


@pytest.fixture(scope="session")
def run_config() -> Config:
    """The settings of :func:`run`."""
    return Config(NetworkConfig(**SMALL_NETWORK), TrainingConfig(epochs=3, batch_size=8))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, cv_options: list[str]) -> Path:
    """A finished run of three epochs in two folds."""
    out = tmp_path_factory.mktemp("runs") / "first"
    assert main(["cv", "--out", str(out), "--epochs", "3", "--seed", "5", *cv_options]) == 0
    return out


@pytest.fixture(scope="session")
def crop_features(tmp_path_factory: pytest.TempPathFactory, features: Path, prepare_options: list[str]) -> Path:
    """A copy of the synthetic data set's features, its face crops added afterwards."""
    out = tmp_path_factory.mktemp("crop-features") / "store"
    copytree(features, out)
    assert main(["prepare", "--out", str(out), "--keep-crops", *prepare_options]) == 0
    return out


@pytest.fixture(scope="session")
def finetune_options(crop_features: Path, vgg_file: Callable[..., Path]) -> list[str]:
    """A cross-validation of a small network with fine-tuning, but for --out."""
    sizes = [text for name, size in SMALL_NETWORK.items() for text in (f"--network.{name}", str(size))]
    return [
        *("--features", str(crop_features), "--folds", "2", "--training.batch_size", "8", "--epochs", "2", *sizes),
        *("--finetune", "last-block", "--weights-file", str(vgg_file()), "--seed", "5", "--finetuning.epochs", "2"),
        *("--finetuning.batch_size", "3", "--finetuning.variants", "2", "--finetuning.frames", "3"),
    ]


@pytest.fixture(scope="session")
def finetuned_run(tmp_path_factory: pytest.TempPathFactory, finetune_options: list[str]) -> Path:
    """A finished run whose backbones' last block was fine-tuned for two epochs in two folds."""
    out = tmp_path_factory.mktemp("finetuned") / "run"
    assert main(["cv", "--out", str(out), *finetune_options]) == 0
    return out
