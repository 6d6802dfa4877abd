"""Edited files of weights with a classifier of single frames."""

import json
import math

import pytest
import torch
from edits import with_edits
from program_under_edits import ended_well

from data_prep.backbones.head import Head
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import PREPROCESSINGS
from data_prep.backbones.weights import load_weights

FEW, MANY = 2, 300


@pytest.fixture(scope="session")
def weights_with_head(tmp_path_factory, thin_weights):
    """A folder with weights of three blocks and a classifier on them."""
    folder = tmp_path_factory.mktemp("fuzzed-frame-classifier")
    state = {
        name: tensor for name, tensor in load_weights(str(thin_weights)).state.items() if int(name.split(".")[0]) < 24
    }
    head = Head(torch.zeros(2, 128), torch.zeros(2), ("neutral", "fear"), "pool3")
    facts = {"data": "none"}
    write_backbone(folder / "faces.safetensors", "vgg16_thin_bn", state, PREPROCESSINGS["imagenet"], facts, 3, head)
    return folder


@pytest.fixture
def check_classifier(images, tmp_path):
    frames = sorted(images.rglob("*.png"))[0].parent

    def check(folder, _):
        options = ["--weights", folder / "faces.safetensors", "--out", tmp_path / "predicted", "--json", frames]
        ended = ended_well("predict", *options, names=[folder, "faces.safetensors"])
        if ended.status == 0:
            said = json.loads(ended.out)
            assert said["method"] == "frame-wise"
            assert math.isclose(sum(said["probabilities"].values()), 1, rel_tol=1e-5)

    return check


def test_a_few_edits_of_a_frame_classifier(weights_with_head, check_classifier, tmp_path):
    with_edits(FEW, weights_with_head, "faces.safetensors", ("predict",), check_classifier, tmp_path, derandomize=True)


@pytest.mark.slow
def test_many_edits_of_a_frame_classifier(weights_with_head, check_classifier, tmp_path):
    with_edits(MANY, weights_with_head, "faces.safetensors", ("predict",), check_classifier, tmp_path)
