"""Images a second of `pretrain --images`, and the share of the bare network's rate on all cores.

    .venv/bin/python benchmarks/pretraining.py

Grey noise of 48 x 48 pixels stands for FER2013's images: reading, disturbing and learning cost the same. For every side
of the crops that an epoch may have, an epoch's steps are timed as `pretrain` runs them, and in turns with them the same
steps on one batch that lies in memory.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe

from data_prep.backbones.split import split_backbone
from data_prep.device import compute_device, has_bfloat16
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import find_labelled_images
from data_prep.pretraining.labelled_task import SIZES, LabelledOptions, LabelledTask

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each side, in turns with the bare network")
    parser.add_argument("--batch-size", type=int, default=128)
    given = parser.parse_args()
    console, device = Console(), compute_device()
    precision = "bfloat16" if has_bfloat16(device) else "float32"
    console.print(f"{describe()}; {precision}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        write_noise(root, given.steps * given.batch_size)
        images = find_labelled_images(root).images
        crops = LabelledCrops(Path(folder), images, "given", 112)
        crops.extract(-1)
        places = [place for place, image in enumerate(images) if image.part == "train"]
        backbone = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4, 0, device, precision)
        n_epochs = 10
        task = LabelledTask(backbone, crops, places, LabelledOptions("given", given.batch_size), n_epochs)
        optimiser = torch.optim.AdamW([*backbone.trained.parameters(), *task.heads.parameters()])
        table = Table("side of the crops")
        for heading in ("images a second", "bare network", "share"):
            table.add_column(heading, justify="right")
        for share, _ in SIZES:
            epoch = round(share * n_epochs) - 1
            rates = [measure(task, optimiser, epoch) for _ in range(given.rounds)]
            whole, bare = (statistics.median(column) for column in zip(*rates, strict=True))
            table.add_row(str(task.pixels(epoch)), f"{whole:.0f}", f"{bare:.0f}", f"{100 * whole / bare:.0f} %")
    console.print(table)


def write_noise(root: Path, n_images: int) -> None:
    """Write so many images in all emotions, some of which are for validation and test."""
    rng = np.random.default_rng(0)
    for number in range(round(n_images / 0.8)):
        path = root / EMOTIONS[number % len(EMOTIONS)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (48, 48), np.uint8))


def measure(task: LabelledTask, optimiser: torch.optim.Optimizer, epoch: int) -> tuple[float, float]:
    """Return images a second of an epoch, and of the same steps on one batch in memory."""
    n_images, batch = 0, None
    started = time.perf_counter()
    for batch in task.batches(epoch):
        step(task, optimiser, batch)
        n_images += len(batch[1])
    whole = n_images / (time.perf_counter() - started)
    started = time.perf_counter()
    for _ in range(task.steps):
        step(task, optimiser, batch)
    return whole, task.steps * len(batch[1]) / (time.perf_counter() - started)


def step(task: LabelledTask, optimiser: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Take one step, to its end."""
    optimiser.zero_grad()
    task.loss(batch, heads_only=False).backward()
    optimiser.step()
    if task.backbone.whole.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
