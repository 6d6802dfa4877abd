"""Speed of training at CK+ size, on random maps: against literal loops, and against the machine's matrix rate.

    .venv/bin/python benchmarks/training.py

Prints three tables: one training step of one network, one epoch of ten folds, and where its operations are.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, matrix_rate, peak_memory_mib, seconds

from data_prep.datasets.ckplus_list import ckplus_sequences
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.models.spatial import scan_backend
from face_strnn.models.strnn import STRNN
from face_strnn.models.time_steps import time_steps
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

BATCH = 32
FRAMES = 18  # CK+'s mean
NETWORK = NetworkConfig().for_maps((7, 7, 512), n_classes=7)
CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def main() -> None:
    """Measure and print."""
    console = Console()
    console.print(describe())
    rate = matrix_rate()
    console.print(f"float32 matrix rate (2048 x 2048): {rate / 1e9:.0f} GFLOP/s")
    console.print(f"scan: {scan_backend(Config())}")
    one_step(console)
    one_epoch(console, rate)


def one_step(console: Console) -> None:
    """One step, forward and backward, of one network on 32 sequences of 18 frames."""
    torch.manual_seed(0)
    maps = [torch.randn(FRAMES, 7, 7, 512).half() for _ in range(BATCH)]
    labels = torch.randint(7, (BATCH,))
    network = STRNN()
    times = {
        "this project": seconds(step(network, labels, lambda: network.logits_of_sequences(maps))),
        "node-by-node loop of equation (1)": seconds(step(network, labels, lambda: by_node(network, maps))),
        "loop over time, directions and nodes": seconds(step(network, labels, lambda: by_time(network, maps)), 1),
    }
    table = Table(title="one training step, one network, 32 sequences of 18 frames", title_justify="left")
    for column in ("", "seconds", "times slower"):
        table.add_column(column, justify="left" if not column else "right")
    for name, time in times.items():
        table.add_row(name, f"{time:.3f}", f"{time / times['this project']:.1f}")
    console.print(table)


def one_epoch(console: Console, rate: float) -> None:
    """One epoch of ten folds over the 327 sequences, with CK+'s lengths."""
    listed = ckplus_sequences()
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(one.frames, 7, 7, 512, generator=generator).half() for one in listed]
    labels = torch.randint(7, (len(listed),), generator=generator)
    folds = np.array([one.fold_interleaved for one in listed])
    networks = [StackedNetwork(fold, 0, folds != fold) for fold in range(1, 11)]
    moments = channel_moments(maps)
    config = Config(NETWORK, TrainingConfig(epochs=1))
    before = peak_memory_mib()
    ours = seconds(lambda: train(networks, TrainingSamples(maps, labels, moments), config), 2)
    after = peak_memory_mib()
    # The loops train fold by fold; one step of one fold is measured and scaled to an epoch.
    network = STRNN()
    loop = seconds(step(network, labels[:BATCH], lambda: by_node(network, maps[:BATCH])), 2)
    n_frames = sum(one.frames for one in listed)
    literal = seconds(step(network, labels[:BATCH], lambda: by_time(network, maps[:BATCH])), 1)
    # Nine tenths of the sequences, ten times; the loops' time depends on L and not on the number of real frames.
    steps_of_an_epoch = 9 * len(listed) / BATCH
    needed = operations(n_frames, len(listed), n_networks=9)  # ten networks, each on nine tenths of the data
    table = Table(title="one epoch, ten folds, 327 sequences, 5876 frames", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("this project, seconds", f"{ours:.1f}")
    table.add_row("needed operations, GFLOP", f"{needed / 1e9:.0f}")
    table.add_row("share of the matrix rate", f"{100 * needed / ours / rate:.0f} %")
    for name, time in {"node-by-node loop": loop, "loop over time, directions and nodes": literal}.items():
        table.add_row(f"{name}, fold by fold, seconds (from one step)", f"{time * steps_of_an_epoch:.0f}")
        table.add_row("times slower", f"{time * steps_of_an_epoch / ours:.1f}")
    table.add_row("memory beyond the maps, MiB", f"{after - before:.0f}")
    console.print(table)


def operations(n_frames: int, n_sequences: int, n_networks: int) -> float:
    """Operations that training needs, forward and backward; the maps need no gradient."""
    n, k, d = NETWORK, 49, 4
    n_steps = n_sequences * n.length
    project = 2 * n_frames * k * n.input_size * d * n.spatial_hidden
    recur = 2 * n_steps * k * d * n.spatial_hidden**2
    sparse = 2 * n_steps * k * d * n.spatial_hidden * n.spatial_projection
    output = 2 * n_steps * d * n.spatial_projection * n.spatial_hidden * n.spatial_output
    temporal = 2 * n_steps * 2 * n.temporal_hidden * (n.spatial_output + n.temporal_hidden)
    return n_networks * (2 * project + 3 * (recur + sparse + output + temporal))


def step(network: STRNN, labels: Tensor, logits: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a function that computes the loss and its gradients."""

    def work() -> None:
        network.zero_grad(set_to_none=True)
        cross_entropy(logits(), labels).backward()

    return work


def by_node(network: STRNN, maps: list[Tensor]) -> Tensor:
    """Equation (1) as it is written, node by node, for all time steps of the batch at once."""
    x = torch.stack([interpolated(one) for one in maps])  # (B, L, 7, 7, 512)
    return temporal_loop(network, slice_outputs(network, x.flatten(0, 1)).unflatten(0, (len(maps), -1)))


def by_time(network: STRNN, maps: list[Tensor]) -> Tensor:
    """The structure of public implementations: a loop over time steps, in it one over directions and nodes."""
    x = torch.stack([interpolated(one) for one in maps])
    return temporal_loop(network, torch.stack([slice_outputs(network, x[:, t]) for t in range(x.shape[1])], 1))


def interpolated(maps: Tensor) -> Tensor:
    """Bring one sequence's maps to L time steps, all 512 channels of them."""
    return torch.tensordot(time_steps(len(maps), NETWORK.length), maps.float(), 1)


def slice_outputs(network: STRNN, x: Tensor) -> Tensor:
    """Equations (1) to (4) for time slices (N, 7, 7, 512), node by node."""
    spatial, m = network.spatial, 0
    for r, (down, right) in enumerate(CORNERS):
        h = {}
        for i in range(7)[::down]:
            for j in range(7)[::right]:
                total = x[:, i, j] @ spatial.U[r].T + spatial.b[r]
                for node in ((i, j - right), (i - down, j - right), (i - down, j)):
                    if node in h:
                        total = total + h[node] @ spatial.W[r].T
                h[i, j] = torch.relu(total)
        states = torch.stack([h[i, j] for i in range(7) for j in range(7)], 1)  # (N, 49, H)
        s = torch.einsum("kl,nkh->nlh", spatial.G[r], states)
        m = m + s.flatten(1) @ spatial.V[r].T
    return m


def temporal_loop(network: STRNN, m: Tensor) -> Tensor:
    """Equations (5) to (8) on (B, L, output), step by step."""
    temporal, o = network.temporal, 0
    for way, order in enumerate((range(m.shape[1]), reversed(range(m.shape[1])))):
        state, states = torch.zeros(len(m), NETWORK.temporal_hidden), {}
        for t in order:
            state = torch.relu(m[:, t] @ temporal.R[way].T + state @ temporal.W[way].T + temporal.b[way])
            states[t] = state
        f = torch.stack([states[t] for t in range(m.shape[1])], 1)
        o = o + torch.einsum("tp,bth->bph", temporal.G[way], f).flatten(1) @ temporal.V[way].T
    return o


if __name__ == "__main__":
    main()
