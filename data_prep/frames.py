"""Frames in order of time, one at a time, from a sequence of a data set, a folder of images or a video file."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data_prep.catalogue import LabelledSequence
from data_prep.errors import BadInput
from data_prep.image_headers import SUFFIXES
from data_prep.images import read_image
from data_prep.videos import Frame, frames_of_video

IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def frames_of(sequence: LabelledSequence) -> Iterator[Frame]:
    """Decode a sequence's frames one at a time, images and clips alike.

    Yields:
        At least one frame; all have one size.

    Raises:
        BadInput: an image or the video cannot be decoded, or the frames differ in size.
    """
    if sequence.clip:
        clip = sequence.clip
        return of_one_size(frames_of_video(clip.path, clip.first, clip.last), clip.path)
    return of_one_size((Frame(read_image(path), None) for path in sequence.frames), sequence.path)


def frames_at(path: Path) -> Iterator[Frame]:
    """Decode a video file's frames, or a folder's images in the order of the numbers in their names, one at a time.

    Yields:
        At least one frame; all have one size.

    Raises:
        BadInput: nothing there, not decodable, or images of different sizes.
    """
    if path.is_dir():
        files = image_files(path.iterdir())
        if not files:
            known = ", ".join(IMAGE_SUFFIXES)
            raise BadInput(f"{path}: no images in this folder ({known}); give a folder of frames or a video")
        return of_one_size((Frame(read_image(file), None) for file in files), path)
    if path.is_file():
        return of_one_size(frames_of_video(path), path)
    raise BadInput(f"{path}: no such file or folder; give a video file or a folder of frames")


def read_frames(path: Path) -> list[np.ndarray]:
    """Read all the images of :func:`frames_at` into memory: uint8 (height, width, 3), RGB."""
    return [frame.image for frame in frames_at(path)]


def image_files(entries: Iterable[Path]) -> list[Path]:
    """Return those that are named as images are, and not hidden, in the order of the numbers in their names."""
    files = [file for file in entries if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    return sorted(files, key=_number_order)


def of_one_size(frames: Iterable[Frame], path: Path) -> Iterator[Frame]:
    """Pass frames on, and raise :class:`BadInput` naming ``path`` at the first one of another size."""
    size = None
    for frame in frames:
        found = frame.image.shape[1::-1]
        size = size or found
        if found != size:
            listed = " and ".join(f"{width} x {height}" for width, height in sorted((size, found)))
            raise BadInput(f"{path}: its frames differ in size ({listed}); one sequence must have one size")
        yield frame


def source_sha256(sequence: LabelledSequence) -> str:
    """Return the SHA-256 of what a sequence is made from, reading its files in blocks.

    It is over the checksums of the image files in order of time, or over that of the video file and its range.

    Raises:
        BadInput: a file cannot be read.
    """
    if sequence.clip is None:
        return hashlib.sha256(b"".join(map(_file_digest, sequence.frames))).hexdigest()
    clip = sequence.clip
    span = f"{clip.first}-{'end' if clip.last is None else clip.last}"
    return hashlib.sha256(_file_digest(clip.path) + span.encode()).hexdigest()


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error


def _number_order(file: Path) -> list[int | str]:
    """frame2 comes before frame10."""
    parts = re.split(r"(\d+)", file.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
