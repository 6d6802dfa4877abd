"""A reproduction's report: one self-contained page with a plot of all methods, and the tables beside it."""

from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.atomic_files import write_text_whole
from face_strnn.drawing import BLUE, GREY, ORANGE, Figure, save_figure
from face_strnn.experiments.published import NON_SPARSE_REMARK, PUBLISHED_ABLATIONS, published_for
from face_strnn.experiments.reproduction import Reproduction
from face_strnn.experiments.results import MEAN, means, write_results
from face_strnn.report.environment import page_templates
from face_strnn.report.latex_table import latex_table
from face_strnn.report.page import PROTOCOLS, SELECTIONS

_COLOURS = {"STRNN": BLUE, "ablation": ORANGE, "baseline": GREY}
SYNTHETIC = "Synthetic data: these figures say nothing about real faces."


def write_reproduction(reproduction: Reproduction, table: pd.DataFrame, with_std: bool = False) -> list[Path]:
    """Write ``results.csv``, ``results.tex``, ``report.html`` and its plot into a reproduction's folder.

    Args:
        reproduction: the finished reproduction.
        table: see :func:`face_strnn.experiments.results.results_of`.
        with_std: whether the LaTeX table has a column for the standard deviation over seeds.

    Returns:
        The paths of the first three.
    """
    tex, page = reproduction.out / "results.tex", reproduction.out / "report.html"
    csv = write_results(table, reproduction.out)
    write_text_whole(tex, latex_table(table, about(reproduction), with_std))
    (reproduction.out / "figures").mkdir(exist_ok=True)
    data = reproduction.store.recipe["data"]
    title = "synthetic data: says nothing about real faces" if data == "synthetic" else data
    plot = save_figure(draw_dots(table, title), reproduction.out / "figures" / "accuracy")
    write_text_whole(page, _page(reproduction, table, plot))
    return [csv, tex, page]


def about(reproduction: Reproduction) -> str:
    """Return a few sentences on the data, protocol and selection of the results."""
    data, n_folds = reproduction.store.recipe["data"], len(reproduction.folds)
    n_seeds, absent = reproduction.plan.seeds, reproduction.absent_classes
    n_sequences, n_subjects = len(reproduction.samples.original_numbers), len(set(reproduction.samples.subjects))
    sentences = [
        f"Facial expressions, {data}, {n_sequences} sequences of {n_subjects} subjects.",
        f"{n_folds} subject-independent folds, {reproduction.plan.protocol}: {PROTOCOLS[reproduction.plan.protocol]}.",
        f"Tested: {SELECTIONS[reproduction.plan.selection]}; {n_seeds} seed{'s' * (n_seeds != 1)} for each network.",
    ]
    if data == "synthetic":
        sentences.insert(1, SYNTHETIC)
    if (samples := reproduction.samples).is_partial:
        sentences.insert(1, f"Partial features: {len(samples.population)} of {samples.n_expected} sequences.")
    if absent:
        sentences.append(f"No sequence shows {', '.join(absent)}; the UAR is over the other classes.")
    return " ".join(sentences)


def draw_dots(table: pd.DataFrame, title: str) -> Figure:
    """Draw each method's accuracy with its interval, one line per method, single seeds as rings.

    Args:
        table: see :func:`face_strnn.experiments.results.results_of`.
        title: names the data.
    """
    rows = means(table).reset_index(drop=True)
    figure = Figure(figsize=(8.4, 1.5 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for line, row in rows.iterrows():
        colour, accuracy = _COLOURS[row["group"]], 100 * row["accuracy"]
        if not np.isnan(row["accuracy_low"]):
            axes.hlines(line, 100 * row["accuracy_low"], 100 * row["accuracy_high"], color=colour, linewidth=2)
        seeds = 100 * table.loc[(table["method"] == row["method"]) & (table["seed"] != row["seed"]), "accuracy"]
        if row["seeds"] > 1:
            axes.plot(seeds, [line] * len(seeds), "o", markersize=4, markerfacecolor="none", color=colour)
        axes.plot(accuracy, line, "o", markersize=8, color=colour)
    axes.axvline(100 * rows["accuracy"].iloc[0], color=_COLOURS["STRNN"], linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), rows["label"])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy %, 95 % interval by bootstrap over subjects; rings: single seeds")
    axes.grid(axis="x", color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(title, fontsize=11)
    return figure


def _page(reproduction: Reproduction, table: pd.DataFrame, plot: Path) -> str:
    data = reproduction.store.recipe["data"]
    shown = [name for name in reproduction.samples.class_names if name not in reproduction.absent_classes]
    repeated = set(table.loc[table["seed"] != MEAN, "method"])
    rows = means(table).to_dict("records")
    return (
        page_templates()
        .get_template("reproduction.html.j2")
        .render(
            about=about(reproduction),
            data=data,
            rows=rows,
            repeated=any(row["seeds"] > 1 for row in rows),
            cells=table[(table["seed"] != MEAN) | ~table["method"].isin(repeated)].to_dict("records"),
            published=published_for(data, shown),
            ablations=PUBLISHED_ABLATIONS,
            remark=NON_SPARSE_REMARK,
            dots=b64encode(plot.read_bytes()).decode("ascii"),
            command=reproduction.command,
            fingerprint=reproduction.store.fingerprint,
        )
    )
