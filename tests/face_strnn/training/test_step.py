"""A training step as it comes, and the same in memory of one shape, as it is recorded on a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.models.scan import Scan
from face_strnn.models.strnn import initial_parameters
from face_strnn.training.gpu_maps import GpuMaps
from face_strnn.training.optimisation import dropout_factors, optimiser_of, set_learning_rate
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train
from face_strnn.training.standardisation import Standardisation
from face_strnn.training.step import DirectStep, RecordedStep, StackStep

NETWORK = NetworkConfig(
    input_size=5, grid=(2, 3), spatial_hidden=4, spatial_output=3, spatial_projection=2, temporal_hidden=5, length=6,
    temporal_projection=2, n_classes=7,
)  # fmt: skip
CONFIG = Config(NETWORK, TrainingConfig(epochs=2, batch_size=4, learning_rate=0.01))
LENGTHS = (3, 8, 1, 6, 5, 2)
LABELS = torch.tensor([0, 1, 2, 3, 4, 5])
TAUGHT = torch.tensor([[True, True, False, True, False, True], [False, True, True, True, True, True]])


def random_maps():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 2, 3, 5, generator=generator).half() for n in LENGTHS]


def begun(config, device="cpu"):
    maps = random_maps()
    drawn = [initial_parameters(config.network, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    parameters = {name: torch.stack([one[name] for one in drawn]).to(device).requires_grad_() for name in drawn[0]}
    standardisation = Standardisation.fit(channel_moments(maps), TAUGHT).to(torch.device(device))
    optimiser = optimiser_of(parameters, config.training)
    return StackStep(config, parameters, standardisation, optimiser, Scan.grid(*config.network.grid))


def steps_taken(kind, config, device="cpu"):
    """Parameters and sums after three batches of different sizes, one of them read but used to train no network."""
    trained, maps = begun(config, device), GpuMaps(random_maps(), torch.device(device), free_bytes=1e9)
    sums = torch.zeros(4, 2, dtype=torch.float64, device=device)
    step = DirectStep(trained, sums) if kind is DirectStep else RecordedStep(trained, sums, 4, 22, maps[0])
    for number, batch in enumerate(([0, 1, 2, 3], [4, 5], [5, 1, 0])):
        set_learning_rate(trained.optimiser, number, 3, config.training)
        dropout = None
        if config.training.dropout:
            shape = len(batch), config.network.n_temporal_features
            drawn = [dropout_factors((0, fold), number, shape, config.training.dropout) for fold in (1, 2)]
            dropout = torch.stack(drawn).to(device)
        step([maps[n] for n in batch], LABELS[batch].to(device), TAUGHT[:, batch].to(device), dropout)
    return {name: tensor.detach().cpu() for name, tensor in trained.parameters.items()}, sums.cpu()


CHANGES = [
    {},
    {"interpolation": "zero-pad"},
    {"interpolation": "nearest"},
    {"optimiser": "sgd"},
    {"dropout": 0.5, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_step_in_memory_of_one_shape_is_the_step_as_it_comes(changes):
    config = replace(CONFIG, training=replace(CONFIG.training, **changes))
    (direct, sums), (recorded, other_sums) = (steps_taken(kind, config) for kind in (DirectStep, RecordedStep))
    before = begun(config).parameters
    for name, tensor in direct.items():
        assert not torch.equal(tensor, before[name].detach()), name
        torch.testing.assert_close(recorded[name], tensor, rtol=2e-4, atol=2e-5, msg=name)
    torch.testing.assert_close(other_sums, sums, rtol=1e-5, atol=1e-5)
    assert sums[3].tolist() == [3 + 1 + 3, 3 + 2 + 2]


def steps_over_places(kind, config):
    """The step of :func:`steps_taken` over the same nodes as places, (frames, K, C)."""
    trained, maps = begun(config), [sample.flatten(1, 2) for sample in random_maps()]
    trained.scan = Scan.from_coordinates([(row, column) for row in range(2) for column in range(3)], reach=1.5)
    sums = torch.zeros(4, 2, dtype=torch.float64)
    step = DirectStep(trained, sums) if kind is DirectStep else RecordedStep(trained, sums, 4, 22, maps[0])
    for number, batch in enumerate(([0, 1, 2, 3], [4, 5], [5, 1, 0])):
        set_learning_rate(trained.optimiser, number, 3, config.training)
        step([maps[n] for n in batch], LABELS[batch], TAUGHT[:, batch])
    return {name: tensor.detach() for name, tensor in trained.parameters.items()}, sums


@pytest.mark.parametrize("how", ["linear", "zero-pad"])
@pytest.mark.parametrize("kind", [DirectStep, RecordedStep])
def test_nodes_that_are_places_are_learned_from_as_those_of_a_grid(kind, how):
    config = replace(CONFIG, training=replace(CONFIG.training, interpolation=how))
    (found, sums), (wanted, other_sums) = steps_over_places(kind, config), steps_taken(kind, config)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7, msg=name)
    torch.testing.assert_close(sums, other_sums)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: the recording itself cannot run here")
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_recorded_step_on_a_gpu_is_the_step_as_it_comes_on_the_cpu(changes):
    config = replace(CONFIG, training=replace(CONFIG.training, **changes))
    direct, sums = steps_taken(DirectStep, config)
    recorded, other_sums = steps_taken(RecordedStep, config, "cuda")
    for name, tensor in direct.items():
        torch.testing.assert_close(recorded[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    torch.testing.assert_close(other_sums, sums, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("free_bytes", [0, 1e9])
def test_maps_are_the_same_resident_and_streamed(free_bytes):
    maps = random_maps()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    read = GpuMaps(maps, device, free_bytes)
    assert read.resident == bool(free_bytes) and len(read) == len(maps)
    assert read.n_frames.tolist() == list(LENGTHS)
    assert all(torch.equal(read[n].cpu(), one) for n, one in enumerate(maps))


def test_dropout_depends_on_the_network_and_the_step_and_keeps_the_mean():
    shape = (2000, 8)
    draw = dropout_factors((0, 1), 5, shape, 0.25)
    assert draw.shape == shape and torch.equal(draw, dropout_factors((0, 1), 5, shape, 0.25))
    for other in (((0, 2), 5), ((1, 1), 5), ((0, 1), 6)):
        assert not torch.equal(draw, dropout_factors(*other, shape, 0.25))
    assert sorted(draw.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert draw.mean().item() == pytest.approx(1, abs=0.02)


def test_a_fold_with_dropout_learns_the_same_alone_and_in_a_stack():
    config = replace(CONFIG, training=replace(CONFIG.training, dropout=0.5))
    maps, folds = random_maps(), np.arange(6) % 3
    networks = [StackedNetwork(fold + 1, 0, folds != fold) for fold in range(3)]
    moments = channel_moments(maps)
    together = train(networks, TrainingSamples(maps, LABELS, moments), config)
    for number, network in enumerate(networks):
        alone = train([network], TrainingSamples(maps, LABELS, moments), config)
        for name, tensor in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][number], tensor[0], rtol=2e-4, atol=2e-5, msg=name)
    without = train(networks, TrainingSamples(maps, LABELS, moments), CONFIG)
    assert not torch.equal(without.parameters["temporal.V"], together.parameters["temporal.V"])
