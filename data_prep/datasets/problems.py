"""Problems of a data set's copy, and their table."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput

Kind = Literal["missing", "extra", "label", "length", "unreadable"]
"""Missing and extra sequences, labels or lengths other than the published ones, and unreadable files."""

PROBLEMS_FILE = "problems.csv"
"""Its name in a feature store."""

_COLUMNS = ("sequence", "path", "problem")


@dataclass(frozen=True)
class Problem:
    """A problem that makes a data set's copy unusable until it is corrected.

    Attributes:
        path: the file or folder concerned.
        what: what is wrong and what to do, one sentence.
        sequence: name of the sequence concerned; empty if there is none or it is unknown.
        kind: of problem.
        hint: what to move, rename or restore.
    """

    path: Path
    what: str
    sequence: str = ""
    kind: Kind = "unreadable"
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"

    @classmethod
    def of(cls, error: Exception, path: Path, sequence: str = "", hint: str = "") -> "Problem":
        """Return an error about ``path`` as a problem, without the path at the beginning of its message."""
        return cls(path, str(error).removeprefix(f"{path}: "), sequence, hint=hint)


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems as a CSV table with the columns ``sequence``, ``path`` and ``problem``, atomically.

    Args:
        path: the file to write.
        problems: in the order of the table's rows; if empty, the table is only a header.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((problem.sequence, problem.path, problem.what) for problem in problems)
    write_text_whole(path, text.getvalue())


def read_damaged(path: Path) -> list[str]:
    """Return the damaged sequences in a table of problems, each once, in the order of the table.

    Args:
        path: a file of :func:`write_problems`; if it does not exist, nothing is damaged.

    Returns:
        Names of sequences; for a problem of no known sequence, the name of its file or folder.

    Raises:
        BadInput: the file cannot be read or is no such table.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as text:
            rows = [(row.get("sequence"), row["path"]) for row in csv.DictReader(text)]
        return list(dict.fromkeys(sequence or Path(file).name for sequence, file in rows))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BadInput(f"{path}: no table of problems; run `face-strnn prepare` again, which rewrites it") from error
