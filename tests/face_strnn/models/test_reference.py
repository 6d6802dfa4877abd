"""The reference itself: a network worked out by hand, mirrored corners, and where each parameter's columns point."""

import math

import pytest
import torch
from random_networks import ACTIVATIONS, CORNERS, assert_same, random_maps, small_network

from face_strnn import STRNN, Scan
from face_strnn.models import reference

SIZES = {
    "input_size": 1, "grid": (2, 2), "spatial_hidden": 1, "spatial_output": 1, "spatial_projection": 1,
    "temporal_hidden": 1, "length": 2, "temporal_projection": 1, "n_classes": 2,
}  # fmt: skip


def network_by_hand():
    network = STRNN(**SIZES)
    values = {
        "spatial.U": [1, 1, 1, -1], "spatial.W": [1, 1, 1, 1], "spatial.b": [0, 0, 0, 5],
        "spatial.G": [[1, 0, 0, 2], [0, 1, 1, 0], [1, -1, 0, 0], [0, 0, 1, 1]], "spatial.V": [1, 2, 1, -1],
        "temporal.R": [1, 0.5], "temporal.W": [0.5, 1], "temporal.b": [-1, 2],
        "temporal.G": [[1, -1], [2, 1]], "temporal.V": [[1, 0], [0.25, 0.125]],
    }  # fmt: skip
    shapes = network.config.shapes()
    network.set_parameters({name: torch.tensor(value).float().view(shapes[name]) for name, value in values.items()})
    return network


def test_a_network_of_four_nodes_and_two_steps_is_what_it_is_on_paper():
    x = torch.tensor([[[1.0], [2], [3], [4]], [[0], [1], [0], [10]]])  # rows: 1 2 / 3 4, then 0 1 / 0 10
    network = network_by_hand()
    by_hand = [
        # Nodes in the order of rows. From the top left: 1, 2 + 1, 3 + 1, 4 + (1 + 3 + 4).
        [[1, 3, 4, 12], [0, 1, 0, 11]],
        # From the top right: 2, then 1 + 2 and 4 + 2, last 3 + (2 + 3 + 6).
        [[3, 2, 14, 6], [1, 1, 13, 11]],
        # From the bottom left: 3, then 4 + 3 and 1 + 3, last 2 + (3 + 7 + 4).
        [[4, 16, 3, 7], [0, 11, 0, 10]],
        # From the bottom right, -x + 5: 1, then -3 + 1 + 5 and -2 + 1 + 5, last -1 + 8 + 5. ReLU cuts -10 + 5.
        [[12, 4, 3, 1], [14, 4, 5, 0]],
    ]
    for r, direction in enumerate(reference.corners(2, 2)):
        U, W, b = (getattr(network.spatial, letter)[r] for letter in "UWb")
        for t in range(2):
            h = reference.spatial_states(x[t], direction, torch.relu, U, W, b)
            assert torch.cat(h).tolist() == by_hand[r][t], (CORNERS[r], t)
    # s: 1 + 2 * 12 = 25, 2 + 14 = 16, 4 - 16 = -12, 3 + 1 = 4; then 22, 14, -11, 5. m: 25 + 2 * 16 - 12 - 4, and so on.
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
    m = [reference.srnn(parameters, x_t, reference.corners(2, 2), torch.relu) for x_t in x]
    assert torch.cat(m).tolist() == [41, 34]
    # f: 41 - 1 = 40, then 34 + 40 / 2 - 1 = 53. g: first 34 / 2 + 2 = 19, then 41 / 2 + 19 + 2 = 41.5.
    # q: 40 - 53 = -13 and 2 * 41.5 + 19 = 102. o: -13 + 102 / 4 and 102 / 8.
    o, P = reference.forward(network, x)
    assert o.tolist() == [12.5, 12.75]
    assert P.tolist() == pytest.approx([1 / (1 + math.exp(0.25)), 1 / (1 + math.exp(-0.25))])
    assert_same(network(x.view(1, 2, 2, 2, 1))[0].double(), o)


def test_the_loss_of_two_sequences_is_what_it_is_on_paper():
    parameters = dict(network_by_hand().named_parameters())  # sum |G^r| = 3 + 2 + 2 + 2, sum |G^f| + |G^b| = 2 + 3
    P, y = torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1])
    loss = reference.loss(P, y, parameters, lambda1=0.1, lambda2=0.01)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2 + 0.1 * 9 + 0.01 * 5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", [(1, 5), (3, 4)])
@pytest.mark.parametrize(("r", "mirrored"), [*enumerate([(), (1,), (0,), (0, 1)])], ids=CORNERS)
def test_a_corner_sees_the_grid_as_the_top_left_one_sees_its_mirror_image(r, mirrored, grid, activation):
    network, x = small_network(grid, activation), random_maps(*grid, 4)
    U, W, b = (getattr(network.spatial, letter)[r].detach() for letter in "UWb")
    sigma, directions = torch.relu if activation == "relu" else torch.sigmoid, reference.corners(*grid)

    def states(x, direction):
        return torch.stack(reference.spatial_states(x.flatten(0, 1), direction, sigma, U, W, b)).view(*grid, -1)

    assert_same(states(x, directions[r]), states(x.flip(mirrored), directions[0]).flip(mirrored))


def test_projected_states_are_stacked_unit_by_unit_behind_each_other():
    h = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
    G = torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
    assert reference.sparse_projection(h, G).tolist() == [1 + 300, 2 + 400, 10 + 3000, 20 + 4000]


def test_the_layers_of_the_ablations_read_node_after_node_and_step_after_step():
    """Column k * C + c of U is channel c of node k; column t * output + n of R is unit n of m_t."""
    x = torch.arange(12.0).view(4, 3)
    for column in range(12):
        one = torch.eye(12)[column].view(1, 1, 12)
        spatial = {"spatial.U": one, "spatial.b": torch.ones(1, 1)}
        assert reference.srnn(spatial, x, [], torch.relu).tolist() == [1 + x[column // 3, column % 3]]
        temporal = {"temporal.R": one, "temporal.b": torch.ones(1, 1), "temporal.V": torch.full((1, 1, 1), 2.0)}
        assert reference.trnn(temporal, list(x), torch.relu).tolist() == [2 * (1 + x[column // 3, column % 3])]


def test_any_nodes_are_scanned_as_their_scan_says():
    """Two sensors in a line, one direction that visits the second one first."""
    network = STRNN(**{**SIZES, "length": 2}, scan=Scan([[1, 0]], [[[1], []]]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    # h_1 = 3 + 1, h_0 = 2 + 4 + 1; m = 11, f_1 = g_2 = 12, f_2 = g_1 = 24, o = 2 * 36 in both classes.
    o, P = reference.forward(network, torch.tensor([[[2.0], [3.0]]]).expand(2, 2, 1))
    assert o.tolist() == [72, 72] and P.tolist() == [0.5, 0.5]
