"""The published list of CK+'s 327 labelled sequences: facts about the data set, no images."""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.resources import files

DATA = "CK+"
"""The data set's name as results state it."""


@dataclass(frozen=True)
class ListedSequence:
    """One labelled sequence of CK+ as published.

    Attributes:
        subject: for example ``"S005"``.
        sequence: the sequence's number within the subject, for example ``"001"``.
        emotion: one of :data:`data_prep.datasets.emotions.EMOTIONS`.
        frames: number of frames, which is also the number of the apex frame (1-based).
        fold_interleaved: fold of the interleaved ten-fold split, 1 to 10.
    """

    subject: str
    sequence: str
    emotion: str
    frames: int
    fold_interleaved: int

    @property
    def name(self) -> str:
        """The sequence's name in a feature store, for example ``"S005_001"``."""
        return f"{self.subject}_{self.sequence}"


@dataclass(frozen=True)
class ListComparison:
    """Sequences held against the published list; names in ascending order.

    Attributes:
        published: number of published sequences of the classes in question.
        found: how many of them are there, with the published subject and emotion.
        missing: published sequences that are not there.
        unknown: sequences that are not on the list.
        other_subject, other_emotion: sequences that are there under another subject or with another emotion.
    """

    published: int
    found: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    other_subject: tuple[str, ...]
    other_emotion: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """For example ``"327 of 327 published sequences"``."""
        return f"{self.found} of {self.published} published sequences"

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        """What differs, in words, and the sequences; what is missing is not among it."""
        named = {
            "not on the published list": self.unknown,
            "under another subject than published": self.other_subject,
            "with another emotion than published": self.other_emotion,
        }
        return {what: names for what, names in named.items() if names}


def ckplus_sequences() -> list[ListedSequence]:
    """Return the 327 sequences of 118 subjects (5,876 frames), in ascending order of subject and sequence."""
    with files("data_prep.datasets").joinpath("ckplus_sequences.csv").open(encoding="utf-8", newline="") as text:
        return [
            ListedSequence(
                row["subject"], row["sequence"], row["emotion"], int(row["frames"]), int(row["fold_interleaved"])
            )
            for row in csv.DictReader(text)
        ]


def compare_with_list(sequences: Iterable[tuple[str, str, str]], classes: Collection[str]) -> ListComparison:
    """Compare sequences with the published list.

    Args:
        sequences: name, subject and emotion of each, once or several times.
        classes: the emotions in question: published sequences of others are not missed.
    """
    listed, given = {one.name: one for one in ckplus_sequences()}, set(sequences)
    wanted = {name for name, one in listed.items() if one.emotion in classes}
    names = {name for name, _, _ in given}
    other_subject = {name for name, subject, _ in given if name in listed and listed[name].subject != subject}
    other_emotion = {name for name, _, emotion in given if name in listed and listed[name].emotion != emotion}
    return ListComparison(
        published=len(wanted),
        found=len((wanted & names) - other_subject - other_emotion),
        missing=tuple(sorted(wanted - names)),
        unknown=tuple(sorted(names - listed.keys())),
        other_subject=tuple(sorted(other_subject)),
        other_emotion=tuple(sorted(other_emotion)),
    )
