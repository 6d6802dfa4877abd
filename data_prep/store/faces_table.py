"""``faces.csv``: the position of the face in every frame, for inspection."""

import csv
from collections.abc import Iterable
from pathlib import Path

from data_prep.atomic_files import written_whole
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack

BOX = ("left", "top", "right", "bottom")

LANDMARKS = tuple(
    f"{place}_{axis}" for place in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)
"""Left and right as the image shows them, not the subject's."""

COLUMNS = ("sequence", "frame", "how", "used", *BOX, "probability", *LANDMARKS)

NO_FACE = "none"


def write_faces(path: Path, tracks: Iterable[tuple[str, FaceTrack]]) -> None:
    """Write one row for every frame of every sequence, whole or not at all.

    Columns are :data:`COLUMNS`: the sequence's name; the frame's number from 1; ``detected``, ``refined``,
    ``interpolated`` or ``none`` (see :class:`data_prep.faces.detection.Face`); ``yes`` or ``no``: whether the frame is
    in the used part (see :attr:`data_prep.faces.tracking.FaceTrack.usable`); box and landmarks in pixels, to a
    hundredth; and the probability, to a millionth. A row without a face has no numbers. The table contains no picture.

    Args:
        path: the file.
        tracks: names of sequences and their faces; taken one by one.
    """
    with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for name, track in tracks:
            used = track.usable
            for number, face in enumerate(track.faces, 1):
                table.writerow([name, number, *_cells(face, "yes" if number - 1 in used else "no")])


def _cells(face: Face | None, used: str) -> list[str]:
    if face is None:
        return [NO_FACE, used, *[""] * (len(COLUMNS) - 4)]
    pixels = [[f"{value:.2f}" for value in values] for values in (face.box, face.landmarks.ravel())]
    return [face.how, used, *pixels[0], f"{face.probability:.6f}", *pixels[1]]
