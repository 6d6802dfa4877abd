"""The tables and pictures of complete stores, assembled from their files in the order of the catalogue."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.datasets.problems import PROBLEMS_FILE, Problem, write_problems
from data_prep.faces.tracking import FaceTrack
from data_prep.store.contact_sheet import ContactSheet
from data_prep.store.crop_store import CropStore
from data_prep.store.faces import FaceStore
from data_prep.store.faces_table import write_faces
from data_prep.store.sequence_store import SequenceStore

FACES_FILE = "faces.csv"


def write_tables(
    faces: FaceStore,
    stores: Sequence[SequenceStore],
    sequences: Sequence[LabelledSequence],
    problems: Sequence[Problem],
) -> None:
    """Write ``faces.csv``, and for every store its ``index.csv``, ``problems.csv`` and ``left_out.txt``.

    The same files and problems give the same bytes, however often the work was interrupted. Where faces are given,
    ``faces.csv`` has no row.

    Args:
        faces: the tracks.
        stores: crops or maps that are made by them.
        sequences: those that could be read, in order of name.
        problems: why others could not.
    """
    write_faces(faces.folder / FACES_FILE, _tracks(faces, sequences))
    without_face = [name for name, track in _tracks(faces, sequences) if not track.usable]
    for store in stores:
        # Variants of an earlier call stay in a store; the index lists them too.
        store.rebuild_index()
        write_problems(store.folder / PROBLEMS_FILE, problems)
        store.write_left_out(without_face)


def draw_contact_sheet(crops: CropStore, sequences: Sequence[LabelledSequence]) -> list[Path]:
    """Draw the contact sheet of the thumbnails that are there; without any, pages of an earlier one are deleted.

    Returns:
        The pages.
    """
    with ContactSheet(crops.folder) as sheet:
        for sequence in sequences:
            thumbnails = crops.thumbnails(sequence.name)
            if thumbnails is not None:
                sheet.add(sequence.name, sequence.emotion, list(thumbnails))
    return sheet.pages


def _tracks(faces: FaceStore, sequences: Sequence[LabelledSequence]) -> Iterator[tuple[str, FaceTrack]]:
    """Read one at a time: a store may have thousands."""
    for sequence in sequences:
        track = faces.track(sequence.name)
        if track is not None and track.faces is not None:
            yield sequence.name, track.faces
