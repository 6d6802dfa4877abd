"""``face-strnn reproduce``."""

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput, DataWarning
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.progress import Show, Step, progress, training_progress
from face_strnn.config import NetworkConfig, TrainingConfig
from face_strnn.report.formatting import interval, p_value, percent

if TYPE_CHECKING:
    import pandas as pd

    from face_strnn.experiments.reproduction import Reproduction


def reproduce(
    features: Path,
    out: Path,
    only: list[str] | None = None,
    seeds: int = 1,
    with_std: bool = False,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    classes: list[str] | None = None,
    partial: bool = False,
    selection: Literal["last", "inner"] = "last",
    epochs: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    network: NetworkConfig = NetworkConfig(),  # noqa: B008
    training: TrainingConfig = TrainingConfig(),  # noqa: B008
    command: str = "",
) -> None:
    """Run the paper's experiments under the same folds: the STRNN, its ablations, baselines. It resumes.

    Args:
        features: a feature store, or the folder that holds one.
        out: folder of the results, with a folder for every method and seed.
        only: experiments to run besides the STRNN: srnn, trnn, non-sparse, sigmoid (relu), no-rotation, svm, logistic,
            lstm, cnn; all by default.
        seeds: number of times that every network is trained, with seeds from --seed upwards.
        with_std: add a column to the LaTeX table: standard deviation over seeds; needs --seeds 2 or more.
        protocol: how subjects are assigned to folds; given: the data set's own folds (a manifest's column fold).
        folds: number of folds of the protocols interleaved and contiguous.
        classes: classes to distinguish: six (without contempt), seven, or names such as anger fear; by default all.
        partial: use a feature store that is not complete; the results say how many of its sequences it held.
        selection: the epoch that is tested: the last; inner: the best on training subjects set aside for it.
        epochs: passes over the training samples; overrides training.epochs.
        seed: seed of the initial parameters.
        device: where the networks are trained; auto uses a GPU if there is one.
        network: sizes of the network.
        training: settings of the training.
        command: how the program was called; a run's summary repeats it.
    """
    from data_prep.device import compute_device
    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import AUDIT_FAILED
    from face_strnn.evaluation.settings import Plan
    from face_strnn.experiments.reproduction import Reproduction
    from face_strnn.experiments.results import results_of
    from face_strnn.report.reproduction_page import write_reproduction

    if with_std and seeds < 2:
        raise BadInput(f"--with-std: --seeds {seeds} has no standard deviation over seeds; give --seeds 2 or more")
    if epochs is not None:
        training = replace(training, epochs=epochs)
    plan = Plan(
        protocol=protocol,
        folds=folds,
        classes=tuple(classes) if classes else None,
        partial=partial,
        selection=selection,
        seed=seed,
        seeds=seeds,
        network=network,
        training=training,
    )
    whole = Reproduction(FeatureStore.open(features), out, plan, only, compute_device(device), command)
    with whole.begun():
        if whole.absent_classes:
            warnings.warn(
                f"no sequence shows {', '.join(whole.absent_classes)}: no method can learn it, and the mean class "
                "recall is over the other classes",
                DataWarning,
                stacklevel=1,
            )
        _run_cells(whole)
        table = results_of(whole)
        written = write_reproduction(whole, table, with_std)
    print_results(table, unfolded())
    for path in written:
        console.print(f"{path.name}: [b]{escape(str(path.resolve()))}[/b]", soft_wrap=True)
    broken = table["label"].str.endswith(f" ({AUDIT_FAILED})")
    if names := sorted(set(table.loc[broken, "label"].str.removesuffix(f" ({AUDIT_FAILED})"))):
        raise BadInput(f"{out}: the audit of {', '.join(names)} failed; `face-strnn audit` on its folder says what")


def _run_cells(whole: "Reproduction") -> None:
    """Do what is left to do, cell by cell, with the page of each run."""
    from face_strnn.evaluation.run import Run
    from face_strnn.report.page import render_report

    cells = whole.cells
    for number, cell in enumerate(cells, start=1):
        kept = ": kept" if cell.is_finished else ""
        console.print(f"{number} of {len(cells)}: {cell.title}{kept}", markup=False, highlight=False)
        heading = f"{number} of {len(cells)}: {cell.title}"
        if cell.experiment.baseline:
            with progress(heading) as show:
                whole.run(cell, on_fold=partial(_show_fold, show, len(whole.folds)))
        else:
            with training_progress(heading) as show_run:
                whole.run(cell, show_run)
            if not (cell.folder / "report.html").is_file():
                render_report(Run(cell.folder))


def _show_fold(show: Show, n_folds: int, done: int) -> None:
    show(Step("baseline", done, n_folds, "fold", each=True))


def print_results(table: "pd.DataFrame", console: Console) -> None:
    """Print the means of a results table."""
    from face_strnn.experiments.results import means

    shown = Table("method")
    for heading in (
        "accuracy %\n95 % interval", "UAR %", "± folds\n± seeds", "difference\n95 % interval",
        "McNemar p", "permutation p\nHolm",
    ):  # fmt: skip
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in means(table).to_dict("records"):
        accuracy, difference = ((row[f"{name}_low"], row[f"{name}_high"]) for name in ("accuracy", "difference"))
        shown.add_row(
            escape(row["label"]),
            f"{percent(row['accuracy'])}\n{interval(accuracy)}",
            percent(row["uar"]),
            f"{percent(row['std_over_folds'])}\n{percent(row['std_over_seeds'])}",
            f"{percent(row['difference'], '+.1f')}\n{interval(difference, '+.1f')}",
            p_value(row["mcnemar_p"]),
            f"{p_value(row['permutation_p'])}\n{p_value(row['permutation_holm'])}",
            style="bold" if row["group"] == "STRNN" else None,
            end_section=True,
        )
    console.print(shown)
    console.print(
        "Differences in points, to the STRNN. Intervals: bootstrap over subjects. Permutation: signs of the subjects' "
        "differences. McNemar's test treats sequences as independent; single seed only.",
        highlight=False,
    )
