"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"
"""How names of files end that are being written."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` when the block ends, and vanishes when it raises.

    The file appears by a rename within its folder, so that a reader, or a run that is taken up again after a kill, sees
    the whole file or none. The process's number in the temporary name lets two writers work side by side.

    Example:
        >>> with written_whole(Path("summary.json")) as unfinished:  # doctest: +SKIP
        ...     unfinished.write_text("{}")
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
