"""Random maps, graphs and small networks in float64, to be held against :mod:`face_strnn.models.reference`."""

import torch

from face_strnn import STRNN

GRIDS = [(1, 1), (1, 5), (3, 4), (7, 7)]
ACTIVATIONS = ["relu", "sigmoid"]
CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"]
SIZES = {
    "input_size": 4, "spatial_hidden": 3, "spatial_output": 5, "spatial_projection": 2, "temporal_hidden": 6,
    "temporal_projection": 2, "n_classes": 7,
}  # fmt: skip


def small_network(grid=(3, 4), activation="relu", length=3, seed=0, variant="strnn", scan=None):
    """A network in float64 whose every parameter, biases among them, is random and not small."""
    network = STRNN(**SIZES, grid=grid, activation=activation, length=length, variant=variant, scan=scan).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.45, generator=generator)
    return network


def random_maps(*shape, seed=1, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def assert_same_gradients(found, expected, wanted, may_be_zero=()):
    """Hold the gradients of two results against each other, by name; those of the second must not be zero."""
    weights = random_maps(*expected.shape, seed=5)
    gradients = (torch.autograd.grad((weights * result).sum(), wanted.values()) for result in (found, expected))
    for name, actual, gradient in zip(wanted, *gradients, strict=True):
        assert gradient.abs().max() > 0 or name in may_be_zero, f"{name} is not tested"
        assert_same(actual, gradient)


def random_graph(rng, n_nodes, n_directions):
    """Random orders, and for each node up to four predecessors among those visited before; other ones by direction."""
    orders, before = [], []
    for _ in range(n_directions):
        order = rng.permutation(n_nodes).tolist()
        predecessors = [[] for _ in range(n_nodes)]
        for place, node in enumerate(order):
            count = int(rng.integers(0, min(place, 4) + 1))
            predecessors[node] = rng.choice(order[:place], count, replace=False).tolist() if count else []
        orders.append(order)
        before.append(predecessors)
    return orders, before
