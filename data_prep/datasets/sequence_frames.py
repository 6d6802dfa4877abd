"""The frames of a data set's sequence, one at a time, and the checksum of their files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.errors import BadInput
from data_prep.media.frames import of_one_size
from data_prep.media.images import read_image
from data_prep.media.videos import Frame, frames_of_video


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


def source_sha256(sequence: LabelledSequence) -> str:
    """Return the SHA-256 of a sequence's source, reading its files in blocks.

    It is the checksum of the image files' checksums in order of time, or of the video file's and its range.

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
