"""Training at CK+ size on a GPU: 10 folds, 60 epochs, 1,635 samples, L = 44, on random maps.

    .venv/bin/python benchmarks/gpu_training.py

Prints one table: the whole training and one epoch, in float32 and bfloat16, and the share of the GPU's float32
matrix rate.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe
from training import NETWORK, operations

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.faces.variants import ROTATIONS
from face_strnn.config import Config, TrainingConfig
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

EPOCHS = 60


def main() -> None:
    """Measure and print; say so where there is no GPU."""
    console = Console()
    console.print(describe())
    if not torch.cuda.is_available():
        console.print("no GPU: nothing to measure")
        return
    listed = [one for one in ckplus_sequences() for _ in range(1 + len(ROTATIONS))]
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(one.frames, 7, 7, 512, generator=generator).half() for one in listed]
    labels = torch.randint(7, (len(listed),), generator=generator)
    folds = np.array([one.fold_interleaved for one in listed])
    networks = [StackedNetwork(fold, 0, folds != fold) for fold in range(1, 11)]
    moments = channel_moments(maps)
    needed = EPOCHS * operations(sum(one.frames for one in listed), len(listed), n_networks=9)
    rate = gpu_matrix_rate()
    table = Table("", "seconds", "share of the matrix rate", title=f"10 folds x {EPOCHS} epochs", title_justify="left")
    for precision in ("float32", "bfloat16"):
        ended: list[float] = []
        config = Config(NETWORK, TrainingConfig(epochs=EPOCHS, precision=precision))
        started = time.perf_counter()
        samples = TrainingSamples(maps, labels, moments)
        train(networks, samples, config, device="cuda", progress=lambda _: ended.append(now()))  # noqa: B023
        total = now() - started
        share = f"{100 * needed / total / rate:.0f} %" if precision == "float32" else ""
        table.add_row(f"{precision}, whole training, loading the maps included", f"{total:.1f}", share)
        table.add_row(f"{precision}, one epoch", f"{(ended[-1] - ended[0]) / (EPOCHS - 1):.2f}", "")
    console.print(table)
    console.print(f"float32 matrix rate (8192 x 8192): {rate / 1e12:.1f} TFLOP/s")
    console.print(f"largest memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def now() -> float:
    """Wait for the GPU, then return the time."""
    torch.cuda.synchronize()
    return time.perf_counter()


def gpu_matrix_rate(size: int = 8192, repeats: int = 5) -> float:
    """Return the float32 rate of a large square product on the GPU, in operations per second."""
    left, right = torch.randn(2, size, size, device="cuda")
    left @ right
    times = []
    for _ in range(repeats):
        started = now()
        left @ right
        times.append(now() - started)
    return 2 * size**3 / min(times)


if __name__ == "__main__":
    main()
