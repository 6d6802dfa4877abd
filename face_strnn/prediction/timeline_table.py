"""``timeline.csv``: one row per frame, written as the frames come."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd

from data_prep.atomic_files import written_whole
from data_prep.errors import BadInput
from face_strnn.prediction.recogniser import Method
from face_strnn.prediction.timeline import Moment

PREFIX = "p_"
"""Columns of probabilities are named as in a run's ``predictions.csv``: ``p_anger``."""


class TimelineTable:
    """Writes rows of moments; made by :func:`timeline_table`.

    Columns: ``frame`` (from 0), ``seconds`` (empty for images, which have no times), ``left``, ``top``, ``right``,
    ``bottom`` (the face's box in pixels), ``confidence`` (MTCNN's, 0 to 1), a probability for each class,
    ``prediction`` (the most probable), ``method`` (``strnn`` or ``frame-wise``), ``trained_on`` (``synthetic`` or a
    data set's name). Where no face is seen, all but the first two are empty.
    """

    def __init__(self, file: TextIO, classes: Sequence[str], method: Method) -> None:
        self.classes, self.method = classes, method
        self._writer = csv.writer(file, lineterminator="\n")
        box = ("left", "top", "right", "bottom", "confidence")
        of_classes = (PREFIX + name for name in classes)
        self._writer.writerow(["frame", "seconds", *box, *of_classes, "prediction", "method", "trained_on"])

    def write(self, moment: Moment) -> None:
        """Append a row."""
        seconds = "" if moment.instant.seconds is None else f"{moment.instant.seconds:.4f}"
        row: list[object] = [moment.instant.number, seconds]
        if moment.face is None or moment.probabilities is None:
            row += [""] * (8 + len(self.classes))
        else:
            row += [f"{edge:.1f}" for edge in moment.face.box] + [f"{moment.face.probability:.4f}"]
            row += [f"{probability:.6f}" for probability in moment.probabilities]
            row += [self.classes[int(moment.probabilities.argmax())], self.method.name, self.method.data]
        self._writer.writerow(row)


@contextmanager
def timeline_table(path: Path, classes: Sequence[str], method: Method) -> Iterator[TimelineTable]:
    """Open a table that becomes ``path`` when the block ends, and vanishes when it raises.

    Args:
        path: the CSV file.
        classes: the emotions, in the order of a moment's probabilities.
        method: which method gave them, and what it was trained on.

    Raises:
        BadInput: the file cannot be made.
    """
    with written_whole(path) as unfinished:
        try:
            file = unfinished.open("w", buffering=1, newline="", encoding="utf-8")  # line by line
        except OSError as error:
            raise BadInput(
                f"{path.parent}: cannot be written into ({error.strerror}); give another folder with --out"
            ) from error
        with file:
            yield TimelineTable(file, classes, method)


def read_timeline(path: Path) -> pd.DataFrame:
    """Return a table that was written: cells of frames without a face are NaN."""
    return pd.read_csv(path)
