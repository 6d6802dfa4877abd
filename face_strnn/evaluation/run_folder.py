"""Folders of results: begun once, resumed with the same settings, and their tables read back."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from typing import Any

import pandas as pd
import yaml

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.lock import LOCK_FILES, sole_writer
from face_strnn.evaluation.summary import RESUME

_LONGEST = 200
_BRIEF = Repr()
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 20
_BRIEF.maxother = _BRIEF.maxstring = _BRIEF.maxlong = _LONGEST


def open_run_folder(out: Path, settings: dict[str, Any], name: str = "config.yaml") -> None:
    """Begin a folder of results, or resume the one that was begun with the same settings.

    Args:
        out: the folder; made where it is missing.
        settings: what the results depend on.
        name: of the file in it that holds the settings.

    Raises:
        BadInput: the folder holds something else, results with other settings, or cannot be written.
    """
    file = out / name
    text = yaml.safe_dump(json.loads(json.dumps(settings)), sort_keys=False)
    if file.is_file():
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise BadInput(f"{file}: damaged ({' '.join(str(error).split())}); give another --out") from error
        wanted = yaml.safe_load(text)
        if found != wanted:
            raise BadInput(
                f"{file}: this run was made with {_differences(found, wanted)}; "
                "give another --out, or the same settings to resume it"
            )
    elif out.exists() and not _is_empty(out):
        raise BadInput(f"{out}: exists and is no run folder; give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, text)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); give another --out") from error


@contextmanager
def writing_in(out: Path, settings: dict[str, Any], program: str, name: str = "config.yaml") -> Iterator[None]:
    """Begin a folder of results, or resume it, and keep other processes out of it while the block runs.

    Args:
        out, settings, name: see :func:`open_run_folder`.
        program: the program's command that writes in it, such as ``"cv"``.

    Raises:
        BadInput: see :func:`open_run_folder`; or another process is at work in the folder.
    """
    open_run_folder(out, settings, name)
    with sole_writer(out, program):
        # Another process may have begun it with other settings in between.
        open_run_folder(out, settings, name)
        yield


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or only the lock that a killed process left."""
    return folder.is_dir() and all(path.match(LOCK_FILES) for path in folder.iterdir())


def require_classes(path: Path, predictions: pd.DataFrame, classes: Sequence[str], resume: str = RESUME) -> None:
    """Refuse predictions that name other classes.

    Args:
        path: their file.
        predictions: columns ``truth`` and ``prediction``.
        classes: the known ones.
        resume: what to do about it.

    Raises:
        BadInput: they do.
    """
    if unknown := {*predictions["truth"], *predictions["prediction"]} - set(classes):
        raise BadInput(
            f"{path}: names {', '.join(sorted(map(str, unknown)))}, none of the classes {', '.join(classes)}; "
            f"delete it and {resume}"
        )


def _differences(found: Any, wanted: dict[str, Any], prefix: str = "") -> str:  # noqa: ANN401
    """Name the settings of a run that are not those wanted now, with both values."""
    if not isinstance(found, dict):
        return "other settings"
    named = []
    for key in sorted(found.keys() | wanted.keys(), key=str):
        before, now = found.get(key), wanted.get(key)
        if isinstance(before, dict) and isinstance(now, dict) and before != now:
            named.append(_differences(before, now, f"{prefix}{key}."))
        elif before != now:
            named.append(f"{prefix}{key} {_short(before)} (now {_short(now)})")
    return ", ".join(named)


def _short(value: Any) -> str:  # noqa: ANN401
    """Write a value in a line: a few hundred bytes of YAML can stand for lists of any length within lists."""
    text = value if isinstance(value, str) else _BRIEF.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def read_table(
    run: Path, name: str, columns: Collection[str], numbers: Collection[str] = (), resume: str = RESUME
) -> pd.DataFrame:
    """Return one of a run's CSV files, for example ``predictions.csv``.

    Args:
        run: the run folder.
        name: the file's name in it.
        columns: those it must have.
        numbers: those of them that must hold numbers.
        resume: what to do where it is missing or damaged.

    Raises:
        BadInput: it is missing, is not a table, is empty, lacks a column, or holds something else for a number.
    """
    path = run / name
    try:
        table = pd.read_csv(path, dtype={"sequence": str, "subject": str})
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist; {resume}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as a table ({error}); delete it and {resume}") from error
    if missing := [column for column in columns if column not in table]:
        raise BadInput(f"{path}: lacks the column {', '.join(missing)}; delete it and {resume}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        state = "has no rows" if table.empty else "has empty cells"
        raise BadInput(f"{path}: {state}; delete it and {resume}")
    if wrong := [column for column in numbers if not pd.api.types.is_numeric_dtype(table[column])]:
        raise BadInput(f"{path}: {', '.join(wrong)} not a number in every row; delete it and {resume}")
    return table
