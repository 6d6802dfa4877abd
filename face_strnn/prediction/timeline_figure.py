"""``timeline.png``: a curve for each emotion over time. No face is in it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patheffects import withStroke

from data_prep.atomic_files import written_whole
from face_strnn.drawing import Figure
from face_strnn.prediction.recogniser import Method
from face_strnn.prediction.timeline_table import PREFIX

_PIXELS_PER_INCH = 160
_GREY, _GRID, _GAP = "#5b6470", "#e3e7ec", "#eceff3"

# Colour, dashes and width: each curve is told from the others by its dashes alone, on paper or without colour vision.
# The colours are Okabe and Ito's, darkened on white. An emotion looks the same in all figures.
_STYLES = {
    "anger": ("#b3401a", (None, None), 2.4),
    "contempt": ("#5b6470", (1, 1.2), 2.4),
    "disgust": ("#3f7d20", (7, 2), 2.0),
    "fear": ("#7a3b8f", (7, 1.6, 1.4, 1.6), 2.0),
    "happiness": ("#1f5fa8", (None, None), 1.3),
    "sadness": ("#0d7f80", (3, 1.6), 2.0),
    "surprise": ("#a8790a", (7, 1.6, 1.4, 1.6, 1.4, 1.6), 2.0),
    "neutral": ("#16202c", (1, 3), 1.8),
}

_POINTS = 1200
"""More points than this are averaged in bins: a figure is no wider, and a tangle of lines cannot be read."""

_NAMED_FROM = 0.25
"""Curves that get as high as this are named at their peak too; the names of others would lie on each other."""


def draw_timeline(table: pd.DataFrame, title: str, method: Method) -> Figure:
    """Draw the probabilities of ``timeline.csv`` over time, and above them the most probable emotion.

    Args:
        table: the table as read: a row per frame, empty cells where no face is seen.
        title: what the recording is called.
        method: which method gave the probabilities, and what it was trained on.
    """
    classes = [column.removeprefix(PREFIX) for column in table if column.startswith(PREFIX)]
    timed = not table["seconds"].isna().any()
    time = table["seconds" if timed else "frame"].to_numpy(float)
    probabilities = table[[PREFIX + name for name in classes]].to_numpy(float)
    end = time[-1] + (np.median(np.diff(time)) if len(time) > 1 else 1.0)  # the last frame is shown for a while
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    strip, curves = figure.subplots(2, 1, sharex=True, height_ratios=(1, 11))
    segments = _segments(~np.isnan(probabilities[:, 0]))
    size = -(-len(time) // _POINTS)
    unit = f", means over {size} frames" if size > 1 else ""
    x, y = _means_with_holes(time, probabilities, segments, size)
    for index, name in enumerate(classes):
        colour, dashes, width = _STYLES[name]
        style = {"dashes": dashes} if dashes[0] else {}
        curves.plot(x, y[:, index], color=colour, linewidth=width, label=name, **style)
        alone = _lone_points(y[:, index])  # a line of one point would be invisible
        curves.plot(x[alone], y[alone, index], "o", color=colour, markersize=4)
    _name_peaks(curves, time, probabilities, classes)
    gaps = _shade_gaps([strip, curves], time, segments, end)
    _draw_strip(strip, time, probabilities, classes, segments, end)
    curves.set(xlim=(time[0], end), ylim=(0, 1.04), ylabel="probability")
    curves.set_xlabel(("seconds" if timed else "frame") + unit + ("; hatched: no face seen" if gaps else ""))
    curves.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    curves.grid(color=_GRID, linewidth=0.8)
    curves.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=10.5, handlelength=4.2, labelspacing=0.9)
    figure.suptitle("\n".join([title, *method.statements]), fontsize=12.5)
    return figure


def write_timeline_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all."""
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=_PIXELS_PER_INCH, metadata={"Software": None})


def _segments(seen: np.ndarray) -> list[tuple[int, int]]:
    """First row and row after the last of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _means_with_holes(
    time: np.ndarray, probabilities: np.ndarray, segments: list[tuple[int, int]], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Average every ``size`` rows of a segment; a row of NaN after each segment keeps a curve from crossing the gap."""
    x, y = [], []
    for start, stop in segments:
        starts = np.arange(start, stop, size)
        counts = np.diff([*starts, stop])
        x += [np.add.reduceat(time[:stop], starts) / counts, [np.nan]]
        y += [
            np.add.reduceat(probabilities[:stop], starts) / counts[:, None],
            np.full((1, probabilities.shape[1]), np.nan),
        ]
    return np.concatenate(x), np.concatenate(y)


def _lone_points(values: np.ndarray) -> np.ndarray:
    missing = np.isnan(np.concatenate([[np.nan], values, [np.nan]]))
    return ~missing[1:-1] & missing[:-2] & missing[2:]


def _name_peaks(axes: Axes, time: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> None:
    halo = [withStroke(linewidth=3.5, foreground="white")]
    middle = (time[0] + time[-1]) / 2
    for index, name in enumerate(classes):
        of_class = probabilities[:, index]
        # The last of equals: the window ends there, and the frames before share its probabilities.
        row = int(np.flatnonzero(of_class == np.nanmax(of_class))[-1])
        if of_class[row] >= _NAMED_FROM:
            left = time[row] <= middle
            axes.annotate(
                name,
                (time[row], of_class[row]),
                xytext=(5 if left else -5, 5),
                textcoords="offset points",
                ha="left" if left else "right",
                fontsize=10.5,
                fontweight="bold",
                color=_STYLES[name][0],
                path_effects=halo,
                annotation_clip=False,
            )


def _shade_gaps(panels: list[Axes], time: np.ndarray, segments: list[tuple[int, int]], end: float) -> int:
    starts = [time[0], *(time[stop] if stop < len(time) else end for _, stop in segments)]
    stops = [*(time[start] for start, _ in segments), end]
    gaps = [(start, stop) for start, stop in zip(starts, stops, strict=True) if stop > start]
    for start, stop in gaps:
        if stop - start > 0.09 * (end - time[0]):
            box = {"facecolor": _GAP, "edgecolor": "none", "pad": 4}
            panels[-1].text((start + stop) / 2, 0.5, "no face", ha="center", va="center", color=_GREY, bbox=box)
    bars = [(start, stop - start) for start, stop in gaps]
    for axes in panels:
        # One artist for all gaps: a recording of hours can have thousands.
        style = {"facecolor": _GAP, "edgecolor": "#c4cad2", "hatch": "///", "linewidth": 0, "zorder": 0}
        axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), **style)
    return len(gaps)


def _draw_strip(
    axes: Axes,
    time: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    segments: list[tuple[int, int]],
    end: float,
) -> None:
    """Name the most probable emotion along the top, where there is room for its name."""
    room = 0.011 * (end - time[0])  # of one letter
    bars: list[list[tuple[float, float]]] = [[] for _ in classes]
    for start, stop in segments:
        best = probabilities[start:stop].argmax(1)
        changes = [start, *(start + 1 + np.flatnonzero(np.diff(best))), stop]
        for first, after in pairwise(changes):
            left, right = time[first], time[after] if after < len(time) else end
            index = int(best[first - start])
            bars[index].append((left, right - left))
            if right - left > room * len(classes[index]):
                middle = (left + right) / 2
                axes.text(middle, 0.5, classes[index], ha="center", va="center", fontsize=9.5, color="#16202c")
    for index, of_class in enumerate(bars):
        colour = _STYLES[classes[index]][0]
        axes.broken_barh(of_class, (0, 1), facecolor=to_rgba(colour, 0.16), edgecolor="white", linewidth=0.6)
    axes.set(ylim=(0, 1), yticks=[])
    axes.set_ylabel("most\nprobable", rotation=0, ha="right", va="center", fontsize=9, color=_GREY)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
