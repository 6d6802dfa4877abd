"""How long `predict`'s window should be: held-out sequences that rise, are held and relax, seen through windows.

    python benchmarks/windows.py RUN FEATURES

Each test sequence of a run becomes a recording: 3 seconds of its first frame, the sequence, 2 seconds of its last
frame, the sequence backwards, all at 30 frames a second. The networks that did not see its subject classify windows
that end at the sequence's end (the apex) and later.
"""

import sys
from pathlib import Path

import numpy as np

from data_prep.store.store import FeatureStore
from face_strnn.evaluation.run import Run
from face_strnn.saliency.held_out import HeldOut
from face_strnn.training.probabilities import probabilities

RATE = 30
REST, HOLD = 3 * RATE, 2 * RATE
WINDOWS = (0.4, 0.6, 0.8, 1.2, 1.6, 2.4)  # seconds
LATER = (0.0, 0.3, 0.6, 1.0, 1.9)  # seconds after the apex


def main(run: Path, features: Path) -> None:
    """Print the accuracy in per cent by window and by the time from the apex to its end."""
    held_out = HeldOut(Run(run), FeatureStore.open(features))
    right: dict[tuple[float, str], list[bool]] = {}
    for sequence in map(held_out.sequence, held_out.sequences):
        n = len(sequence.maps)
        frames = [0] * REST + list(range(n)) + [n - 1] * HOLD + list(range(n - 1, -1, -1))
        apex = REST + n - 1
        ends = {f"+{later} s": apex + round(RATE * later) for later in LATER} | {"relaxed": len(frames) - 1}
        for window in WINDOWS:
            for name, end in ends.items():
                seen = sequence.maps[frames[max(end - round(RATE * window), 0) : end + 1]]
                each = [probabilities(network, [seen], held_out.interpolation)[0] for network in sequence.networks]
                prediction = held_out.classes[int(np.mean(each, axis=0).argmax())]
                right.setdefault((window, name), []).append(prediction == sequence.emotion)
    names = list(dict.fromkeys(name for _, name in right))
    print("| window |", " | ".join(names), "|")
    print("| --- |", " | ".join("---" for _ in names), "|")
    for window in WINDOWS:
        print(f"| {window} s |", " | ".join(f"{100 * np.mean(right[window, name]):.0f}" for name in names), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
