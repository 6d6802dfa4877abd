"""Memory of training on feature stores of different sizes, with random maps.

    .venv/bin/python benchmarks/memory.py 0.5 4

Writes a store of each size (GiB) into a temporary folder, trains two folds of it for one epoch in a process of its own,
and prints the largest memory that the process held for itself. Maps are mapped from their files: the system keeps as
much of them in memory as is free, and drops the rest.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe

from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.settings import network_for
from face_strnn.training.samples import Samples, channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

FRAMES = 18
BYTES_PER_SEQUENCE = FRAMES * 49 * 512 * 2


def main() -> None:
    """Measure and print."""
    if sys.argv[1] == "--train":
        train_on(Path(sys.argv[2]))
        return
    table = Table("store, GiB", "sequences", "largest own memory, MiB", "mapped files in memory then, MiB", "seconds")
    for size in map(float, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            n_sequences = write_store(Path(folder), int(size * 2**30))
            command = [sys.executable, __file__, "--train", folder]
            measured = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            table.add_row(f"{size:g}", str(n_sequences), *measured)
    console = Console()
    console.print(describe())
    console.print(table)


def write_store(folder: Path, n_bytes: int) -> int:
    """Write random maps until they take so many bytes; return the number of sequences."""
    store = FeatureStore.create(folder, "random", {"data": "random"})
    maps = torch.randn(FRAMES, 7, 7, 512).half()
    n_sequences = n_bytes // BYTES_PER_SEQUENCE
    for number in range(n_sequences):
        subject = f"S{number % 118:03d}"
        emotion = EMOTIONS[number % len(EMOTIONS)]
        store.write(StoredSequence(f"{subject}_{number:05d}", subject, emotion, 0, FRAMES, "0" * 64), maps)
    store.complete()
    store.rebuild_index()
    return n_sequences


def train_on(folder: Path) -> None:
    """Train two of ten folds for one epoch, and print peak memory and time."""
    peak = {"RssAnon": 0, "RssFile": 0}

    def record_peak() -> None:
        while True:
            status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
            held = {name: int(status[name].split()[0]) // 1024 for name in peak}
            if held["RssAnon"] > peak["RssAnon"]:
                peak.update(held)
            time.sleep(0.05)

    threading.Thread(target=record_peak, daemon=True).start()
    started = time.perf_counter()
    samples = Samples.of(FeatureStore.open(folder))
    folds = np.arange(len(samples)) % 10
    networks = [StackedNetwork(fold, 0, folds != fold - 1) for fold in (1, 2)]
    config = Config(network_for(samples, NetworkConfig()), TrainingConfig(epochs=1))
    train(networks, TrainingSamples(samples, samples.labels, channel_moments(samples)), config)
    print(peak["RssAnon"], peak["RssFile"], f"{time.perf_counter() - started:.0f}")


if __name__ == "__main__":
    main()
