"""How many frames a second the backbones turn into pool4 maps.

    .venv/bin/python benchmarks/backbones.py

One thread, four 112 x 112 crops at a time, random weights in float32; processor time, which other work on the machine
disturbs less than the clock. The best of twenty rounds, in turns; two cores give nearly twice as much, because
``prepare`` gives each of them crops of its own.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch
from machine import describe

from data_prep.backbones.backbone import BLOCK_ON_CPU, PIXELS_PER_CELL
from data_prep.backbones.split import SCRATCH, split_backbone

ARCHITECTURES = ("vgg16", "vgg16_thin_bn")
ROUNDS = 20


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(describe())
    side = 7 * PIXELS_PER_CELL["pool4"]
    images = torch.randint(0, 256, (BLOCK_ON_CPU, side, side, 3), dtype=torch.uint8)
    networks = {name: split_backbone(name, SCRATCH, "pool4", 4) for name in ARCHITECTURES}
    times: dict[str, list[float]] = {name: [] for name in networks}
    for network in networks.values():
        network.trained.eval()
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, network in networks.items():
                start = time.process_time()
                network.maps(images)
                times[name].append((time.process_time() - start) / len(images))
    for name, of_network in times.items():
        best = min(of_network)
        print(f"{name}: {1000 * best:.1f} ms a frame, {1 / best:.0f} frames a second on one core, twice that on two")


if __name__ == "__main__":
    main()
