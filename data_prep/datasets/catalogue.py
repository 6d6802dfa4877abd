"""The result of every data set reader: labelled sequences of frames, and the copy's problems."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput

Dataset = Literal["ckplus", "oulu-casia", "mmi", "image-folder", "manifest"]
"""The layouts that can be read; see :func:`data_prep.datasets.registry.read_dataset`."""

_NAME = re.compile(r"\w[\w.+-]*")
_LONGEST_NAME = 150
"""Longest name in bytes; it becomes part of a file name, for which most file systems allow 255."""


@dataclass(frozen=True)
class Clip:
    """A part of a video file.

    Attributes:
        path: the video file.
        first: number of the part's first frame, from 0.
        last: number of its last frame; None for the video's last one.
    """

    path: Path
    first: int = 0
    last: int | None = None


@dataclass(frozen=True)
class LabelledSequence:
    """One sequence of a subject, from neutral to the apex of an emotion: images, or a part of a video.

    Attributes:
        subject: the subject's ID, for example ``"S005"``.
        name: unique within the data set, for example ``"S005_001"``; fit to be part of a file's name.
        emotion: one of :data:`data_prep.datasets.emotions.EMOTIONS`.
        frames: image files in order of time, at least one; empty if the sequence is a clip.
        clip: the part of a video that it is, or None.
        fold: the fold predefined by the data set; empty if there is none.
    """

    subject: str
    name: str
    emotion: str
    frames: tuple[Path, ...] = ()
    clip: Clip | None = None
    fold: str = ""

    @property
    def path(self) -> Path:
        """The video file, or the folder of the first image."""
        return self.clip.path if self.clip else self.frames[0].parent

    @property
    def n_frames(self) -> int:
        """Number of frames; 0 for a clip up to the end of its video, which only decoding can count."""
        if self.clip is None:
            return len(self.frames)
        return 0 if self.clip.last is None else self.clip.last - self.clip.first + 1


@dataclass(frozen=True)
class Catalogue:
    """The labelled sequences of one copy of a data set.

    Attributes:
        data: the data set's name as results state it: ``"CK+"``, or ``"synthetic"`` for the synthetic data set.
        root: the folder that was read.
        sequences: in ascending order of name.
        unlabelled: number of omitted sequences, which have images but no emotion.
        problems: what must be corrected before the copy is used.
        notes: harmless irregularities, such as gaps in the numbering of frames.
    """

    data: str
    root: Path
    sequences: tuple[LabelledSequence, ...]
    unlabelled: int = 0
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects' IDs in ascending order."""
        return tuple(sorted({sequence.subject for sequence in self.sequences}))

    def emotion_counts(self) -> Counter[str]:
        """Return the number of sequences of each emotion that occurs."""
        return Counter(sequence.emotion for sequence in self.sequences)

    def usable(self) -> "Catalogue":
        """Return the catalogue itself.

        Raises:
            BadInput: it has problems, or no labelled sequence. The message shows the first problem.
        """
        if self.problems:
            more = f" ({len(self.problems) - 1} more: `face-strnn check` lists them)" if len(self.problems) > 1 else ""
            raise BadInput(f"{self.problems[0]}{more}")
        if not self.sequences:
            raise BadInput(
                f"{self.root}: no sequence has both images and an emotion label; "
                "unpack the emotion labels beside the images"
            )
        return self


def data_name(text: str) -> str:
    """Return the name that results give to a data set that lies in a folder or file of this name.

    It becomes part of a feature store's name, so that characters not allowed there are replaced by ``-``.
    """
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "unnamed"


def require_name(name: str, what: str) -> str:
    """Return the name of a sequence, subject or fold that is fit for tables and for files' names.

    Args:
        name: the name.
        what: what it names, for the error.

    Raises:
        BadInput: it contains other characters than letters of any alphabet, digits, ``_``, ``.``, ``+`` and ``-``, does
            not begin with a letter or digit, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f'the {what} "{name[:40]}" may hold letters, digits, _ . + and - only, and no space; rename it')
    if len(name.encode()) > _LONGEST_NAME:
        raise BadInput(f'the {what} "{name[:40]}..." is longer than {_LONGEST_NAME} bytes; give it a shorter name')
    return name
