"""What fine-tuning costs: processor seconds per sequence of its parts, on a store with crops.

    python benchmarks/finetuning_cost.py features

Processor time of one thread, which other work on the machine hardly disturbs.
"""

import argparse
import time
from pathlib import Path
from typing import get_args

import torch

from data_prep.backbones.recorded import recorded_backbone
from data_prep.store.store import FeatureStore
from face_strnn import STRNN
from face_strnn.config import Config, FinetuningConfig, ThawedPrecision
from face_strnn.training.from_crops.augmented import AugmentedClips
from face_strnn.training.from_crops.crop_maps import maps_of_crops
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.from_crops.thawed import BLOCKS, split_for_finetuning, thawed_precision
from face_strnn.training.samples import Samples, channel_moments
from face_strnn.training.standardisation import Standardisation


def main() -> None:
    """Print the seconds of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--what", choices=tuple(BLOCKS), default="last-block")
    parser.add_argument("--precision", choices=get_args(ThawedPrecision), default="auto")
    parser.add_argument("--sequences", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store, settings, config = FeatureStore.open(options.features), FinetuningConfig(), Config()
    samples = Samples.of(store)
    chosen = samples.original_numbers[: options.sequences]
    entries = [samples.entries[n] for n in chosen]
    precision = thawed_precision(options.precision, "cpu")
    split = split_for_finetuning(recorded_backbone(store.recipe, store.folder), options.what, precision)
    moments = channel_moments([samples[n] for n in chosen])
    standardisation = Standardisation.fit(moments, torch.ones(1, len(chosen), dtype=torch.bool))
    network = JointNetwork(STRNN(), standardisation, split, config, settings)
    clips = AugmentedClips(store, split, settings.frames, None)
    clips(entries[0], 0)  # libraries prepare themselves
    n_frames = sum(entry.frames for entry in entries) / len(entries)

    began = time.process_time()
    inputs = [clips(entry, 1) for entry in entries]
    _print("an augmented clip: crops augmented, frozen blocks", began, len(entries))
    began = time.process_time()
    network.step(inputs, samples.labels[chosen], 1.0)
    _print(f"a step in {precision}, {sum(map(len, inputs)) / len(inputs):.1f} frames a sequence", began, len(entries))
    began = time.process_time()
    for entry in entries:
        maps_of_crops(store, entry, split.whole)
    _print(f"maps for a test, {n_frames:.1f} frames a sequence", began, len(entries))


def _print(what: str, began: float, n_sequences: int) -> None:
    print(f"{what}: {(time.process_time() - began) / n_sequences:.2f} processor seconds per sequence", flush=True)


if __name__ == "__main__":
    main()
