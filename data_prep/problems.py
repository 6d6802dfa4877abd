"""What is wrong with a data set's copy, one finding at a time."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.whole_files import write_text_whole

Kind = Literal["missing", "extra", "label", "length", "unreadable"]
"""Missing and extra sequences, another label or length than the published one, and what cannot be read."""


@dataclass(frozen=True)
class Problem:
    """Something in a data set's copy that makes it unusable until it is put right.

    Attributes:
        path: the file or folder concerned.
        what: what is wrong and what to do, one sentence.
        sequence: name of the sequence concerned; empty where it is none, or not known.
        kind: what sort of a problem it is.
        hint: what to move or restore where; empty unless it was asked for.
    """

    path: Path
    what: str
    sequence: str = ""
    kind: Kind = "unreadable"
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"

    @classmethod
    def of(cls, error: Exception, path: Path, sequence: str = "") -> "Problem":
        """Return an error about ``path`` as a problem; the path, which errors begin with, is not said twice."""
        return cls(path, str(error).removeprefix(f"{path}: "), sequence)


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems as a CSV table with the columns ``path`` and ``problem``, whole or not at all.

    Args:
        path: the file to write, by convention ``problems.csv``.
        problems: in the order of the table's rows; none leaves the header alone.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "problem"))
    writer.writerows((problem.path, problem.what) for problem in problems)
    write_text_whole(path, text.getvalue())
