"""Weights files with a classifier of frames, of a network's first blocks alone, and what is known of them."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.backbones.architectures import THIN, feature_layers
from data_prep.backbones.evidence import real_face_evidence
from data_prep.backbones.head import Head
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import NEUTRAL
from data_prep.backbones.weights import load_weights
from data_prep.errors import BadInput
from face_strnn.cli.program import main

CLASSES = ("neutral", "anger", "fear")
FIRST_BLOCK = 7
"""Number of layers of the thin VGG16 with batch norm up to its first pooling layer."""


@pytest.fixture
def head():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 32, generator=generator)
    return Head(weight, torch.tensor([0.5, -1.0, 0.0]), CLASSES, "pool1")


@pytest.fixture
def one_block(tmp_path, head):
    state = feature_layers(THIN)[:FIRST_BLOCK].state_dict()
    facts = {"data": "mine", "test": json.dumps({"accuracy": 0.5, "n": 40})}
    write_backbone(tmp_path / "one.safetensors", THIN, state, NEUTRAL, facts, 1, head)
    return tmp_path / "one.safetensors"


def edited(path, tensors=lambda tensors: tensors, header=lambda header: header):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(tensors(load_file(path)), path.with_name("edited.safetensors"), header(metadata))
    return str(path.with_name("edited.safetensors"))


def test_a_frames_probabilities_are_those_of_a_literal_loop(head):
    maps = torch.randn(2, 7, 7, 32, generator=torch.Generator().manual_seed(1)).half()
    found = head.probabilities(maps)
    for frame in range(2):
        logits = []
        for weights, bias in zip(head.weight.tolist(), head.bias.tolist(), strict=True):
            nodes = [maps[frame, row, column].double().numpy() for row in range(7) for column in range(7)]
            logits.append(np.mean([node @ weights for node in nodes]) + bias)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert np.allclose(found[frame].numpy(), expected, atol=1e-5)


def test_a_file_of_the_first_blocks_and_a_classifier_is_read_back(one_block, head, capsys):
    weights = load_weights(str(one_block))
    assert (weights.architecture, weights.n_blocks) == (THIN, 1)
    assert set(weights.state) == {name for name in feature_layers(THIN)[:FIRST_BLOCK].state_dict() if "num" not in name}
    assert torch.equal(weights.head.weight, head.weight) and torch.equal(weights.head.bias, head.bias)
    assert (weights.head.classes, weights.head.maps) == (CLASSES, "pool1")
    assert main(["backbones", str(one_block), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["head"] == {"classes": list(CLASSES), "maps": "pool1"}
    assert main(["backbones", str(one_block)]) == 0
    said = capsys.readouterr().out
    assert "vgg16_thin_bn, its first 1 blocks" in said and "of single frames, on pool1: neutral, anger, fear" in said


@pytest.mark.parametrize(
    ("tensors", "header", "said"),
    [
        (
            lambda t: {n: v for n, v in t.items() if n != "head.bias"},
            dict,
            "describes a head and 'head.bias' is missing",
        ),
        (lambda t: t | {"head.weight": t["head.weight"][:, :5].clone()}, dict, r"\(3, 5\), \(3,\)\) and should be of"),
        (lambda t: t | {"head.bias": t["head.bias"] / 0}, dict, "its head does not fit: it holds NaN or infinity"),
        (dict, lambda h: h | {"head": '{"classes": ["fear"], "maps": "pool1"}'}, "fewer than two, or named twice"),
        (dict, lambda h: h | {"head": '{"classes": ["a", "b", "c"], "maps": "pool9"}'}, "pool9, which is no pooling"),
        (dict, lambda h: h | {"head": "[]"}, "does not say what its backbone takes"),
        (dict, lambda h: h | {"blocks": "7"}, "does not say what its backbone takes .7 blocks"),
        (dict, lambda h: h | {"blocks": "2"}, "features.7.weight is absent"),
        (dict, lambda h: {n: v for n, v in h.items() if n != "blocks"}, "features.7.weight is absent"),
    ],
)
def test_an_edited_file_is_refused(one_block, tensors, header, said):
    with pytest.raises(BadInput, match=f"edited.safetensors: .*{said}"):
        load_weights(edited(one_block, tensors, header))


def test_what_is_no_head_of_the_network_is_not_written(tmp_path, head):
    state = feature_layers(THIN)[:FIRST_BLOCK].state_dict()
    with pytest.raises(ValueError, match=re.escape("should be of ((3, 64), (3,))")):
        write_backbone(
            tmp_path / "no.safetensors", THIN, state, NEUTRAL, {}, 1, Head(head.weight, head.bias, CLASSES, "pool2")
        )


def test_what_is_known_on_real_faces_is_what_was_measured(one_block, vgg_file):
    assert real_face_evidence(load_weights(str(one_block))) == "50.0 % of the 40 test images of mine, frame by frame"
    assert real_face_evidence(load_weights(str(vgg_file()))) == "nothing has been measured"
    drawn = edited(one_block, header=lambda header: header | {"data": "synthetic"})
    assert real_face_evidence(load_weights(drawn)) == "nothing has been measured: they learned from drawn faces"
    shipped = load_weights("faces")
    test = json.loads(shipped.facts["test"])
    assert f"{100 * test['accuracy']:.1f} %" in real_face_evidence(shipped), (
        "the registry repeats the file's own figure"
    )


def test_prepare_says_in_one_line_what_is_known_of_the_weights(prepare_options, tmp_path, capsys):
    assert main(["prepare", "--out", str(tmp_path), *prepare_options]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "on real faces" in line]
    assert len(said) == 1 and "on real faces: nothing has been measured" in said[0]
