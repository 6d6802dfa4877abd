"""Networks as files."""

import json

import pytest
import torch
from random_networks import random_maps, small_network
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.errors import BadInput
from face_strnn import STRNN


def test_a_saved_network_comes_back_bit_for_bit_with_its_facts(tmp_path):
    network = small_network((3, 4), "sigmoid").float()
    path = tmp_path / "fold-01.safetensors"
    network.save(path, data="synthetic", classes=json.dumps(["anger", "fear"]))
    loaded = STRNN.load(path)
    assert loaded.facts == {"data": "synthetic", "classes": '["anger", "fear"]'}
    maps = random_maps(2, 3, 3, 4, 4, dtype=torch.float32)
    assert torch.equal(loaded(maps), network(maps))
    assert loaded.config == network.config
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert {name: tuple(tensor.shape) for name, tensor in load_file(path).items()} == network.config.shapes()
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    assert config["grid"] == [3, 4] and config["activation"] == "sigmoid" and config["length"] == 3


def test_a_file_that_is_no_network_is_refused_by_name(tmp_path):
    network = small_network().float()
    path = tmp_path / "fold-01.safetensors"
    network.save(path)
    tensors = load_file(path)
    config = json.dumps(vars(network.config))
    with pytest.raises(BadInput, match=r"absent\.safetensors: no such model"):
        STRNN.load(tmp_path / "absent.safetensors")
    damaged = {
        "cut": lambda file: file.write_bytes(path.read_bytes()[:-40]),
        "text": lambda file: file.write_text("not a model"),
        "empty": lambda file: file.write_bytes(b""),
        "headless": lambda file: save_file(tensors, file),
        "no-json": lambda file: save_file(tensors, file, {"config": "{"}),
        "other-json": lambda file: save_file(tensors, file, {"config": '{"color": 3}'}),
        "list": lambda file: save_file(tensors, file, {"config": "[1, 2]"}),
        "sizes": lambda file: save_file({**tensors, "spatial.W": torch.zeros(4, 3, 2)}, file, {"config": config}),
        "lacking": lambda file: save_file(
            {name: tensor for name, tensor in tensors.items() if name != "temporal.G"}, file, {"config": config}
        ),
    }
    for name, write in damaged.items():
        file = tmp_path / f"{name}.safetensors"
        write(file)
        with pytest.raises(BadInput, match=f"{name}.safetensors: "):
            STRNN.load(file)


def test_an_interpolation_that_does_not_exist_is_refused_by_name(tmp_path):
    network, path = small_network().float(), tmp_path / "fold-01.safetensors"
    network.save(path, interpolation="nearest")
    assert STRNN.load(path).facts["interpolation"] == "nearest"
    network.save(path, interpolation="cubic")
    with pytest.raises(BadInput, match=r"fold-01\.safetensors: its interpolation is cubic, none of linear, nearest"):
        STRNN.load(path)
