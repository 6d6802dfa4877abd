"""The published list of CK+'s 327 labelled sequences: facts about the data set, no images."""

import csv
from dataclasses import dataclass
from importlib.resources import files


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


def ckplus_sequences() -> list[ListedSequence]:
    """Return the 327 sequences of 118 subjects (5,876 frames), in ascending order of subject and sequence."""
    with files("data_prep.datasets").joinpath("ckplus_sequences.csv").open(encoding="utf-8", newline="") as text:
        return [
            ListedSequence(
                row["subject"], row["sequence"], row["emotion"], int(row["frames"]), int(row["fold_interleaved"])
            )
            for row in csv.DictReader(text)
        ]
