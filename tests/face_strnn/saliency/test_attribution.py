"""Attributions of networks whose important nodes and time steps are known by construction."""

import numpy as np
import pytest
import torch

from data_prep.errors import BadInput
from face_strnn import STRNN
from face_strnn.saliency.attribution import baseline_of, gradient_times_change, integrated_gradients
from face_strnn.saliency.explained import by_parts
from face_strnn.saliency.localisation import area_under_curve

GRID, LENGTH, CHANNELS = (5, 5), 6, 4
NODE = (3, 1)


def random_network(seed: int = 0, activation: str = "relu") -> STRNN:
    torch.manual_seed(seed)
    return STRNN(CHANNELS, GRID, 5, 4, 3, 6, LENGTH, 2, 3, activation)


def random_maps(frames: int = 7, seed: int = 1) -> torch.Tensor:
    return torch.randn(frames, *GRID, CHANNELS, generator=torch.Generator().manual_seed(seed))


def looking_at_one_node(directions: tuple[int, ...] = (0, 1, 2, 3), hands_on: bool = False) -> STRNN:
    """A network whose G reads the states of one node only, in some directions; W hands states on or does not."""
    network = random_network()
    with torch.no_grad():
        row = NODE[0] * GRID[1] + NODE[1]
        kept = torch.zeros_like(network.spatial.G)
        kept[list(directions), row] = network.spatial.G[list(directions), row]
        network.spatial.G.copy_(kept)
        if not hands_on:
            network.spatial.W.zero_()
    return network


@pytest.mark.parametrize("baseline", ["first-frame", "zeros"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_attributions_sum_to_the_difference_of_the_logits(baseline, activation):
    network, maps = random_network(activation=activation), random_maps()
    start = baseline_of(maps, baseline)
    with torch.no_grad():
        difference = (network.logits_of_sequences([maps]) - network.logits_of_sequences([start]))[0]
    for target in range(3):
        attribution = integrated_gradients([network], maps, target, baseline=baseline, steps=300)
        assert attribution.logit_difference == pytest.approx(float(difference[target]), abs=1e-5)
        assert float(attribution.per_node.sum()) == pytest.approx(float(difference[target]), abs=5e-3)
        residual = float(attribution.per_node.sum()) - attribution.logit_difference
        assert attribution.residual == pytest.approx(residual, abs=1e-6)


def test_only_the_node_that_the_network_reads_gets_credit():
    places = integrated_gradients([looking_at_one_node()], random_maps(), 0).per_node
    elsewhere = places.clone()
    elsewhere[:, NODE[0], NODE[1]] = 0
    assert not elsewhere.any()
    assert (places[1:, NODE[0], NODE[1]] != 0).all()
    truth = np.zeros(GRID, bool)
    truth[NODE] = True
    assert area_under_curve(places.abs().sum(0).numpy(), truth) == 1


def test_credit_goes_back_along_the_scan_to_the_nodes_that_were_visited_before():
    places = integrated_gradients([looking_at_one_node((0,), hands_on=True)], random_maps(), 0).per_node.abs().sum(0)
    visited = torch.zeros(GRID, dtype=torch.bool)
    visited[: NODE[0] + 1, : NODE[1] + 1] = True  # from the top-left corner
    assert not places[~visited].any()
    assert (places[visited] > 0).sum() > 1


def test_a_time_step_that_the_network_reads_alone_gets_all_credit():
    network = random_network()
    with torch.no_grad():
        network.temporal.W.zero_()
        network.temporal.G[:, :-1] = 0  # only the last time step, the apex
    of_frame = integrated_gradients([network], random_maps(frames=LENGTH), 1).per_node.abs().sum((1, 2))
    assert of_frame[-1] > 0
    assert not of_frame[:-1].any()


def test_what_the_first_frame_shows_all_the_time_gets_no_credit_unless_the_baseline_is_zeros():
    still = random_maps(frames=1).expand(5, *GRID, CHANNELS)
    assert not integrated_gradients([random_network()], still, 0).per_node.any()
    assert integrated_gradients([random_network()], still, 0, baseline="zeros").per_node.any()


def test_where_no_unit_switches_gradient_times_change_and_integrated_gradients_agree():
    network = random_network()
    with torch.no_grad():
        network.spatial.b.fill_(1000)  # far from ReLU's kink, so that everything is linear
        network.spatial.W.zero_()
        network.temporal.R.abs_()
        network.temporal.b.fill_(1e6)
        network.temporal.W.zero_()
    network, maps = network.double(), random_maps()
    exact, complete = gradient_times_change([network], maps, 2), integrated_gradients([network], maps, 2, steps=3)
    assert float(exact.sum()) == pytest.approx(complete.logit_difference, rel=1e-4)
    np.testing.assert_allclose(complete.per_node, exact, rtol=1e-3)


def test_several_networks_are_averaged():
    networks, maps = [random_network(0), random_network(1)], random_maps()
    each = [integrated_gradients([network], maps, 0).per_node for network in networks]
    torch.testing.assert_close(integrated_gradients(networks, maps, 0).per_node, (each[0] + each[1]) / 2)


def test_stored_half_precision_maps_and_sequences_of_one_frame_are_taken():
    assert integrated_gradients([random_network()], random_maps().half(), 0).per_node.shape == (7, *GRID)
    assert not integrated_gradients([random_network()], random_maps(frames=1), 0).per_node.any()


def test_unknown_baselines_and_no_steps_are_refused():
    with pytest.raises(BadInput, match="--baseline mean: must be one of first-frame, zeros"):
        baseline_of(random_maps(), "mean")
    with pytest.raises(BadInput, match="--steps 0: must be at least 1"):
        integrated_gradients([random_network()], random_maps(), 0, steps=0)


def test_the_parts_of_a_sequence_add_up_and_are_in_order_of_time():
    places = torch.rand(13, *GRID, dtype=torch.float64)
    assert by_parts(places).sum() == pytest.approx(float(places.sum()))
    late = torch.zeros(20, *GRID)
    late[-1, 2, 2] = 1
    assert by_parts(late)[-1] == pytest.approx(1)
    # Eleven frames: each inner one is a part wide, half in the part before it and half in the one after it.
    fifth = torch.zeros(11, *GRID)
    fifth[4] = 1 / 25
    np.testing.assert_allclose(by_parts(fifth), [0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0], atol=1e-6)
    assert by_parts(torch.ones(1, *GRID)).sum() == pytest.approx(25)
