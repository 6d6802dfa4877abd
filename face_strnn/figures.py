"""The pictures of a run: confusion matrix, saliency over a drawn face, training curves.

No picture shows a face from the data: the outline under the saliency map is a vector drawing.
"""

from pathlib import Path as FilePath

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from face_strnn.figure_files import BLUE, FORMATS, GREY, ORANGE, entitle, save_figure
from face_strnn.run_folder import checkpoints_of, read_summary, read_table
from face_strnn.saliency import Saliency, has_projection, projection_saliency

_HISTORY_COLUMNS = ("fold", "epoch", "loss", "train_accuracy")


def write_figures(run: FilePath) -> list[FilePath]:
    """Draw the figures of a run's page into its ``figures/``, as PNG, PDF and SVG, each file replaced as a whole.

    The saliency map is left out for a network without a spatial projection (an ablation); one that an earlier
    network left there is removed.

    Returns:
        The PNG files written.

    Raises:
        BadInput: a file of the run is missing or broken.
    """
    summary = read_summary(run)
    data, selection = summary["data"], summary["selection"]
    drawn = {
        "confusion": draw_confusion(
            np.array(summary["confusion_matrix"]), summary["classes"], data=data, selection=selection
        ),
        "history": draw_history(
            read_table(run, "history.csv", _HISTORY_COLUMNS, numbers=_HISTORY_COLUMNS), data=data, selection=selection
        ),
    }
    checkpoints = checkpoints_of(run, n_networks=len(summary["fold_accuracies"]) * summary["seeds"])
    folder = run / "figures"
    folder.mkdir(exist_ok=True)
    if has_projection(checkpoints[0]):
        drawn["saliency"] = draw_saliency(projection_saliency(checkpoints), data=data, selection=selection)
    else:
        for ending in FORMATS:
            (folder / f"saliency.{ending}").unlink(missing_ok=True)
    return [save_figure(figure, folder / name) for name, figure in drawn.items()]


def draw_confusion(confusion: np.ndarray, classes: list[str], *, data: str, selection: str) -> Figure:
    """Draw counts and row per cents; the shade is the row's per cent, so that rare classes are as readable.

    Args:
        confusion: (C, C) counts, rows truth.
        classes: the C class names.
        data: the data set's name, or "synthetic".
        selection: how the epoch was chosen; "oracle" is labelled not comparable.
    """
    occurrences = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(occurrences, 1)
    figure = Figure(figsize=(7.4, 6.3), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            axes.text(
                column,
                row,
                f"{count}\n{100 * share[row, column]:.0f} %",
                ha="center",
                va="center",
                fontsize=11.5,
                fontweight="bold" if row == column else "normal",
                color="white" if share[row, column] > 0.55 else "#16202c",
            )
        elif not occurrences[row]:
            axes.text(column, row, "–", ha="center", va="center", fontsize=11.5, color=GREY)
    counts = occurrences[:, 0]
    axes.set_xticks(range(len(classes)), classes, rotation=35, ha="right", rotation_mode="anchor", fontsize=12)
    axes.set_yticks(
        range(len(classes)), [f"{name} ({n})" for name, n in zip(classes, counts, strict=True)], fontsize=12
    )
    axes.set_xticks(np.arange(1, len(classes)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(classes)) - 0.5, minor=True)
    axes.grid(which="minor", color="#d5dbe3", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("prediction", fontsize=12.5)
    axes.set_ylabel("truth (sequences)", fontsize=12.5)
    bar = figure.colorbar(image, ax=axes, shrink=0.82, pad=0.02, format=lambda value, _: f"{100 * value:.0f} %")
    bar.set_label("per cent of the true class", fontsize=11.5)
    entitle(figure, "Confusion matrix, all held-out sequences", data, selection)
    return figure


def draw_saliency(saliency: Saliency, *, data: str, selection: str) -> Figure:
    """Draw the mean map, interpolated, over the outline of a face, and its spread over networks, one per fold and seed.

    Args:
        saliency: maps on the h x w grid, which covers the face crop.
        data: the data set's name, or "synthetic".
        selection: how the epoch was chosen; "oracle" is labelled not comparable.
    """
    n_networks, height, width = saliency.per_fold.shape
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    face, places = figure.subplots(1, 2, width_ratios=(1.55, 1))

    image = face.imshow(
        100 * saliency.mean, cmap="inferno", vmin=0, extent=(0, 1, 1, 0), interpolation="catrom", aspect="equal"
    )
    _draw_face(face)
    face.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    face.set_title("mean over networks, on an outline of a face in the crop", fontsize=10.5)
    bar = figure.colorbar(image, ax=face, shrink=0.8, pad=0.02, format=lambda value, _: f"{value:.1f} %")
    bar.set_label(
        f"share of the projection's weight\n(all {height * width} places alike: {100 / (height * width):.1f} %)"
    )

    places.imshow(100 * saliency.spread, cmap="Greys", vmin=0, vmax=2 * max(100 * saliency.spread.max(), 1e-12))
    for (row, column), mean in np.ndenumerate(100 * saliency.mean):
        places.text(column, row - 0.16, f"{mean:.1f}", ha="center", va="center", fontsize=8.5, fontweight="bold")
        spread = f"±{100 * saliency.spread[row, column]:.1f}" if n_networks > 1 else ""
        places.text(column, row + 0.22, spread, ha="center", va="center", fontsize=7)
    places.set(xticks=[], yticks=[])
    places.set_title(
        f"each place, per cent:\nmean ± std over {n_networks} network{'s' * (n_networks != 1)}", fontsize=10.5
    )
    entitle(figure, "Where the spatial projection looks: mean |G| over directions and columns", data, selection)
    return figure


def draw_history(history: pd.DataFrame, *, data: str, selection: str) -> Figure:
    """Draw loss and accuracy by epoch: a thin line per network, a thick one for their mean.

    Args:
        history: columns ``fold``, ``epoch``, ``loss``, ``train_accuracy``; ``seed`` where there are several;
            ``validation_accuracy`` and ``test_accuracy`` are drawn where they exist.
        data: the data set's name, or "synthetic".
        selection: how the epoch was chosen; "oracle" is labelled not comparable.
    """
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    loss, accuracies = figure.subplots(1, 2)
    _draw_curves(loss, history, "loss", "training", BLUE)
    loss.set(xlabel="epoch", ylabel="loss (cross entropy + sparsity)")
    loss.set_ylim(bottom=0)

    _draw_curves(accuracies, history, "train_accuracy", "training", BLUE)
    if "validation_accuracy" in history:
        _draw_curves(accuracies, history, "validation_accuracy", "inner validation (training subjects)", ORANGE)
    if "test_accuracy" in history:
        _draw_curves(accuracies, history, "test_accuracy", "test (chooses the epoch: not comparable)", GREY)
    accuracies.set(xlabel="epoch", ylabel="accuracy")
    accuracies.set_ylim(0, 1.02)
    accuracies.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    for axes in (loss, accuracies):
        axes.grid(color="#e3e7ec", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    accuracies.legend(loc="lower right", frameon=False, fontsize=9.5)
    n_networks = len(history[_network_columns(history)].drop_duplicates())
    figure.supxlabel(
        f"{n_networks} network{'s' * (n_networks != 1)}: thin lines; their mean: thick. Training-set curves show that "
        "training ran, not how well the network does on new subjects.",
        fontsize=9.5,
        color=GREY,
    )
    entitle(figure, "Training curves", data, selection)
    return figure


def _draw_curves(axes: Axes, history: pd.DataFrame, column: str, label: str, colour: str) -> None:
    by_network = history.pivot_table(index="epoch", columns=_network_columns(history), values=column)
    lone_epoch = "o" if len(by_network) == 1 else None  # a line of one point would be invisible
    axes.plot(by_network.index, by_network, color=colour, alpha=0.28, linewidth=0.9, marker=lone_epoch)
    axes.plot(by_network.index, by_network.mean(axis=1), color=colour, linewidth=2.4, label=label, marker=lone_epoch)


def _network_columns(history: pd.DataFrame) -> list[str]:
    return [column for column in ("fold", "seed") if column in history]


def _draw_face(axes: Axes) -> None:
    halo = [withStroke(linewidth=3.2, foreground=(0, 0, 0, 0.45))]  # white alone would drown in the map's bright end
    for outline in _face_outline():
        axes.add_patch(PathPatch(outline, facecolor="none", edgecolor=(1, 1, 1, 0.9), linewidth=1.5, path_effects=halo))


def _face_outline() -> list[Path]:
    """Return the lines of a frontal face in crop coordinates: x to the right, y down, both 0 to 1.

    The features lie where they do in a square crop around the detector's box with a margin of 20 %: eyes at
    (0.32, 0.38) and (0.68, 0.38), the nose's tip at y = 0.58, the mouth at y = 0.75.
    """
    right_half = [
        _curve((0.5, 0.05), (0.72, 0.05), (0.87, 0.17), (0.87, 0.38), (0.87, 0.57), (0.84, 0.70), (0.75, 0.82),
               (0.68, 0.91), (0.59, 0.965), (0.5, 0.965)),  # contour, crown to chin
        _curve((0.875, 0.37), (0.925, 0.34), (0.945, 0.40), (0.925, 0.47), (0.91, 0.53), (0.88, 0.56), (0.86, 0.54)),
        _curve((0.575, 0.305), (0.62, 0.265), (0.72, 0.255), (0.795, 0.305)),  # brow
        _curve((0.595, 0.39), (0.635, 0.338), (0.715, 0.335), (0.765, 0.385), (0.72, 0.418), (0.645, 0.422),
               (0.595, 0.39)),  # lids
        Path.circle((0.68, 0.38), 0.024),
        _curve((0.545, 0.41), (0.545, 0.47), (0.555, 0.51), (0.575, 0.55), (0.60, 0.59), (0.575, 0.62), (0.545, 0.605),
               (0.53, 0.60), (0.52, 0.615), (0.5, 0.618)),  # side and wing of the nose
        _curve((0.645, 0.745), (0.60, 0.725), (0.545, 0.69), (0.52, 0.703), (0.51, 0.708), (0.505, 0.71),
               (0.5, 0.712)),  # upper lip
        _curve((0.645, 0.745), (0.61, 0.815), (0.545, 0.825), (0.5, 0.825)),  # lower lip
        _curve((0.645, 0.745), (0.60, 0.755), (0.54, 0.752), (0.5, 0.757)),  # between the lips
    ]  # fmt: skip
    return [half for right in right_half for half in (right, _mirrored(right))]


def _curve(*points: tuple[float, float]) -> Path:
    """Join cubic Bezier segments: a start, then two control points and an end for each segment."""
    return Path(points, [Path.MOVETO] + [Path.CURVE4] * (len(points) - 1))


def _mirrored(path: Path) -> Path:
    return Path(path.vertices * (-1, 1) + (1, 0), path.codes)
