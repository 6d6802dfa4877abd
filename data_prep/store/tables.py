"""The tables and pictures of a store that is complete, put together from its files in the order of the catalogue."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.datasets.problems import PROBLEMS_FILE, Problem, write_problems
from data_prep.faces.tracking import FaceTrack
from data_prep.store.contact_sheet import ContactSheet
from data_prep.store.faces_table import write_faces
from data_prep.store.store import FeatureStore
from data_prep.store.tracks import Followed, keep_only, read_followed

FACES_FILE = "faces.csv"


def write_tables(
    store: FeatureStore, sequences: Sequence[LabelledSequence], problems: Iterable[Problem], contact_sheet: bool
) -> list[Path]:
    """Write ``index.csv``, ``faces.csv``, ``problems.csv``, ``left_out.txt`` and the contact sheet.

    The same files and problems give the same bytes, however often the work was interrupted. Where faces are given,
    ``faces.csv`` has no row.

    Args:
        store: all of whose files are written.
        sequences: those that could be read, in order of name.
        problems: why others could not.
        contact_sheet: draw it; else pages of an earlier one are deleted.

    Returns:
        The pages of the contact sheet.
    """
    keep_only(store, {sequence.name for sequence in sequences})
    # Variants of an earlier call stay in the store; the index lists them too.
    store.rebuild_index()
    write_problems(store.folder / PROBLEMS_FILE, problems)
    write_faces(store.folder / FACES_FILE, _tracks(store, sequences))
    without_face: list[str] = []
    with ContactSheet(store.folder) as sheet:
        for sequence, followed in _followed(store, sequences):
            if not followed.usable:
                without_face.append(sequence.name)
            elif contact_sheet and followed.thumbnails is not None:
                sheet.add(sequence.name, sequence.emotion, list(followed.thumbnails))
    store.write_left_out(without_face)
    return sheet.pages


def _followed(
    store: FeatureStore, sequences: Iterable[LabelledSequence]
) -> Iterator[tuple[LabelledSequence, Followed]]:
    """Read one at a time: a store may have thousands."""
    for sequence in sequences:
        followed = read_followed(store, sequence.name)
        if followed is not None:
            yield sequence, followed


def _tracks(store: FeatureStore, sequences: Iterable[LabelledSequence]) -> Iterator[tuple[str, FaceTrack]]:
    for sequence, followed in _followed(store, sequences):
        if followed.track is not None:
            yield sequence.name, followed.track
