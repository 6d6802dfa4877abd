"""In how many frames of a data set the face is found.

    face-strnn synth --out data/standin
    .venv/bin/python benchmarks/faces.py data/standin

Prints the share of frames with a face and the time a frame takes.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe

from data_prep.ckplus import read_ckplus
from data_prep.faces import FaceDetector
from data_prep.images import read_image


def main(root: Path) -> None:
    """Detect in every frame of every sequence and print the share with a face."""
    catalogue, detector = read_ckplus(root).usable(), FaceDetector()
    found, seconds, without = 0, 0.0, []
    for sequence in catalogue.sequences:
        frames = [read_image(path) for path in sequence.frames]
        start = time.perf_counter()
        boxes = detector.detect(frames)
        seconds += time.perf_counter() - start
        found += sum(box is not None for box in boxes)
        without += [path.name for path, box in zip(sequence.frames, boxes, strict=True) if box is None]
    print(describe())
    share = 100 * found / catalogue.n_frames
    print(f"{catalogue.data}: a face in {found} of {catalogue.n_frames} frames ({share:.2f} %)")
    print(f"{1000 * seconds / catalogue.n_frames:.1f} ms a frame; without a face: {', '.join(without[:10]) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
