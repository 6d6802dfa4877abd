"""The STRNN against the reference, which computes equations (1) to (9) node by node."""

import numpy as np
import pytest
import torch
from random_networks import (
    ACTIVATIONS,
    CORNERS,
    GRIDS,
    assert_same,
    assert_same_gradients,
    random_maps,
    small_network,
)

from data_prep.errors import BadInput
from face_strnn import STRNN
from face_strnn.models import reference


def test_parameters_are_named_and_shaped_as_the_contract_says():
    shapes = {name: tuple(parameter.shape) for name, parameter in STRNN().named_parameters()}
    assert shapes == {
        "spatial.U": (4, 50, 512),
        "spatial.W": (4, 50, 50),
        "spatial.b": (4, 50),
        "spatial.G": (4, 49, 10),
        "spatial.V": (4, 50, 500),
        "temporal.R": (2, 150, 50),
        "temporal.W": (2, 150, 150),
        "temporal.b": (2, 150),
        "temporal.G": (2, 44, 5),
        "temporal.V": (2, 7, 750),
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in small_network().state_dict().items()}
    assert shapes == {
        "spatial.U": (4, 3, 4),
        "spatial.W": (4, 3, 3),
        "spatial.b": (4, 3),
        "spatial.G": (4, 12, 2),
        "spatial.V": (4, 5, 6),
        "temporal.R": (2, 6, 5),
        "temporal.W": (2, 6, 6),
        "temporal.b": (2, 6),
        "temporal.G": (2, 3, 2),
        "temporal.V": (2, 7, 12),
    }


def test_the_default_network_takes_ckplus_maps_and_starts_in_range():
    torch.manual_seed(0)
    logits = STRNN()(torch.randn(2, 44, 7, 7, 512))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all() and logits.abs().max() < 100


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_whole_network_equals_the_equations_as_written(grid, activation):
    network = small_network(grid, activation)
    maps = random_maps(2, 3, *grid, 4)
    o, P = zip(*(reference.forward(network, one) for one in maps), strict=True)
    assert_same(network(maps), torch.stack(o))
    assert_same(network(maps).softmax(1), torch.stack(P))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (3, 4)])
def test_gradients_of_all_parameters_and_maps_equal_those_through_the_equations_as_written(grid, activation):
    network = small_network(grid, activation)
    maps = random_maps(2, 3, *grid, 4).requires_grad_()
    expected = torch.stack([reference.forward(network, one)[0] for one in maps])
    wanted = {**dict(network.named_parameters()), "maps": maps}
    alone = ["spatial.W"] if grid == (1, 1) else []  # a single node has no predecessors
    assert_same_gradients(network(maps), expected, wanted, may_be_zero=alone)


def positive_network(length=5):
    network = small_network((2, 3), length=length)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().mul_(0.3)
    return network


@pytest.mark.parametrize(("way", "sees"), [(0, "past"), (1, "future")])
def test_a_temporal_state_sees_only_its_own_side_of_time(way, sees):
    length = 5
    maps = random_maps(1, length, 2, 3, 4).abs()
    for t in range(length):
        network = positive_network(length)
        with torch.no_grad():
            network.temporal.G.zero_()
            network.temporal.G[way, t] = 1.0
        before = network(maps)
        for changed_step in range(length):
            changed = maps.clone()
            changed[0, changed_step] += 1.0
            reached = bool((network(changed) != before).any())
            assert reached == (changed_step <= t if sees == "past" else changed_step >= t), (t, changed_step)


@pytest.mark.parametrize("direction", range(4), ids=CORNERS)
def test_a_row_of_the_spatial_projection_is_the_same_place_in_every_direction(direction):
    """With the states cut off from each other, only the node of the row itself can be read."""
    network = positive_network(length=2)
    maps = random_maps(1, 2, 2, 3, 4).abs()
    for k in range(6):
        with torch.no_grad():
            network.spatial.W.zero_()
            network.spatial.G.zero_()
            network.spatial.G[direction, k, 0] = 1.0
        before = network(maps)
        for node in range(6):
            changed = maps.clone()
            changed[0, 0, node // 3, node % 3] += 1.0
            assert bool((network(changed) != before).any()) == (node == k)


@pytest.mark.parametrize("how", ["linear", "nearest", "zero-pad"])
def test_interpolating_inside_the_network_equals_interpolating_the_maps(how):
    length = 6
    network = small_network((2, 3), length=length)
    sequences = [random_maps(frames, 2, 3, 4, seed=frames) for frames in (1, 2, 4, 6, 9)]
    explicit = []
    for maps in sequences:
        n = len(maps)
        position = np.linspace(0, n - 1, length)
        if how == "zero-pad" and n < length:
            explicit.append(torch.cat((maps, torch.zeros(length - n, 2, 3, 4, dtype=torch.float64))))
        elif how == "nearest":
            explicit.append(maps[torch.from_numpy(np.floor(position + 0.5).astype(int))])
        else:
            channels = maps.reshape(n, -1).numpy().T
            explicit.append(
                torch.from_numpy(np.stack([np.interp(position, np.arange(n), c) for c in channels], 1)).view(
                    length, 2, 3, 4
                )
            )
    found = network.logits_of_sequences(sequences, how)
    # Weights of time steps are float32.
    torch.testing.assert_close(found, network(torch.stack(explicit)), rtol=1e-5, atol=1e-5)


def test_half_precision_maps_are_taken_as_they_are_stored():
    network = small_network().float()
    maps = random_maps(2, 3, 3, 4, 4, dtype=torch.float16)
    assert network(maps).dtype == torch.float32
    assert torch.equal(network(maps), network(maps.float()))
    assert torch.equal(network.logits_of_sequences(list(maps)), network.logits_of_sequences(list(maps.float())))


def test_maps_of_other_sizes_are_refused():
    network = small_network()
    with pytest.raises(BadInput, match=r"\(2, 4, 3, 4, 4\).*\(batch, 3, 3, 4, 4\)"):
        network(torch.zeros(2, 4, 3, 4, 4))
    with pytest.raises(BadInput, match=r"\(9, 4, 3, 4\).*\(frames, 3, 4, 4\)"):
        network.logits_of_sequences([torch.zeros(9, 4, 3, 4)])


@pytest.mark.parametrize("setting", [{"spatial_hidden": 0}, {"length": -1}, {"activation": "tanh"}, {"grid": (0, 7)}])
def test_impossible_sizes_are_refused(setting):
    with pytest.raises(BadInput):
        STRNN(**setting)
