"""Reader of a CSV list of sequences, for data sets without a reader of their own, such as DFEW."""

import csv
import io
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, Clip, LabelledSequence, data_name, require_name
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.emotions import emotion_named, likely_emotion
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.media.frames import IMAGE_SUFFIXES
from data_prep.media.images import read_bytes

COLUMNS = ("subject", "sequence", "emotion", "path")
OPTIONAL_COLUMNS = ("fold",)
NAME = "manifest.csv"
_REMEDY = f"--root takes the CSV file with the columns {', '.join(COLUMNS)}, or the folder that holds it as {NAME}"


def read_manifest(root: Path) -> Catalogue:
    """Read a manifest: a CSV table, UTF-8, with the columns ``subject,sequence,emotion,path`` and optionally ``fold``.

    ``path`` is a folder of frames or a video file, relative to the manifest's folder, which it may not leave. A
    sequence is named ``<subject>_<sequence>``. If no row has a subject, the subjects are unknown: every sequence then
    counts as a subject of its own, and folds are no longer subject-independent.

    Args:
        root: the CSV file, or the folder that holds it as ``manifest.csv``.

    Returns:
        The catalogue, named after the file, or after its folder if the file is ``manifest.csv``.

    Raises:
        BadInput: no such file, not a text file, or wrong columns.
    """
    file = root / NAME if root.is_dir() else root
    if not file.is_file():
        raise BadInput(f"{file}: no such file; {_REMEDY}")
    data = DataFolder(file.parent, _REMEDY)
    rows = _rows(file)
    tells_subjects = any(row["subject"] for row in rows.values())
    sequences: dict[str, LabelledSequence] = {}
    unlabelled = 0
    for number, row in rows.items():
        try:
            sequence = _sequence(data, row, tells_subjects)
        except BadInput as error:
            # A data folder keeps one problem per path, so that each row needs a path of its own.
            line = file.with_name(f"{file.name}:{number}")
            data.add(Problem(line, str(error), _name_or_none(row), hint=f"in line {number}, {_correction(data, row)}"))
            continue
        if sequence is None:
            unlabelled += 1
        elif sequence.name in sequences:
            what = f"an earlier row has a sequence named {sequence.name}; give each its own subject and sequence"
            line = file.with_name(f"{file.name}:{number}")
            data.add(Problem(line, what, sequence.name, hint=f"in line {number}, write another sequence or subject"))
        else:
            sequences[sequence.name] = sequence
    if rows and not tells_subjects:
        data.notes.append("no subjects are given: every sequence counts as a subject of its own")
    name = file.resolve().parent.name if file.name == NAME else file.stem
    return data.catalogue(data_name(name), root, sequences, unlabelled)


def _rows(file: Path) -> dict[int, Mapping[str, str]]:
    """Number of a row's last line, from 1 -> the row, with every column and without surrounding spaces."""
    try:
        text = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: is not in UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[int, Mapping[str, str]] = {}
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        lacking = [name for name in COLUMNS if name not in header]
        unknown = [name for name in header if name not in (*COLUMNS, *OPTIONAL_COLUMNS)]
        if lacking:
            raise BadInput(f"{file}: its first line lacks the columns {', '.join(lacking)}; {_REMEDY}")
        if unknown or len(set(header)) < len(header):
            wrong = ", ".join(f'"{name[:40]}"' for name in unknown) or "one of them twice"
            raise BadInput(f"{file}: its columns must be {', '.join(COLUMNS)} and optionally fold, not {wrong}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise BadInput(
                    f"{file}: line {reader.line_num} has {len(row)} fields and the first line {len(header)}; "
                    "put a path that holds a comma in quotes"
                )
            rows[reader.line_num] = {"fold": ""} | {
                name: value.strip() for name, value in zip(header, row, strict=True)
            }
    except csv.Error as error:
        raise BadInput(f"{file}: line {reader.line_num} is not valid CSV ({error}); correct that line") from error
    return rows


def _sequence(data: DataFolder, row: Mapping[str, str], tells_subjects: bool) -> LabelledSequence | None:
    """The sequence of one row; None for a neutral one."""
    emotion = emotion_named(row["emotion"])
    if tells_subjects and not row["subject"]:
        raise BadInput("has no subject, and other rows do; give every row its subject, or none")
    name = _name(row)
    fold = require_name(row["fold"], "fold") if row["fold"] else ""
    frames, clip = _source(data, row["path"], name)
    if emotion == "neutral":
        return None
    return LabelledSequence(row["subject"] or name, name, emotion, frames, clip, fold)


def _name(row: Mapping[str, str]) -> str:
    subject = require_name(row["subject"], "subject") if row["subject"] else ""
    sequence = require_name(row["sequence"], "sequence")
    return require_name(f"{subject}_{sequence}", "sequence") if subject else sequence


def _name_or_none(row: Mapping[str, str]) -> str:
    """The name of a row's sequence; empty if it has no valid one."""
    try:
        return _name(row)
    except BadInput:
        return ""


def _correction(data: DataFolder, row: Mapping[str, str]) -> str:
    """The smallest likely correction of an unusable row."""
    likely = likely_emotion(row["emotion"])
    if likely and likely != row["emotion"].casefold():
        return f"write {likely} for {row['emotion'][:40]}"
    path = data.root / row["path"]
    try:
        if path.name and data.holds(path) and not path.exists():
            close = get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], 1)
            if close:
                return f"write {Path(row['path']).with_name(close[0])} for {row['path'][:80]}"
    except (OSError, ValueError):  # no such folder, or an impossible file name
        pass
    return "correct this problem, or delete the line"


def _source(data: DataFolder, text: str, name: str) -> tuple[tuple[Path, ...], Clip | None]:
    """The images or the video at a row's path."""
    if not text:
        raise BadInput("has no path; name a folder of frames or a video file")
    shown = text[:80]
    path = data.root / text
    if "\0" in text or not data.holds(path):
        raise BadInput(f"{shown}: leads out of the manifest's folder; put the data into it")
    try:
        if path.is_dir():
            problems_before = len(data.problems)
            frames = tuple(data.images(path, name))
            if not frames and len(data.problems) == problems_before:
                raise BadInput(f"{shown}: holds no images ({', '.join(IMAGE_SUFFIXES)}); name a folder of frames")
            if not frames:
                raise BadInput(f"{shown}: holds no image that can be used")
            return frames, None
        if path.is_file():
            if path.suffix.casefold() in IMAGE_SUFFIXES:
                raise BadInput(f"{shown}: is one image; name a folder of frames or a video file")
            return (), Clip(path)
    except OSError as error:
        raise BadInput(f"{shown}: cannot be read ({error.strerror}); check the path") from error
    raise BadInput(f"{shown}: no such file or folder; correct the path, or put the file there")
