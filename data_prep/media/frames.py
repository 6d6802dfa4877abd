"""Frames in order of time, one at a time, from a folder of images or a video file."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import BadInput
from data_prep.media.image_headers import SUFFIXES
from data_prep.media.images import read_image
from data_prep.media.videos import Frame, frames_of_video

IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def frames_at(path: Path) -> Iterator[Frame]:
    """Decode a video file's frames, or a folder's images in the order of the numbers in their names, one at a time.

    Yields:
        At least one frame; all have one size.

    Raises:
        BadInput: no such file or folder, not decodable, or images of different sizes.
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


def image_files(entries: Iterable[Path]) -> list[Path]:
    """Return the files with names of images, hidden ones excluded, in the order of the numbers in their names."""
    files = [file for file in entries if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    return sorted(files, key=lambda file: number_order(file.name))


def of_one_size(frames: Iterable[Frame], path: Path) -> Iterator[Frame]:
    """Yield the frames; raise :class:`BadInput`, which names ``path``, at the first one of another size."""
    size = None
    for frame in frames:
        found = frame.image.shape[1::-1]
        size = size or found
        if found != size:
            listed = " and ".join(f"{width} x {height}" for width, height in sorted((size, found)))
            raise BadInput(f"{path}: its frames differ in size ({listed}); one sequence must have one size")
        yield frame


def number_order(name: str) -> list[int | str]:
    """Return a sort key that orders frame2 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
