"""Equations (1) to (8) as they are written, node by node, step by step, in float64: what the code is held against."""

import torch

from face_strnn import STRNN

GRIDS = [(1, 1), (1, 5), (3, 4), (7, 7)]
ACTIVATIONS = ["relu", "sigmoid"]
CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"]


def sigma(value, activation):
    return value.clamp(min=0) if activation == "relu" else 1 / (1 + torch.exp(-value))


def grid_visits(height, width, corner):
    """The nodes in the order in which a corner's direction visits them, and each one's predecessors (equation 2)."""
    mirror_rows, mirror_columns = "bottom" in corner, "right" in corner

    def node(i, j):
        """The node at row i and column j as seen from the corner."""
        row = height - 1 - i if mirror_rows else i
        column = width - 1 - j if mirror_columns else j
        return row * width + column

    order, before = [], {}
    for i in range(height):
        for j in range(width):
            order.append(node(i, j))
            before[node(i, j)] = [node(k, m) for k, m in ((i, j - 1), (i - 1, j - 1), (i - 1, j)) if k >= 0 and m >= 0]
    return order, before


def literal_states(x, U, W, b, order, before, activation):
    """Equation (1) for one direction and one time slice: x (K, C) -> h (K, H), row k for node k."""
    h = {}
    for k in order:
        total = torch.zeros_like(b)
        for neighbour in before[k]:
            total = total + h[neighbour]
        h[k] = sigma(U @ x[k] + W @ total + b, activation)
    return torch.stack([h[k] for k in range(len(x))])


def literal_projection(h, G):
    """Equations (3) and (7): [s_1; ...; s_Kp] of states h (K, H) under G (K, Kp)."""
    return torch.cat([sum(G[k, column] * h[k] for k in range(len(h))) for column in range(G.shape[1])])


def literal_logits(parameters, maps, activation):
    """Equations (1) to (8) for one sequence of maps (L, h, w, C)."""
    length, height, width, _ = maps.shape
    U, W, b, G, V = (parameters[f"spatial.{name}"] for name in "UWbGV")
    m = []
    for t in range(length):
        x = [maps[t, k // width, k % width] for k in range(height * width)]
        total = 0
        for r, corner in enumerate(CORNERS):
            h = literal_states(x, U[r], W[r], b[r], *grid_visits(height, width, corner), activation)
            total = total + V[r] @ literal_projection(h, G[r])
        m.append(total)
    R, W, b, G, V = (parameters[f"temporal.{name}"] for name in "RWbGV")
    f, g = {-1: torch.zeros_like(b[0])}, {length: torch.zeros_like(b[1])}
    for t in range(length):
        f[t] = sigma(R[0] @ m[t] + W[0] @ f[t - 1] + b[0], activation)
    for t in reversed(range(length)):
        g[t] = sigma(R[1] @ m[t] + W[1] @ g[t + 1] + b[1], activation)
    in_time = range(length)
    q_f, q_b = literal_projection([f[t] for t in in_time], G[0]), literal_projection([g[t] for t in in_time], G[1])
    return V[0] @ q_f + V[1] @ q_b


def small_network(grid=(3, 4), activation="relu", length=3, seed=0):
    """A network in float64 whose every parameter, biases among them, is random and not small."""
    network = STRNN(
        input_size=4,
        grid=grid,
        spatial_hidden=3,
        spatial_output=5,
        spatial_projection=2,
        temporal_hidden=6,
        length=length,
        temporal_projection=2,
        n_classes=7,
        activation=activation,
    ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.45, generator=generator)
    return network


def random_maps(*shape, seed=1, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def literal_stack(frames, steps, parameters, orders, before, relu):
    """(M, B * L, D, Kp, H) by literal loops, the maps interpolated before anything else is done to them."""
    U, W, b, G = parameters
    first, of_networks = 0, []
    slices = []
    for weights in steps:
        own = frames[first : first + weights.shape[1]]
        slices += [sum(weight * frame for weight, frame in zip(row, own, strict=True)) for row in weights]
        first += weights.shape[1]
    for m in range(len(U)):
        of_slices = []
        for x in slices:
            of_directions = []
            for r in range(U.shape[1]):
                states = literal_states(
                    x, U[m, r], W[m, r], b[m, r], orders[r], before[r], "relu" if relu else "sigmoid"
                )
                of_directions.append(literal_projection(states, G[m, r]).view(G.shape[3], -1))
            of_slices.append(torch.stack(of_directions))
        of_networks.append(torch.stack(of_slices))
    return torch.stack(of_networks)


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
