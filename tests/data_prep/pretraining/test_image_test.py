"""A weights file's classifier of frames on images that it did not learn from."""

import json

import cv2
import numpy as np
import pytest
import torch

from data_prep.backbones.architectures import THIN, feature_layers
from data_prep.backbones.head import Head
from data_prep.backbones.naming import pooling_indices
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import NEUTRAL
from face_strnn.cli.program import main


@pytest.fixture
def bright_is_happy(tmp_path):
    """A file whose classifier calls bright crops happiness and dark ones sadness, whatever its convolutions are."""
    layers = feature_layers(THIN)
    layers = layers[: pooling_indices(layers)[3] + 1].eval()
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, torch.nn.Conv2d):
                # Each channel is a mean of those below: what remains is the brightness.
                layer.weight.fill_(1 / layer.weight[0].numel())
                layer.bias.fill_(0.0)
    weight = torch.zeros(2, 256)
    weight[0, 0] = 100.0
    path = tmp_path / "bright.safetensors"
    head = Head(weight, torch.tensor([-1.0, 0.0]), ("happiness", "sadness"), "pool4")
    write_backbone(path, THIN, layers.state_dict(), NEUTRAL, {"data": "made up"}, 4, head)
    return path


def write_images(root, levels):
    for number, (emotion, level) in enumerate(levels):
        (root / emotion).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / emotion / f"{number}.png"), np.full((48, 48), level + number, np.uint8))


def test_recalls_accuracy_and_left_out_images_are_counted(bright_is_happy, tmp_path, capsys):
    root = tmp_path / "photographs"
    write_images(root, [("happy", 200), ("happy", 210), ("happy", 220), ("happy", 20), ("sad", 10), ("sad", 230)])
    write_images(root, [("contempt", 100)])
    (root / "sad" / "cut.png").write_bytes((root / "sad" / "4.png").read_bytes()[:60])
    options = ["backbones", str(bright_is_happy), "--images", str(root), "--faces", "given"]
    assert main([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"] == {
        "n": 6, "accuracy": 4 / 6, "mean_class_recall": 0.625, "recalls": {"happiness": 0.75, "sadness": 0.5},
    }  # fmt: skip
    assert (found["part"], found["damaged"], found["unknown_classes"]) == ("all", 1, {"contempt": 1})
    low, high = found["accuracy_interval"]
    centre, half = (4 + 1.96**2 / 2) / (6 + 1.96**2), 1.96 * np.sqrt(4 * 2 / 6 + 1.96**2 / 4) / (6 + 1.96**2)
    assert np.allclose([low, high], [centre - half, centre + half], atol=1e-3), "Wilson's interval"
    assert main(options) == 0
    said = capsys.readouterr().out
    assert "6 faces, accuracy 66.7 % (30.0 to 90.3), mean class recall 62.5 %" in said
    assert "unknown to the classifier" in said and "left out: 1, damaged or unknown" in said


def test_a_folder_with_a_test_part_is_tested_on_it_alone(bright_is_happy, tmp_path, capsys):
    root = tmp_path / "parts"
    write_images(root / "train", [("happy", 10), ("sad", 230)])
    write_images(root / "test", [("happy", 200), ("sad", 20)])
    assert main(["backbones", str(bright_is_happy), "--images", str(root), "--faces", "given", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["part"], found["scores"]["n"], found["scores"]["accuracy"]) == ("test", 2, 1.0)


def test_weights_without_a_classifier_are_refused_and_so_is_a_folder_without_known_classes(
    bright_is_happy, vgg_file, tmp_path, capsys
):
    root = tmp_path / "others"
    write_images(root, [("fear", 10), ("anger", 230)])
    assert main(["backbones", str(vgg_file()), "--images", str(root)]) == 2
    assert "hold no classifier of frames; `face-strnn pretrain --images` writes one" in capsys.readouterr().err
    assert main(["backbones", str(bright_is_happy), "--images", str(root), "--faces", "given"]) == 2
    assert "others: no image with a face is of happiness, sadness" in capsys.readouterr().err
    assert main(["backbones", "--images", str(root)]) == 2
    assert "say which weights to test" in capsys.readouterr().err
