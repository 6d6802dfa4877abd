"""Writes the synthetic data set: drawn faces in the folder layout of CK+."""

from collections.abc import Callable
from pathlib import Path

import cv2
import joblib
import numpy as np

from data_prep.datasets.ckplus_list import ListedSequence, ckplus_sequences
from data_prep.datasets.emotions import CODE_OF_EMOTION
from data_prep.datasets.synthetic_marker import MARKER, SUBJECTS, Marker, read_marker
from data_prep.errors import BadInput
from data_prep.synthetic.sequences import GENERATOR_VERSION, sample_sequence

_MARKER_TEXT = """\
Synthetic data: every image below is a drawing made by a program. No person is shown.

The folders are laid out as those of the Extended Cohn-Kanade data set (CK+), and the names of subjects and sequences,
the emotions and the numbers of frames are those of its published list, so that software for CK+ runs on this folder.
The faces, their movements and their landmarks are invented: results on them say nothing about people.

subjects: {subjects}
seed: {seed}
generator: {generator}
"""


def write_synthetic(
    out: Path,
    subjects: int = SUBJECTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> None:
    """Write the synthetic data set, or complete an interrupted one.

    The same seed gives the same bytes, whatever the number of subjects and of jobs.

    Args:
        out: folder that does not exist, is empty, or holds an earlier run with the same subjects and seed.
        subjects: how many of CK+'s 118 subjects, in ascending order of ID.
        seed: a whole number from 0.
        progress: called after each sequence with the number of sequences done and of all.
        jobs: number of processes; -1 means one for each core.

    Raises:
        BadInput: ``subjects`` or ``seed`` out of range, or ``out`` holds something else.
    """
    out = Path(out)
    if not 1 <= subjects <= SUBJECTS:
        raise BadInput(
            f"subjects: {subjects} is not possible, CK+'s list has {SUBJECTS}.\nGive a number from 1 to {SUBJECTS}."
        )
    if seed < 0:
        raise BadInput(f"seed: {seed} is negative.\nGive a whole number from 0.")
    _claim(out, Marker(subjects, seed, GENERATOR_VERSION))
    sequences = first_subjects(subjects)
    todo = [listed for listed in sequences if not all((out / name).is_file() for name in sequence_files(listed))]
    done = len(sequences) - len(todo)
    if progress is not None and done:
        progress(done, len(sequences))
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for _ in work(joblib.delayed(_write_sequence)(out, listed, seed) for listed in todo):
        done += 1
        if progress is not None:
            progress(done, len(sequences))


def first_subjects(subjects: int) -> list[ListedSequence]:
    """The listed sequences of the first subjects in ascending order of ID."""
    sequences = ckplus_sequences()
    chosen = set(sorted({listed.subject for listed in sequences})[:subjects])
    return [listed for listed in sequences if listed.subject in chosen]


def sequence_files(listed: ListedSequence) -> list[str]:
    """Paths of all files of a sequence, relative to the data set's folder."""
    return [
        name
        for frame in range(1, listed.frames + 1)
        for name in (
            _path(listed, frame, "cohn-kanade-images", ".png"),
            _path(listed, frame, "Landmarks", "_landmarks.txt"),
        )
    ] + [
        _path(listed, listed.frames, "FACS", "_facs.txt"),
        _path(listed, listed.frames, "Emotion", "_emotion.txt"),
    ]


def _path(listed: ListedSequence, frame: int, top: str, ending: str) -> str:
    subject, sequence = listed.subject, listed.sequence
    return f"{top}/{subject}/{sequence}/{subject}_{sequence}_{frame:08d}{ending}"


def _claim(out: Path, marker: Marker) -> None:
    """Make sure that a folder may be written into, and mark it as synthetic before anything is drawn."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out}: is a file, not a folder.\nGive a folder that does not exist yet or is empty.")
    found = read_marker(out)
    if found is not None and found != marker:
        raise BadInput(
            f"{out}: already holds a synthetic data set with {found.subjects} subjects, seed {found.seed}, generator "
            f"{found.generator}, not {marker.subjects}, {marker.seed}, {marker.generator}.\n"
            "Give another folder, or the same subjects and seed to finish that one, or remove it."
        )
    try:
        if found is None:
            if out.exists() and any(path.name != MARKER + _PART for path in out.iterdir()):
                raise BadInput(
                    f"{out}: is not empty and not a synthetic data set (no {MARKER} in it).\nGive a new folder."
                )
            out.mkdir(parents=True, exist_ok=True)
            text = _MARKER_TEXT.format(subjects=marker.subjects, seed=marker.seed, generator=marker.generator)
            _write(out / MARKER, text.encode("utf-8"))
    except OSError as error:
        raise BadInput(
            f"{out}: cannot be written to ({error.strerror}).\nGive a folder that you may write to."
        ) from None


_PART = ".part"


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + _PART)
    part.write_bytes(data)
    part.replace(path)


def _number_line(*numbers: float) -> bytes:
    return ("".join(f"   {number:.7e}" for number in numbers) + "\n").encode("ascii")


def _write_sequence(out: Path, listed: ListedSequence, seed: int) -> None:
    sequence = sample_sequence(listed, seed)
    for folder in {(out / name).parent for name in sequence_files(listed)}:
        folder.mkdir(parents=True, exist_ok=True)
    for frame in range(1, listed.frames + 1):
        drawing = sequence.draw(frame - 1)
        landmarks = b"".join(_number_line(x, y) for x, y in drawing.landmarks)
        _write(out / _path(listed, frame, "Landmarks", "_landmarks.txt"), landmarks)
        _write(out / _path(listed, frame, "cohn-kanade-images", ".png"), encode_png(drawing.image))
    facs = b"".join(_number_line(number, intensity) for number, intensity in sequence.expression.facs())
    _write(out / _path(listed, listed.frames, "FACS", "_facs.txt"), facs)
    code = CODE_OF_EMOTION[listed.emotion]
    _write(out / _path(listed, listed.frames, "Emotion", "_emotion.txt"), _number_line(code))


_FAST = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]


def encode_png(image: np.ndarray) -> bytes:
    """Encode for speed: noise hardly compresses, and trying to would take longer than drawing the frame."""
    done, data = cv2.imencode(".png", image, _FAST)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG image")
    return data.tobytes()
