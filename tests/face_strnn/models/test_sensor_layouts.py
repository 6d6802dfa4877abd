"""Networks over nodes that are no grid: a scan by coordinates or lists, in the network, its file and the estimator."""

import json

import numpy as np
import pytest
import torch
from random_networks import assert_same, assert_same_gradients, random_maps, small_network
from safetensors import safe_open

from data_prep.errors import BadInput
from face_strnn import STRNN, STRNNClassifier
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.models import reference
from face_strnn.models.scan import Scan
from face_strnn.training.optimisation import optimiser_of
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train
from face_strnn.training.standardisation import Standardisation
from face_strnn.training.step import DirectStep, RecordedStep, StackStep

SENSORS = [(0, 1), (0.4, 0), (0.5, 2), (1, 1), (1.6, 0.2), (2, 1.9)]
SIZES = {
    "input_size": 3, "spatial_hidden": 4, "spatial_output": 3, "spatial_projection": 2, "temporal_hidden": 5,
    "length": 4, "temporal_projection": 2, "n_classes": 3,
}  # fmt: skip


@pytest.fixture
def scan():
    return Scan.from_coordinates(SENSORS, reach=1.3)


def test_a_scan_is_made_of_the_nodes_that_a_recipe_names(scan):
    recipe = json.loads(json.dumps({"places": SENSORS, "reach": 1.3}))
    sensors, grid = Scan.of(recipe), Scan.of({"grid": [2, 3]})
    assert (sensors.orders, sensors.predecessors) == (scan.orders, scan.predecessors) and sensors.shape == (6,)
    assert grid.shape == (2, 3) and grid.n_nodes == 6
    for r, (order, predecessors) in enumerate(reference.corners(2, 3)):
        assert grid.orders[r] == order
        assert [set(nodes) for nodes in grid.predecessors[r]] == [set(nodes) for nodes in predecessors]


@pytest.mark.parametrize(
    "nodes",
    [
        {}, None, {"grid": 7}, {"grid": [7]}, {"grid": [7.0, 7.0]}, {"grid": [2, 2], "reach": 1}, {"places": [[0, 0]]},
        {"places": [[0, 0, 0]], "reach": 1}, {"places": [["0", "1"]], "reach": 1}, {"places": 3, "reach": 1},
        {"places": [[0, 0]], "reach": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_nodes_that_are_neither_a_grid_nor_coordinates_are_refused(nodes):
    with pytest.raises(BadInput, match=r"nodes are .*; they must be {'grid': \[h, w\]} or {'places': "):
        Scan.of(nodes)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"grid": [0, 7]}, "0 x 7 has no nodes"),
        ({"places": [], "reach": 1}, "at least one node"),
        ({"places": [[0, 1], [0, 1]], "reach": 1}, "the same coordinates"),
        ({"places": [[0, float("nan")]], "reach": 1}, "finite"),
        ({"places": [[0, 0]], "reach": float("inf")}, "finite"),
    ],
)
def test_nodes_that_cannot_be_scanned_are_refused(nodes, message):
    with pytest.raises(BadInput, match=message):
        Scan.of(nodes)


def test_a_network_over_sensors_equals_the_equations_as_written(scan):
    network, maps = small_network(scan=scan), random_maps(2, 3, 6, 4).requires_grad_()
    expected = torch.stack([reference.forward(network, one)[0] for one in maps])
    assert_same(network(maps), expected)
    assert_same_gradients(network(maps), expected, {**dict(network.named_parameters()), "maps": maps})


def test_a_network_over_sensors_comes_back_from_its_file(scan, tmp_path):
    network = STRNN(**SIZES, scan=scan)
    network.save(tmp_path / "model.safetensors", classes="three")
    again = STRNN.load(tmp_path / "model.safetensors")
    maps = torch.rand(2, 4, 6, 3)
    assert torch.equal(network(maps), again(maps)) and again.facts == {"classes": "three"}
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["config"])["grid"] == [6]
    with pytest.raises(BadInput, match=r"the network takes \(batch, 4, 6, 3\)"):
        again(torch.rand(2, 4, 2, 3, 3))


def test_directions_may_be_of_any_number(tmp_path):
    line = Scan([[0, 1, 2]], [[[], [0], [1]]])
    network = STRNN(**SIZES, scan=line)
    assert tuple(network.spatial.U.shape) == (1, 4, 3) and network(torch.rand(2, 4, 3, 3)).shape == (2, 3)


def test_the_estimator_learns_over_sensors(scan):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(5, 6, 3)) for _ in range(12)]
    y = np.arange(12) % 2
    for sequence, label in zip(X, y, strict=True):
        sequence[:, 4, 1] += 4 * label
    sizes = {"spatial_hidden": 6, "temporal_hidden": 6, "length": 5, "epochs": 30, "batch_size": 4}
    classifier = STRNNClassifier(**sizes, scan=scan).fit(X, y)
    assert classifier.score(X, y) == 1
    with pytest.raises(BadInput, match=r"all must be \(frames, 6, channels\)"):
        classifier.predict([np.zeros((5, 7, 3))])


def sensor_samples():
    """Twelve sequences of two classes, which one sensor tells apart, in three channels."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2 + n % 4, 6, 3, generator=generator).half() for n in range(12)]
    for n in range(1, 12, 2):
        maps[n][:, 4, 1] += 4
    return maps, torch.arange(12) % 2


def test_a_stack_over_sensors_learns_and_its_models_know_their_nodes(scan):
    maps, labels = sensor_samples()
    network = NetworkConfig(**{**SIZES, "input_size": None, "n_classes": None}).for_maps(maps[0].shape[1:], 2)
    assert network.grid == (6,) and network.n_nodes == scan.n_nodes
    config = Config(network, TrainingConfig(epochs=30, batch_size=4, learning_rate=0.01))
    masks = [np.arange(12) % 3 != fold for fold in (0, 1)]
    networks = [StackedNetwork(fold, 0, mask) for fold, mask in enumerate(masks, start=1)]
    models = train(networks, TrainingSamples(maps, labels, channel_moments(maps)), config, scan=scan).models()
    for model, mask in zip(models, masks, strict=True):
        assert model.scan.shape == (6,) and (model.logits_of_sequences(maps).argmax(1) == labels)[mask].all()
    with pytest.raises(BadInput, match=r"nodes are {'grid': \(6,\)}"):
        STRNN(**SIZES, grid=(6,))


@pytest.mark.parametrize("variant", ["strnn", "trnn"])
def test_a_step_over_sensors_in_memory_of_one_shape_is_the_step_as_it_comes(scan, variant):
    maps, labels = sensor_samples()
    config = Config(NetworkConfig(**SIZES, grid=scan.shape, variant=variant), TrainingConfig(learning_rate=0.01))
    train_mask, after = torch.ones(1, 12, dtype=torch.bool), []
    for kind in (DirectStep, RecordedStep):
        drawn = STRNN(**vars(config.network), scan=scan)
        torch.manual_seed(0)
        parameters = {name: torch.randn(1, *p.shape).div_(3).requires_grad_() for name, p in drawn.named_parameters()}
        standardisation = Standardisation.fit(channel_moments(maps), train_mask)
        stack = StackStep(config, parameters, standardisation, optimiser_of(parameters, config.training), scan)
        sums = torch.zeros(4, 1, dtype=torch.float64)
        step = DirectStep(stack, sums) if kind is DirectStep else RecordedStep(stack, sums, 12, 50, maps[0])
        for numbers in (range(12), range(3, 9)):
            step([maps[n] for n in numbers], labels[list(numbers)], train_mask[:, list(numbers)])
        after.append({**parameters, "sums": sums})
    for name, tensor in after[0].items():
        torch.testing.assert_close(after[1][name], tensor, rtol=2e-4, atol=2e-5, msg=name)
