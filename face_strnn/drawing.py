"""Shared by all figures: a title that names the data, colours, and files in three formats."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from data_prep.atomic_files import written_whole

BLUE, ORANGE, GREY = "#1f5fa8", "#c8591a", "#5b6470"
"""They differ in lightness too: for colour-blind readers, and in print."""

FORMATS = ("png", "pdf", "svg")

_PIXELS_PER_INCH = 160
_UNDATED = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


@dataclass(frozen=True)
class FigureSource:
    """What a figure is drawn from, for its title.

    Attributes:
        data: the data set's name, or "synthetic".
        selection: how the epoch was chosen; "oracle" is labelled not comparable.
        averaging: what predictions are averaged over, see :func:`face_strnn.evaluation.predictions.averaging_words`;
            empty where nothing is averaged, or where the figure shows no predictions.
    """

    data: str
    selection: str
    averaging: str = ""


def entitle(figure: Figure, title: str, source: FigureSource) -> None:
    """Name the data in the figure's title, so that a copied figure still states what it shows.

    Args:
        figure: its title is replaced.
        title: what it shows.
        source: the data and the selection.
    """
    title = f"{title}, {source.averaging}" if source.averaging else title
    data = "synthetic data: says nothing about real faces" if source.data == "synthetic" else source.data
    warning = "; epoch chosen by test accuracy (oracle): not comparable" if source.selection == "oracle" else ""
    figure.suptitle(f"{title}\n{data}{warning}", fontsize=13)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, PDF and SVG, each whole or not at all; the same figure gives the same bytes.

    Args:
        figure: what to write.
        path: without an ending; the folder exists.

    Returns:
        The PNG's path.
    """
    with matplotlib.rc_context({"svg.hashsalt": path.name, "pdf.fonttype": 42}):
        for ending in FORMATS:
            with written_whole(path.with_name(f"{path.name}.{ending}")) as unfinished:
                figure.savefig(unfinished, format=ending, dpi=_PIXELS_PER_INCH, metadata=_UNDATED[ending])
    return path.with_name(f"{path.name}.png")


def save_figures(folder: Path, drawn: Mapping[str, Figure], optional: Collection[str]) -> list[Path]:
    """Write figures into a folder and remove those that are not drawn this time.

    Args:
        folder: made where it is missing.
        drawn: name without an ending -> figure.
        optional: names that an earlier call may have written there.

    Returns:
        The PNG files written.
    """
    folder.mkdir(exist_ok=True)
    for name in optional - drawn.keys():
        for ending in FORMATS:
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
    return [save_figure(figure, folder / name) for name, figure in drawn.items()]
