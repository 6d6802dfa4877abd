"""The figures of a run's page: confusion matrix, training curves, projection weights.

No figure shows a face from the data: the outline under the saliency maps is a drawing.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from face_strnn.drawing import BLUE, GREY, ORANGE, Figure, FigureSource, entitle, save_figures
from face_strnn.evaluation.predictions import averaging_words
from face_strnn.evaluation.run import Run
from face_strnn.saliency.drawings import draw_saliency
from face_strnn.saliency.projection_figures import crop_margin
from face_strnn.saliency.projections import has_projection, projection_saliency


def write_figures(run: Run) -> list[Path]:
    """Draw the figures of a run's page into its ``figures/``, as PNG, PDF and SVG, each file replaced as a whole.

    The saliency map is omitted for a network without a spatial projection (an ablation); one from an earlier network
    is removed.

    Returns:
        The PNG files written.

    Raises:
        BadInput: a file of the run is missing or broken.
    """
    summary = run.summary
    source = FigureSource(summary.data, summary.selection)
    averaged = replace(source, averaging=averaging_words(summary))
    drawn = {
        "confusion": draw_confusion(np.array(summary.confusion_matrix), summary.classes, averaged),
        "history": draw_history(run.history, source),
    }
    checkpoints = run.checkpoints
    if has_projection(checkpoints[0]):
        drawn["saliency"] = draw_saliency(projection_saliency(checkpoints), source, crop_margin(summary))
    return save_figures(run.folder / "figures", drawn, optional={"saliency"})


def draw_confusion(confusion: np.ndarray, classes: list[str], source: FigureSource) -> Figure:
    """Draw counts and row percentages; the percentage is the shade, so that rare classes are as readable as others.

    Args:
        confusion: (C, C) counts, rows truth.
        classes: the C class names.
        source: for the title.
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
    entitle(figure, "Confusion matrix, all held-out sequences", source)
    return figure


def draw_history(history: pd.DataFrame, source: FigureSource) -> Figure:
    """Draw loss and accuracy by epoch: a thin line per network, a thick one for their mean.

    Args:
        history: columns ``fold``, ``epoch``, ``loss``, ``train_accuracy``; ``seed`` where there are several;
            ``validation_accuracy`` and ``test_accuracy`` are drawn where they exist.
        source: for the title.
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
    entitle(figure, "Training curves", source)
    return figure


def _draw_curves(axes: Axes, history: pd.DataFrame, column: str, label: str, colour: str) -> None:
    by_network = history.pivot_table(index="epoch", columns=_network_columns(history), values=column)
    lone_epoch = "o" if len(by_network) == 1 else None  # a line of one point would be invisible
    axes.plot(by_network.index, by_network, color=colour, alpha=0.28, linewidth=0.9, marker=lone_epoch)
    axes.plot(by_network.index, by_network.mean(axis=1), color=colour, linewidth=2.4, label=label, marker=lone_epoch)


def _network_columns(history: pd.DataFrame) -> list[str]:
    return [column for column in ("fold", "seed") if column in history]
