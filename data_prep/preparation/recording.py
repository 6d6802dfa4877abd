"""One sequence's frames, read twice: first the face is tracked, then crops are extracted."""

import hashlib
from collections.abc import Iterator

import numpy as np

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.datasets.problems import Problem
from data_prep.datasets.sequence_frames import frames_of, source_sha256
from data_prep.errors import BadInput
from data_prep.media.frames import of_one_size
from data_prep.media.images import decode_image, read_bytes
from data_prep.media.videos import Frame, promised_frames

HELD_BYTES = 2**26
"""Decoded frames that are kept for the second pass: 71 of 640 x 490, the longest sequence of CK+. Longer recordings are
decoded twice, so that a long video takes no more memory than a short one; none of their frames is kept, because memory
that was taken by many small arrays is seldom given back."""


class DamagedRecording(Exception):
    """A recording that cannot be read.

    Args:
        problem: what is wrong with which file.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Recording:
    """The frames of a sequence; its image files are read once, for checksum and pixels alike, where they fit.

    Args:
        sequence: images, or a part of a video.
        held: bytes of decoded frames that are kept, and of files before that.

    Attributes:
        source: SHA-256 of what it is made from, see :func:`data_prep.datasets.sequence_frames.source_sha256`.

    Raises:
        DamagedRecording: a file cannot be read.
    """

    def __init__(self, sequence: LabelledSequence, held: int = HELD_BYTES) -> None:
        self.sequence = sequence
        self._most = held
        self._files: list[bytes] | None = None
        self._frames: list[np.ndarray] | None = None
        self.source = self._read()

    @property
    def is_held(self) -> bool:
        """Whether all frames are in memory: known after the first time that :meth:`frames` came to its end."""
        return self._frames is not None

    def frames(self) -> Iterator[np.ndarray]:
        """Decode the frames in order of time: uint8 (height, width, 3), RGB, at least one, all of one size.

        They are kept for the next time where :data:`HELD_BYTES` have room for all.

        Raises:
            DamagedRecording: a file cannot be decoded, or the frames differ in size.
        """
        if self._frames is not None:
            yield from self._frames
            return
        kept: list[np.ndarray] | None = None
        for number, image in enumerate(self._decoded()):
            if number == 0:
                kept = [] if self._promised() * image.nbytes <= self._most else None
            # A header may promise fewer frames than there are.
            kept = kept if kept is not None and (number + 1) * image.nbytes <= self._most else None
            if kept is not None:
                kept.append(image)
            yield image
        if kept is not None:
            self._frames, self._files = kept, None

    def _promised(self) -> int:
        """The number of frames, as far as it is known before they are decoded."""
        clip = self.sequence.clip
        return self.sequence.n_frames if clip is None or clip.last is not None else promised_frames(clip.path)

    def _read(self) -> str:
        paths = self.sequence.frames
        try:
            if self.sequence.clip or sum(path.stat().st_size for path in paths) > self._most:
                return source_sha256(self.sequence)
        except OSError as error:
            what = f"cannot be read ({error.strerror}); check the files and their permissions"
            raise DamagedRecording(Problem(self.sequence.path, what, self.sequence.name)) from error
        except BadInput as error:
            raise self._damaged(error) from error
        try:
            self._files = [read_bytes(path) for path in paths]
        except BadInput as error:
            raise self._damaged(error) from error
        digests = b"".join(hashlib.sha256(data).digest() for data in self._files)
        return hashlib.sha256(digests).hexdigest()

    def _decoded(self) -> Iterator[np.ndarray]:
        try:
            if self._files is None:
                frames = frames_of(self.sequence)
            else:
                pairs = zip(self._files, self.sequence.frames, strict=True)
                frames = of_one_size((Frame(decode_image(*pair), None) for pair in pairs), self.sequence.path)
            for frame in frames:
                yield frame.image
        except BadInput as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BadInput) -> DamagedRecording:
        """The file that an error begins with, or else the sequence's folder."""
        said = str(error)
        path = next((path for path in self.sequence.frames if said.startswith(f"{path}: ")), self.sequence.path)
        return DamagedRecording(Problem.of(error, path, self.sequence.name))
