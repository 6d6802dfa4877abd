"""What every data set reader gives: labelled sequences of frames, and what is wrong with the copy."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import BadInput


@dataclass(frozen=True)
class LabelledSequence:
    """One sequence of a subject, from neutral to the apex of an emotion.

    Attributes:
        subject: the subject's ID, for example ``"S005"``.
        name: unique within the data set, for example ``"S005_001"``.
        emotion: one of :data:`data_prep.emotions.EMOTIONS`.
        frames: image files in order of time, at least one.
    """

    subject: str
    name: str
    emotion: str
    frames: tuple[Path, ...]


@dataclass(frozen=True)
class Problem:
    """Something in a data set's copy that makes it unusable until it is put right.

    Attributes:
        path: the file or folder concerned.
        what: what is wrong and what to do, one sentence.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class Catalogue:
    """The labelled sequences of one copy of a data set.

    Attributes:
        data: the data set's name as results state it: ``"CK+"``, or ``"synthetic"`` for the stand-in.
        root: the folder that was read.
        sequences: in ascending order of name.
        unlabelled: number of sequences with images but without an emotion: left out.
        problems: what must be put right before the copy is used.
        notes: oddities that are dealt with and worth knowing, such as gaps in the numbering of frames.
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

    @property
    def n_frames(self) -> int:
        """Number of frames of all labelled sequences together."""
        return sum(len(sequence.frames) for sequence in self.sequences)

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
