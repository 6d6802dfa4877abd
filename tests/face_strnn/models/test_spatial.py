"""Equations (1) to (3): scans, the portable path and the compiled one, against the reference in float64."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from random_networks import (
    ACTIVATIONS,
    CORNERS,
    GRIDS,
    assert_same,
    random_graph,
    random_maps,
    small_network,
)
from variants_store import write_store

from data_prep.errors import BadInput
from face_strnn.models.kernels import build
from face_strnn.models.kernels.build import SMALL, reason_unavailable
from face_strnn.models.kernels.compiled import Workspace
from face_strnn.models.kernels.portable import CHUNK_BYTES, PortableStates
from face_strnn.models.reference import corners, sparse_projection, spatial_states
from face_strnn.models.scan import Scan
from face_strnn.models.spatial import projected_states
from face_strnn.models.time_steps import Taps, time_steps


def states_of(x, U, W, b, scan, activation):
    """All directions' states h by the code under test: x (K, C) -> (D, K, H), read off with G = identity."""
    n_nodes = len(x)
    G = torch.eye(n_nodes, dtype=U.dtype).expand(1, len(U), n_nodes, n_nodes)
    one_step = [torch.ones(1, 1, dtype=U.dtype)]
    stack = [parameter.unsqueeze(0) for parameter in (U, W, b)]
    return PortableStates.apply(x.unsqueeze(0), one_step, *stack, G, scan, activation == "relu")[0, 0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("direction", range(4), ids=CORNERS)
def test_each_direction_visits_the_grid_as_equation_2_says(direction, grid, activation):
    network = small_network(grid, activation)
    U, W, b = network.spatial.U.detach(), network.spatial.W.detach(), network.spatial.b.detach()
    x = random_maps(grid[0] * grid[1], 4)
    found = states_of(x, U, W, b, Scan.grid(*grid), activation)[direction]
    sigma = torch.relu if activation == "relu" else torch.sigmoid
    expected = spatial_states(x, corners(*grid)[direction], sigma, U[direction], W[direction], b[direction])
    assert_same(found, torch.stack(expected))


def reference_stack(frames, steps, parameters, directions, relu):
    """(M, B * L, D, Kp, H) by the reference, the maps interpolated before anything else is done to them."""
    U, W, b, G = parameters
    sigma, slices = torch.relu if relu else torch.sigmoid, []
    for weights, own in zip(steps, frames.split([weights.shape[1] for weights in steps]), strict=True):
        slices += [sum(weight * frame for weight, frame in zip(row, own, strict=True)) for row in weights]

    def projected(x, m, r):
        h = spatial_states(x, directions[r], sigma, U[m, r], W[m, r], b[m, r])
        return sparse_projection(h, G[m, r]).view(G.shape[3], -1)

    M, D = U.shape[:2]
    return torch.stack([
        torch.stack([torch.stack([projected(x, m, r) for r in range(D)]) for x in slices]) for m in range(M)
    ])  # fmt: skip


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
@pytest.mark.parametrize("graph", [*GRIDS, "random"])
def test_the_spatial_layers_own_backward_pass_agrees_with_finite_differences(graph, relu):
    scan = Scan(*random_graph(np.random.default_rng(3), 6, 3)) if graph == "random" else Scan.grid(*graph)
    frames, steps, parameters = stack_of_two(scan)

    def layer(frames, *parameters):
        return PortableStates.apply(frames, steps, *parameters, scan, relu)

    # Beyond a few nodes along random directions: the full Jacobian takes minutes.
    assert torch.autograd.gradcheck(layer, (frames, *parameters), fast_mode=scan.n_nodes > 6)


@pytest.mark.parametrize("relu", [True, False])
def test_stacked_networks_and_interpolated_steps_equal_the_reference(relu):
    scan = Scan.grid(2, 3)
    frames, steps, parameters = stack_of_two(scan)
    expected = reference_stack(frames, steps, parameters, corners(2, 3), relu)
    assert_same(PortableStates.apply(frames, steps, *parameters, scan, relu), expected)


def test_the_size_of_chunks_changes_nothing():
    scan = Scan.grid(2, 3)
    frames, steps, parameters = stack_of_two(scan)
    weights = random_maps(2, 6, 4, 2, 2, seed=9)
    results = []
    for size in (1, CHUNK_BYTES):
        s = PortableStates.apply(frames, steps, *parameters, scan, True, None, size)
        results.append((s, *torch.autograd.grad((weights * s).sum(), (frames, *parameters))))
    for one_by_one, together in zip(*results, strict=True):
        assert_same(one_by_one, together)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_scan_of_any_graph_equals_the_reference_in_value_and_gradient(seed, relu):
    rng = np.random.default_rng(seed)
    orders, before = random_graph(rng, n_nodes=int(rng.integers(1, 10)), n_directions=int(rng.integers(1, 4)))
    scan = Scan(orders, before)
    frames, steps, parameters = stack_of_two(scan, seed=seed)
    found = PortableStates.apply(frames, steps, *parameters, scan, relu)
    expected = reference_stack(frames, steps, parameters, list(zip(orders, before, strict=True)), relu)
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


@pytest.fixture
def kernel_needed():
    for hidden in (1, 3, 5, 16, 33, 50):
        if reason_unavailable(hidden):
            pytest.skip(f"no compiled kernel on this machine: {reason_unavailable(hidden)}")


def both_paths(steps, frames, parameters, scan, relu, dtype=torch.float32):
    """s and all gradients by the function under test in ``dtype``, and by the portable path in float64."""
    results = []
    for kind in (dtype, torch.float64):
        inputs = [tensor.detach().to(kind).requires_grad_() for tensor in (frames, *parameters)]
        s = projected_states(inputs[0], [step.to(kind) for step in steps], *inputs[1:], scan, relu)
        weights = random_maps(*s.shape, seed=5).to(kind)
        gradients = torch.autograd.grad((s * weights).sum(), inputs, materialize_grads=True)
        results.append((s.grad_fn.name(), s, *gradients))
    return results


def random_stack(scan, n_networks, hidden, channels, projections, n_frames):
    sizes = {
        "U": (hidden, channels), "W": (hidden, hidden), "b": (hidden,), "G": (scan.n_nodes, projections)
    }  # fmt: skip
    scale = {"U": channels**-0.5, "W": hidden**-0.5 / 3, "b": 0.5, "G": 1.0}
    parameters = [
        scale[name] * random_maps(n_networks, scan.n_directions, *size, seed=number)
        for number, (name, size) in enumerate(sizes.items())
    ]
    return random_maps(sum(n_frames), scan.n_nodes, channels, seed=7), parameters


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("hidden", [1, 3, 5, 16, 33, 50])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_compiled_kernel_agrees_with_the_portable_path_in_value_and_gradient(grid, hidden, relu, kernel_needed):
    scan, n_frames = Scan.grid(*grid), (3, 7, 1, 12)
    frames, parameters = random_stack(scan, 2, hidden, 6, 7, n_frames)
    steps = [time_steps(n, 9) for n in n_frames]
    (name, *found), (reference, *expected) = both_paths(steps, frames, parameters, scan, relu)
    assert name == "CompiledStatesBackward" and reference == "PortableStatesBackward"
    for actual, wanted in zip(found, expected, strict=True):
        assert (actual - wanted).abs().max() <= 3e-6 * wanted.abs().max()


@pytest.mark.parametrize("seed", range(4))
def test_the_compiled_kernel_scans_any_graph(seed, kernel_needed):
    rng = np.random.default_rng(seed)
    scan = Scan(*random_graph(rng, n_nodes=int(rng.integers(2, 12)), n_directions=int(rng.integers(1, 4))))
    frames, parameters = random_stack(scan, 3, 5, 4, 2, (2, 5))
    (name, *found), (_, *expected) = both_paths([time_steps(n, 4) for n in (2, 5)], frames, parameters, scan, True)
    assert name == "CompiledStatesBackward"
    for actual, wanted in zip(found, expected, strict=True):
        assert (actual - wanted).abs().max() <= 3e-6 * wanted.abs().max()


@pytest.mark.parametrize("how", ["linear", "nearest", "zero-pad"])
def test_two_taps_are_the_steps_themselves(how):
    for n_frames, length in ((1, 2), (1, 5), (2, 5), (5, 5), (9, 5)):
        step = time_steps(n_frames, length, how)
        taps = Taps.of(step)
        assert torch.equal(torch.zeros_like(step).scatter_add_(1, taps.frame, taps.weight), step)


def test_steps_of_more_than_two_frames_are_left_to_the_portable_path():
    scan = Scan.grid(1, 2)
    frames, parameters = random_stack(scan, 1, 3, 4, 2, (3,))
    mean_of_three = [torch.full((2, 3), 1 / 3)]
    (name, found, *_), (_, expected, *_) = both_paths(mean_of_three, frames, parameters, scan, True)
    assert name == "PortableStatesBackward"
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_the_compiled_kernel_repeats_itself_bit_for_bit(kernel_needed):
    scan, n_frames = Scan.grid(7, 7), (3, 7, 1, 12)
    frames, parameters = random_stack(scan, 3, 50, 6, 7, n_frames)
    steps = [time_steps(n, 9) for n in n_frames]
    once, again = (both_paths(steps, frames, parameters, scan, True)[0][1:] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_compiled_kernel_agrees_with_the_portable_path_on_any_number_of_threads(threads, kernel_needed):
    scan, n_frames, before = Scan.grid(7, 7), (3, 7, 1, 12), torch.get_num_threads()
    frames, parameters = random_stack(scan, 3, 50, 6, 7, n_frames)
    steps = [time_steps(n, 9) for n in n_frames]
    try:
        torch.set_num_threads(threads)
        (name, *found), (_, *expected) = both_paths(steps, frames, parameters, scan, True)
    finally:
        torch.set_num_threads(before)
    assert name == "CompiledStatesBackward" and found[0].numel() * 50 > SMALL, "one thread would do for fewer states"
    for actual, wanted in zip(found, expected, strict=True):
        assert (actual - wanted).abs().max() <= 3e-6 * wanted.abs().max()


def test_states_that_were_overwritten_are_not_differentiated(kernel_needed):
    scan = Scan.grid(2, 2)
    frames, parameters = random_stack(scan, 1, 3, 4, 2, (3,))
    inputs = [tensor.float().requires_grad_() for tensor in (frames, *parameters)]
    steps, workspace = [time_steps(3, 4)], Workspace()

    def total():
        return projected_states(inputs[0], steps, *inputs[1:], scan, True, workspace=workspace).sum()

    first = total()
    first.backward(retain_graph=True)
    total()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        first.backward()


@pytest.mark.parametrize("variables", [{"FACE_STRNN_PORTABLE": "1"}, {"PATH": "/nowhere"}])
def test_without_a_compiler_the_portable_path_is_taken_and_the_reason_is_told(variables):
    program = (
        "import torch; from face_strnn import STRNN; from face_strnn.models.kernels.build import reason_unavailable;"
        "network = STRNN(); print(network(torch.rand(1, 44, 7, 7, 512)).shape); print(reason_unavailable(50))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    shape, reason = done.stdout.splitlines()
    assert shape == "torch.Size([1, 7])"
    assert "FACE_STRNN_PORTABLE is set" in reason or "no C++ compiler" in reason


def test_a_kernel_that_cannot_be_kept_at_home_is_compiled_for_the_process_with_a_warning(tmp_path, kernel_needed):
    (tmp_path / "file").write_text("no folder")
    program = "from face_strnn.models.kernels.build import scan_kernel; print(scan_kernel(5).row, scan_kernel(5).row)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["8", "8"]
    assert (
        done.stderr.count("Warning") == 1 and f"cannot be kept ([Errno 20] Not a directory: '{tmp_path}" in done.stderr
    )


CROSS_VALIDATE = """
import sys
from dataclasses import replace
from pathlib import Path
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.crossval import cross_validate
from runs import plan_of
from variants_store import CONFIG

config = replace(CONFIG, network=replace(CONFIG.network, spatial_hidden=7))
run = cross_validate(FeatureStore.open(Path(sys.argv[1])), Path(sys.argv[2]), plan_of(config, folds=3))
print(run.summary.spatial_scan)
"""


def test_a_kernel_that_cannot_be_loaded_is_named_and_the_portable_path_is_taken(tmp_path, monkeypatch, kernel_needed):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    library = build._compiled.__wrapped__(7)
    library.write_bytes(library.read_bytes()[:20])
    folders = [str(write_store(tmp_path / "features").folder), str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", CROSS_VALIDATE, *folders], capture_output=True, text=True, check=True)
    (warned,) = [line for line in done.stderr.splitlines() if str(library) in line]
    assert "DataWarning: " in warned and "PyTorch's operations compute the scan" in warned
    assert done.stdout.startswith(f"PyTorch's operations, because {library} cannot be loaded (")
