"""Atomic writing of files: a file is complete or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"
"""Suffix of the temporary names of unfinished files."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to ``path`` when the block ends, and removed when it raises.

    The rename stays within the folder, so that a reader, or a run resumed after a kill, sees the complete file or none.
    The process ID in the temporary name keeps two writers apart.

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
    """Write a UTF-8 text file atomically."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
