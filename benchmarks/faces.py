"""How long face detection takes on a data set, and whether it finds the faces that plain MTCNN finds.

    face-strnn synth --out data/synthetic --subjects 12
    .venv/bin/python benchmarks/faces.py data/synthetic

Prints, from one run over the same frames: milliseconds a frame of MTCNN with its defaults frame by frame, of MTCNN on
batches without the pyramid's first levels, of this project's cascade on every frame, and of what ``prepare`` does; and
how their faces agree with the first's. In each, a frame's face is the largest one of at least this project's minimum
probability. A second argument gives the number of sequences, 0 for all.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import torch
from facenet_pytorch import MTCNN
from machine import describe
from torchvision.ops import box_iou

from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.detection import MINIMUM_PROBABILITY, QUICK_SHARE
from data_prep.faces.tracking import FaceFollower
from data_prep.media.images import read_image

Boxes = list[np.ndarray | None]


def main(root: Path, n_sequences: int = 0) -> None:
    """Find the faces in four ways and print the table."""
    catalogue = read_ckplus(root).usable()
    sequences = catalogue.sequences[:: max(len(catalogue.sequences) // n_sequences, 1) if n_sequences else 1]
    plain, quick = MTCNN(keep_all=True), MTCNN(keep_all=True)
    every_frame, follower = FaceFollower(every=1), FaceFollower()
    ways: dict[str, Callable[[list[np.ndarray]], Boxes]] = {
        "MTCNN, defaults, frame by frame": lambda frames: [_largest(*plain.detect(frame)) for frame in frames],
        "MTCNN, from an eighth of the frame, in batches": lambda frames: _in_batches(quick, frames),
        "cascade on every frame": lambda frames: _boxes(every_frame, frames),
        f"cascade on every {follower.every}th, the others refined": lambda frames: _boxes(follower, frames),
    }
    seconds, found = Counter(), {way: [] for way in ways}
    for sequence in sequences:
        frames = [read_image(path) for path in sequence.frames]
        for way, find in ways.items():
            if not found[way]:
                find(frames[:1])  # warm up
            start = time.perf_counter()
            boxes = find(frames)
            seconds[way] += time.perf_counter() - start
            found[way] += boxes
    reference, *_ = found.values()
    n, slowest = len(reference), max(seconds.values())
    height, width = frames[0].shape[:2]
    print(describe())
    print(f"{catalogue.data}: {n} frames of {width} x {height} in {len(sequences)} sequences\n")
    print(f"{'':48}  ms/frame   ratio   faces   of the default's   IoU min   1 %   median")
    for way, boxes in found.items():
        both = [(one, other) for one, other in zip(reference, boxes, strict=True) if one is not None]
        ious = [_iou(one, other) for one, other in both if other is not None]
        low, percent, median = np.quantile(ious, [0, 0.01, 0.5]) if ious else [np.nan] * 3
        print(
            f"{way:48}  {1000 * seconds[way] / n:8.1f}  {slowest / seconds[way]:6.1f}  "
            f"{sum(box is not None for box in boxes):6}  {len(ious):6} of {len(both):6}  "
            f"{low:8.3f} {percent:7.3f} {median:7.3f}"
        )


def _largest(boxes: np.ndarray | None, probabilities: np.ndarray) -> np.ndarray | None:
    """Boxes come sorted by area, largest first; None means no detection."""
    if boxes is None:
        return None
    sure = np.asarray(probabilities, float) >= MINIMUM_PROBABILITY
    return np.asarray(boxes, float)[sure][0] if sure.any() else None


def _in_batches(mtcnn: MTCNN, frames: list[np.ndarray], batch: int = 16) -> Boxes:
    mtcnn.min_face_size = min(frames[0].shape[:2]) // QUICK_SHARE
    found = []
    for start in range(0, len(frames), batch):
        found += map(_largest, *mtcnn.detect(np.stack(frames[start : start + batch])))
    return found


def _boxes(follower: FaceFollower, frames: list[np.ndarray]) -> Boxes:
    """Boxes that were found, not interpolated."""
    faces = follower.track(frames).faces
    return [face.box if face and face.how != "interpolated" else None for face in faces]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(box_iou(torch.as_tensor(one)[None], torch.as_tensor(other)[None]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
