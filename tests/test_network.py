"""The STRNN against a literal reading of equations (1) to (9): node by node, step by step, in float64."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.errors import BadInput
from face_strnn import STRNN, spatial
from face_strnn.scan import Scan
from face_strnn.spatial import ProjectedStates

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


def states_of(x, U, W, b, scan, activation):
    """All directions' states h by the code under test: x (K, C) -> (D, K, H), read off with G = identity."""
    n_nodes = len(x)
    G = torch.eye(n_nodes, dtype=U.dtype).expand(1, len(U), n_nodes, n_nodes)
    one_step = [torch.ones(1, 1, dtype=U.dtype)]
    stack = [parameter.unsqueeze(0) for parameter in (U, W, b)]
    return ProjectedStates.apply(x.unsqueeze(0), one_step, *stack, G, scan, activation == "relu")[0, 0]


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


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
@pytest.mark.parametrize("direction", range(4), ids=CORNERS)
def test_each_direction_visits_the_grid_as_equation_2_says(direction, grid, activation):
    network = small_network(grid, activation)
    U, W, b = network.spatial.U.detach(), network.spatial.W.detach(), network.spatial.b.detach()
    x = random_maps(grid[0] * grid[1], 4)
    found = states_of(x, U, W, b, Scan.grid(*grid), activation)[direction]
    visits = grid_visits(*grid, CORNERS[direction])
    assert_same(found, literal_states(x, U[direction], W[direction], b[direction], *visits, activation))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_whole_network_equals_the_literal_equations(grid, activation):
    network = small_network(grid, activation)
    maps = random_maps(2, 3, *grid, 4)
    parameters = dict(network.named_parameters())
    assert_same(network(maps), torch.stack([literal_logits(parameters, one, activation) for one in maps]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (3, 4)])
def test_gradients_of_all_parameters_and_maps_equal_those_through_the_literal_equations(grid, activation):
    network = small_network(grid, activation)
    maps = random_maps(2, 3, *grid, 4).requires_grad_()
    weights = random_maps(2, 7, seed=5)
    parameters = dict(network.named_parameters())
    wanted = [*parameters.values(), maps]
    found = torch.autograd.grad((weights * network(maps)).sum(), wanted)
    literal = torch.stack([literal_logits(parameters, one, activation) for one in maps])
    for name, actual, expected in zip(
        [*parameters, "maps"], found, torch.autograd.grad((weights * literal).sum(), wanted), strict=True
    ):
        assert expected.abs().max() > 0 or (name == "spatial.W" and grid == (1, 1)), f"{name} is not tested"
        assert_same(actual, expected)


def stack_of_two(scan, hidden=2, channels=3, projections=2, seed=3):
    """Frames of three sequences, their time steps, and U, W, b, G of two stacked networks."""
    steps = [
        torch.eye(2, dtype=torch.float64),
        torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]], dtype=torch.float64),
        torch.ones(2, 1, dtype=torch.float64),
    ]
    M, D, K = 2, scan.n_directions, scan.n_nodes
    H, C, Kp = hidden, channels, projections
    shapes = [(6, K, C), (M, D, H, C), (M, D, H, H), (M, D, H), (M, D, K, Kp)]
    frames, *parameters = (random_maps(*shape, seed=seed + n).requires_grad_() for n, shape in enumerate(shapes))
    return frames, steps, parameters


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_the_spatial_layers_own_backward_pass_agrees_with_finite_differences(grid, relu):
    scan = Scan.grid(*grid)
    frames, steps, parameters = stack_of_two(scan)

    def layer(frames, *parameters):
        return ProjectedStates.apply(frames, steps, *parameters, scan, relu)

    assert torch.autograd.gradcheck(layer, (frames, *parameters))


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


@pytest.mark.parametrize("relu", [True, False])
def test_stacked_networks_and_interpolated_steps_equal_the_literal_loops(relu):
    scan = Scan.grid(2, 3)
    frames, steps, parameters = stack_of_two(scan)
    visits = [grid_visits(2, 3, corner) for corner in CORNERS]
    orders, before = zip(*visits, strict=True)
    expected = literal_stack(frames, steps, parameters, orders, before, relu)
    assert_same(ProjectedStates.apply(frames, steps, *parameters, scan, relu), expected)


def test_the_size_of_chunks_changes_nothing(monkeypatch):
    scan = Scan.grid(2, 3)
    frames, steps, parameters = stack_of_two(scan)
    weights = random_maps(2, 6, 4, 2, 2, seed=9)
    results = []
    for size in (1, spatial.CHUNK_BYTES):
        monkeypatch.setattr(spatial, "CHUNK_BYTES", size)
        s = ProjectedStates.apply(frames, steps, *parameters, scan, True)
        results.append((s, *torch.autograd.grad((weights * s).sum(), (frames, *parameters))))
    for one_by_one, together in zip(*results, strict=True):
        assert_same(one_by_one, together)


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


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_scan_of_any_graph_equals_the_literal_loop_in_value_and_gradient(seed, relu):
    rng = np.random.default_rng(seed)
    orders, before = random_graph(rng, n_nodes=int(rng.integers(1, 10)), n_directions=int(rng.integers(1, 4)))
    scan = Scan(orders, before)
    frames, steps, parameters = stack_of_two(scan, seed=seed)
    found = ProjectedStates.apply(frames, steps, *parameters, scan, relu)
    expected = literal_stack(frames, steps, parameters, orders, before, relu)
    assert_same(found, expected)
    weights = random_maps(*found.shape, seed=11)
    everything = (frames, *parameters)
    for actual, wanted in zip(
        torch.autograd.grad((weights * found).sum(), everything),
        torch.autograd.grad((weights * expected).sum(), everything, materialize_grads=True),
        strict=True,
    ):
        assert_same(actual, wanted)


@pytest.mark.parametrize(
    ("orders", "predecessors", "message"),
    [
        ([[0, 1, 2]], [[[2], [0], [1]]], "node 0 receives from 2"),
        ([[0, 1]], [[[0], []]], "node 0 receives from 0"),
        ([[0, 1], [0, 1]], [[[], [0]], [[1], []]], "direction 1: node 0 receives from 1"),
        ([[0, 1]], [[[], [7]]], "node 1 receives from 7"),
        ([[0, 0]], [[[], []]], "direction 0: must visit each"),
        ([[0, 1], [0]], [[[], []], [[]]], "direction 1: must visit each"),
        ([[0, 1]], [[[]]], "must visit each"),
        ([], [], "at least one direction"),
        ([[]], [[]], "at least one"),
    ],
    ids=["cycle", "itself", "late", "no node", "twice", "fewer nodes", "fewer predecessors", "no direction", "empty"],
)
def test_a_graph_that_cannot_be_visited_is_refused(orders, predecessors, message):
    with pytest.raises(BadInput, match=message):
        Scan(orders, predecessors)


def test_a_grid_without_nodes_is_refused():
    with pytest.raises(BadInput, match="0 x 7"):
        Scan.grid(0, 7)


@pytest.mark.parametrize("grid", [(1, 5), (3, 4), (7, 7)])
def test_a_nodes_input_reaches_exactly_the_nodes_behind_it_in_every_direction(grid):
    height, width = grid
    scan, n_nodes = Scan.grid(*grid), height * width
    # Positive numbers everywhere: ReLU stops nothing and nothing cancels out.
    U, W, b = (random_maps(*shape, seed=n).abs() + 0.1 for n, shape in enumerate([(4, 2, 3), (4, 2, 2), (4, 2)]))
    W = W / 20
    x = random_maps(n_nodes, 3).abs()
    before = states_of(x, U, W, b, scan, "relu")
    for k in range(n_nodes):
        changed = x.clone()
        changed[k] += 1.0
        reached = (states_of(changed, U, W, b, scan, "relu") - before).abs().amax(2) > 0  # (D, K)
        row, column = k // width, k % width
        for direction, corner in enumerate(CORNERS):
            expected = [
                (i <= row if "bottom" in corner else i >= row) and (j <= column if "right" in corner else j >= column)
                for i in range(height)
                for j in range(width)
            ]
            assert reached[direction].tolist() == expected, (k, corner)


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
    network = positive_network(length=1)
    maps = random_maps(1, 1, 2, 3, 4).abs()
    for k in range(6):
        with torch.no_grad():
            network.spatial.W.zero_()
            network.spatial.G.zero_()
            network.spatial.G[direction, k, 0] = 1.0
        before = network(maps)
        for place in range(6):
            changed = maps.clone()
            changed[0, 0, place // 3, place % 3] += 1.0
            assert bool((network(changed) != before).any()) == (place == k)


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
