"""Edited files of weights, and of an unfinished pretraining."""

from dataclasses import dataclass

import cv2
import h5py
import numpy as np
import pytest
import torch
from edits import with_edits
from program_under_edits import ended_well, works_or_refuses
from safetensors.torch import load_file

from data_prep.backbones.backbone import PIXELS_PER_CELL
from data_prep.backbones.split import split_backbone
from data_prep.pretraining.labelled import pretrain_on_images
from data_prep.pretraining.labelled_task import LabelledOptions
from data_prep.pretraining.learning import PretrainingOptions
from data_prep.pretraining.synthetic_store import SyntheticStore
from data_prep.pretraining.work_folder import WorkFolder

FEW, SOME, MANY = 2, 100, 500
WEIGHTS = ("thin.safetensors", "thin.pth", "keras.h5")
PRETRAINING_FILES = ("settings.json", "crops-*.safetensors", "checkpoint.pt")


@pytest.fixture(scope="session")
def weights(thin_weights):
    """A folder of weights: the project's own file, a state dict, and an HDF5 file of some of Keras's VGG16."""
    folder = thin_weights.parent
    torch.save(load_file(thin_weights), folder / "thin.pth")
    with h5py.File(folder / "keras.h5", "w") as file:
        for block, layer in (("block1", "conv1"), ("block1", "conv2")):
            group = file.create_group(f"{block}_{layer}/{block}_{layer}")
            group["kernel:0"] = np.zeros((3, 3, 3, 4), np.float32)
            group["bias:0"] = np.zeros(4, np.float32)
    return folder


def check_weights(folder, file):
    ended_well("backbones", folder / file, names=[folder])


@pytest.mark.parametrize("file", WEIGHTS)
def test_a_few_edits_of_weights(weights, tmp_path, file):
    with_edits(FEW, weights, file, (file,), check_weights, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", WEIGHTS)
def test_many_edits_of_weights(weights, tmp_path, file):
    with_edits(MANY, weights, file, (file,), check_weights, tmp_path)


@pytest.fixture(scope="session")
def crops(tmp_path_factory):
    """Forty crops of 16 x 16 in two emotions."""
    root = tmp_path_factory.mktemp("fuzzed-crops")
    rng = np.random.default_rng(0)
    for emotion in ("happy", "sad"):
        (root / emotion).mkdir()
        for number in range(20):
            cv2.imwrite(str(root / emotion / f"{number}.png"), rng.integers(0, 255, (16, 16), np.uint8))
    return root


@pytest.fixture
def pretrain(crops, thin_weights, monkeypatch):
    """A pretraining of one epoch on tiny crops."""
    monkeypatch.setitem(PIXELS_PER_CELL, "pool4", 5)

    def pretrain(out, progress=lambda *_: None):
        backbone = split_backbone(None, str(thin_weights), "pool4", 1)
        return pretrain_on_images(
            backbone, out, crops, PretrainingOptions(1), LabelledOptions("given", 16), progress=progress
        )

    return pretrain


@pytest.fixture
def unfinished_pretraining(pretrain, tmp_path):
    """The folder of a pretraining that was stopped in its last epoch."""
    out = tmp_path / "pristine" / "out.safetensors"

    def stop(stage, done, whole, note=""):
        if stage == "learning" and done == whole:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(out, stop)
    return out.with_name("out.safetensors.unfinished")


@pytest.fixture
def check_pretraining(pretrain, crops):
    def check(folder, _):
        out = folder.with_name("out.safetensors")
        works_or_refuses(lambda: pretrain(out), names=[folder, out, crops])

    return check


@pytest.mark.parametrize("file", PRETRAINING_FILES)
def test_a_few_edits_of_an_unfinished_pretraining(unfinished_pretraining, check_pretraining, tmp_path, file):
    with_edits(FEW, unfinished_pretraining, file, ("resume",), check_pretraining, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", PRETRAINING_FILES)
def test_many_edits_of_an_unfinished_pretraining(unfinished_pretraining, check_pretraining, tmp_path, file):
    with_edits(
        MANY if file == "settings.json" else SOME,
        unfinished_pretraining,
        file,
        ("resume",),
        check_pretraining,
        tmp_path,
    )


@pytest.fixture
def pretrained(pretrain, tmp_path):
    """The folder of a finished pretraining."""
    pretrain(tmp_path / "finished" / "out.safetensors")
    return tmp_path / "finished"


@pytest.fixture
def check_pretrained(pretrain, crops):
    return lambda folder, _: works_or_refuses(lambda: pretrain(folder / "out.safetensors"), names=[folder, crops])


def test_a_few_edits_of_a_pretrained_backbone(pretrained, check_pretrained, tmp_path):
    with_edits(FEW, pretrained, "out.safetensors", ("repeat",), check_pretrained, tmp_path, derandomize=True)


@pytest.mark.slow
def test_many_edits_of_a_pretrained_backbone(pretrained, check_pretrained, tmp_path):
    with_edits(MANY, pretrained, "out.safetensors", ("repeat",), check_pretrained, tmp_path)


@dataclass(frozen=True)
class Share:
    """What a probe measures, in small."""

    right: float


@pytest.fixture
def resume_drawing():
    """The steps of a pretraining on synthetic faces that read its work folder, with one person."""
    backbone = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4)

    def resume(out):
        work = WorkFolder(out, {"backbone": "vgg16_thin_bn"})
        work.begin()
        store = SyntheticStore(work.folder, "learning", 1, 0, "emotions")
        store.draw(backbone, 16, 1, lambda _: None)
        assert isinstance(work.once("probe-before", Share, lambda: Share(0.5)).right, float)
        return store.batch([0])

    return resume


@pytest.fixture
def drawn(resume_drawing, tmp_path):
    resume_drawing(tmp_path / "out.safetensors")
    return tmp_path / "out.safetensors.unfinished"


@pytest.fixture
def check_drawn(resume_drawing, drawn):
    whole = SyntheticStore(drawn, "learning", 1, 0, "emotions").batch([0])

    def check(folder, _):
        def resume():
            assert resume_drawing(folder.with_name("out.safetensors")).below.shape == whole.below.shape

        works_or_refuses(resume, names=[folder])

    return check


DRAWN_FILES = ("settings.json", "probe-before.json", "learning-*.safetensors")


@pytest.mark.parametrize("file", DRAWN_FILES)
def test_a_few_edits_of_drawn_faces(drawn, check_drawn, tmp_path, file):
    with_edits(FEW, drawn, file, ("resume",), check_drawn, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", DRAWN_FILES)
def test_many_edits_of_drawn_faces(drawn, check_drawn, tmp_path, file):
    with_edits(SOME if file.startswith("learning") else MANY, drawn, file, ("resume",), check_drawn, tmp_path)
