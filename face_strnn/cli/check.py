"""``face-strnn check``."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from data_prep.datasets.catalogue import Dataset
from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.progress import counted_progress

if TYPE_CHECKING:
    from data_prep.datasets.inspection import Inspection


def check(
    root: Path,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
    json: bool = False,
    fix_hints: bool = False,
) -> None:
    """Read a data set's copy, decode every frame, and print its contents and problems.

    A copy of CK+ is compared with the 327 published sequences: the status is 0 only if it has exactly these.

    Args:
        root: folder of the data set; for CK+ the one that holds cohn-kanade-images and Emotion; a manifest.
        dataset: its layout.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: use MMI's whole recordings, not the part up to the apex.
        json: print one JSON object and nothing else.
        fix_hints: add to each problem what to move, rename or restore.
    """
    from json import dumps

    from data_prep.datasets.inspection import inspect
    from data_prep.datasets.registry import read_dataset

    try:
        catalogue = read_dataset(dataset, root, part, whole)
    except BadInput as error:
        if json:
            print(dumps({"root": str(root), "usable": False, "error": str(error)}))
        raise
    with counted_progress("decoding", len(catalogue.sequences), "sequences") as advance:
        inspection = inspect(dataset, catalogue, fix_hints, progress=advance)
    if json:
        print(dumps(inspection.as_json(), indent=2))
    else:
        print_inspection(inspection)
    if inspection.problems:
        kinds = Counter(problem.kind for problem in inspection.problems)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        hint = "" if fix_hints else "; --fix-hints says what to move, rename or restore where"
        raise BadInput(f"{root}: {len(inspection.problems)} problems ({counted}), listed above{hint}")
    catalogue.usable()


def print_inspection(inspection: "Inspection") -> None:
    """Print what ``check`` found in a copy of a data set."""
    wide = unfolded()
    catalogue, found, expected = inspection.catalogue, inspection.found, inspection.expected
    console.print(f"{catalogue.data}: {catalogue.root}", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("emotion")
    table.add_column("sequences", justify="right")
    if expected:
        table.add_column("published", justify="right")
    for emotion in sorted({*found.emotions, *(expected.emotions if expected else ())}):
        table.add_row(emotion, *_counts(found.emotions.get(emotion, 0), expected and expected.emotions.get(emotion, 0)))
    table.add_section()
    table.add_row("all", *_counts(found.sequences, expected and expected.sequences))
    table.add_row("subjects", *_counts(found.subjects, expected and expected.subjects))
    table.add_row("frames", *_counts(found.frames, expected and expected.frames))
    console.print(table)
    console.print(f"sequences without an emotion label, left out: {catalogue.unlabelled}")
    for note in inspection.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if inspection.problems:
        has_hints = any(problem.hint for problem in inspection.problems)
        listed = Table("problem", "sequence", "what", *(["what to do"] if has_hints else []))
        for problem in inspection.problems:
            hint = [escape(problem.hint)] if has_hints else []
            listed.add_row(problem.kind, escape(problem.sequence), escape(str(problem)), *hint, style="red")
        wide.print(listed)
    elif catalogue.sequences:
        published = f": it has the {expected.sequences} published sequences" if expected else ""
        console.print(f"nothing is wrong with it{published}")


def _counts(found: int | None, expected: int | None) -> list[str]:
    return [str(found)] if expected is None else [str(found), str(expected)]
