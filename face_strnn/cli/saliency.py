"""``face-strnn saliency``."""

from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_prep.datasets.catalogue import Dataset
from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.progress import counted_progress
from face_strnn.report.formatting import percent


def saliency(
    run: Path,
    features: Path,
    sequence: str | None = None,
    baseline: Literal["first-frame", "zeros"] = "first-frame",
    steps: int = 32,
    show_faces: bool = False,
    root: Path | None = None,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
) -> None:
    """Explain a run: sparsity of its projections, attributions of held-out sequences, localisation on synthetic data.

    Writes RUN/saliency.json and the figures, and the page with them. With --sequence it draws one test sequence, frame
    by frame, and writes nothing else.

    Args:
        run: a finished run folder.
        features: the feature store that the run was made with.
        sequence: draw only this test sequence, attributed by the networks that never saw its subject.
        baseline: what sequences are compared with: their first frame, repeated, or maps of zeros.
        steps: points of the integral from the baseline to the sequence.
        show_faces: with --sequence: draw the maps over the subject's own frames; do not pass that figure on.
        root: with --show-faces: folder of the data set; for a manifest the file.
        dataset: with --show-faces: layout of the data set.
        part: with --show-faces: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: with --show-faces: take MMI's whole recordings, not the part up to the apex.
    """
    from data_prep.datasets.registry import read_dataset
    from data_prep.store.store import FeatureStore
    from face_strnn.evaluation.run import Run
    from face_strnn.report.page import render_report
    from face_strnn.saliency.explanation import explain_run
    from face_strnn.saliency.sequence_explanation import explain_sequence

    if sequence is None and (show_faces or root):
        raise BadInput("--show-faces and --root are for one sequence; name it with --sequence")
    if show_faces != (root is not None):
        raise BadInput("--show-faces needs --root, the folder of the data set, and --root is only for --show-faces")
    if sequence is not None:
        catalogue = read_dataset(dataset, root, part, whole) if root else None
        figure = explain_sequence(Run(run), FeatureStore.open(features), sequence, baseline, steps, catalogue)
        console.print(f"[b]{escape(str(figure))}[/b]", soft_wrap=True)
        if catalogue is not None and catalogue.data != "synthetic":
            console.print("It shows the subject's face: keep it on this machine.", style="bold yellow")
        return
    store, opened = FeatureStore.open(features), Run(run)
    with counted_progress("attributing held-out sequences", opened.summary.n_sequences) as advance:
        explanation = explain_run(opened, store, baseline, steps, progress=advance)
    print_saliency(explanation)
    console.print(f"[b]{escape(str(run / 'saliency.json'))}[/b]", soft_wrap=True)
    console.print(f"with its figures on the page: [b]{escape(str(render_report(opened)))}[/b]", soft_wrap=True)


def print_saliency(explanation: dict[str, Any]) -> None:
    """Print sparsity, completeness and, on synthetic data, localisation, from the contents of ``saliency.json``."""
    sparsity = Table(title=f"entries below 1 % of their matrix's largest, {explanation['n_networks']} networks")
    sparsity.add_column("matrix")
    sparsity.add_column("per cent, mean ± std", justify="right")
    for name, share in explanation["sparsity"].items():
        std = "" if share["std"] is None else f" ± {percent(share['std'])}"
        sparsity.add_row(name, percent(share["mean"]) + std)
    console.print(sparsity)
    completeness = explanation["completeness"]
    console.print(
        f"Completeness: mean |logit difference| {completeness['mean_absolute_logit_difference']:.2f}, mean |residual| "
        f"{completeness['mean_absolute_residual']:.3f}, max {completeness['largest_absolute_residual']:.3f}.",
        highlight=False,
    )
    if explanation["localisation"] is None:
        console.print("Which nodes move is only known for synthetic faces: localisation was not measured.", style="dim")
        return
    rows = explanation["localisation"]
    emotions = list(rows[0]["auc"])  # without one that moves every node of a coarse grid
    wide = console if console.is_terminal and console.width >= 100 else Console(width=120)
    table = Table(
        title="synthetic data: area under the ROC curve for the nodes that the action units move\n"
        "all: over all nodes; moved: over those that some emotion moves, where a centre prior does not help"
    )
    table.add_column("map")
    for emotion in emotions:
        table.add_column(emotion, justify="right")
    table.add_column("all", justify="right", style="bold")
    table.add_column("moved", justify="right", style="bold")
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        means = (row["mean"], row["mean_among_moved"])
        table.add_row(
            escape(row["saliency"]),
            *(f"{row['auc'][emotion]:.2f}" for emotion in emotions),
            *("–" if mean is None else f"{mean:.2f}" for mean in means),
            style="dim" if row["kind"] == "control" else None,
            end_section=following is not None and following["kind"] != row["kind"],
        )
    wide.print(table)
    console.print(
        "The last rows are controls. A map that does not score higher shows where faces move, not what the networks "
        "learned. Synthetic data: this says nothing about real faces.",
        style="bold yellow",
    )
