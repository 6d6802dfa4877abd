"""What all figures share: text as it stands, colours, a title that names the data, and files in three formats."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Text

from data_prep.atomic_files import written_whole

BLUE, ORANGE, GREY = "#1f5fa8", "#c8591a", "#5b6470"
"""They differ in lightness too, for colour-blind readers and for grey prints."""

FORMATS = ("png", "pdf", "svg")

_PIXELS_PER_INCH = 160
_UNDATED = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


class Figure(matplotlib.figure.Figure):
    """matplotlib's figure with every text as it stands: names of files, subjects and data sets are no markup.

    ``$a_b$`` would be a formula to matplotlib, and ``$5_$6`` an error. What no font can show, such as a byte of a file
    name that is no UTF-8, becomes a question mark.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; matplotlib calls this for every file and every display."""
        with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):  # for ticks, made while drawing
            for text in self.findobj(Text):
                text.set_parse_math(False)
                text.set_usetex(False)
                text.set_text(_readable(text.get_text()))
            super().draw(renderer)


def _readable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


@dataclass(frozen=True)
class FigureSource:
    """What a figure shows, as its title says.

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
    """Name the data in the title, so that a figure without its page still says what it shows.

    Args:
        figure: its title is replaced.
        title: what the figure shows.
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
        path: without a suffix; the folder exists.

    Returns:
        The PNG's path.
    """
    with matplotlib.rc_context({"svg.hashsalt": path.name, "pdf.fonttype": 42}):
        for suffix in FORMATS:
            with written_whole(path.with_name(f"{path.name}.{suffix}")) as unfinished:
                figure.savefig(unfinished, format=suffix, dpi=_PIXELS_PER_INCH, metadata=_UNDATED[suffix])
    return path.with_name(f"{path.name}.png")


def save_figures(folder: Path, figures: Mapping[str, Figure], optional: Collection[str]) -> list[Path]:
    """Write figures into a folder and remove outdated ones.

    Args:
        folder: created if it is missing.
        figures: name without a suffix -> figure.
        optional: names of figures from an earlier call, which are removed unless they are written again.

    Returns:
        The PNG files written.
    """
    folder.mkdir(exist_ok=True)
    for name in optional - figures.keys():
        for suffix in FORMATS:
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    return [save_figure(figure, folder / name) for name, figure in figures.items()]
