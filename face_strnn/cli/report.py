"""``face-strnn report``."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from face_strnn.cli.console import console
from face_strnn.report.formatting import interval, percent

if TYPE_CHECKING:
    from face_strnn.audit.audit import Audit
    from face_strnn.evaluation.run import Run
    from face_strnn.evaluation.summary import Summary


def report(run: Path) -> None:
    """Print a run's table and redraw its figures and page.

    Args:
        run: a finished run folder.
    """
    from face_strnn.evaluation.run import Run

    report_run(Run(run))


def report_run(run: "Run", audited: "Audit | None" = None) -> None:
    """Draw a run's figures and page; print its table, its audit and the page's path."""
    from face_strnn.audit.audit import changed_files, standing_audit
    from face_strnn.report.page import render_report

    summary = run.summary
    audited = audited or standing_audit(run)
    page = render_report(run, audited)
    print_summary(summary, console)
    if changed := changed_files(run):
        console.print(f"changed since the run was audited: {', '.join(changed)}", style="bold red", soft_wrap=True)
    console.print(f"audit: {audited.verdict}", style=None if audited.passed else "bold red", soft_wrap=True)
    console.print(f"report: [b]{escape(str(page.resolve()))}[/b]", soft_wrap=True)


def print_summary(summary: "Summary", console: Console) -> None:
    """Print a run's accuracy, its baselines, and the published figures for the same classes beside it.

    Args:
        summary: the run's.
        console: to print on.
    """
    from face_strnn.report.tables import beside_frozen_in_words, result_rows, training_in_words

    table = Table(
        title=f"{escape(summary.data)}, {summary.n_sequences} sequences of {summary.n_subjects} subjects, "
        f"{summary.n_folds} folds ({escape(summary.protocol)})"
    )
    table.add_column("method", overflow="fold")
    table.add_column("accuracy %", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("UAR %", justify="right", no_wrap=True)
    table.add_column("data", overflow="fold")
    rows = result_rows(summary)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(
            escape(row.method),
            percent(row.accuracy),
            interval(row.interval),
            percent(row.mean_class_recall),
            "CK+, published" if row.kind == "published" else escape(summary.data),
            style="bold" if row.kind == "run" else None,
            end_section=following is not None and following.kind != row.kind,
        )
    console.print(table)
    std = summary.std_fold_accuracy
    console.print(
        f"Mean over folds {percent(summary.mean_fold_accuracy)} %"
        + ("" if std is None else f" ± {percent(std)} (std)")
        + ". Intervals: bootstrap over subjects. UAR: mean class recall.",
        highlight=False,
    )
    console.print(training_in_words(summary), highlight=False)
    if summary.frozen:
        console.print(beside_frozen_in_words(summary), highlight=False)
    for warning in summary.warnings:
        console.print(f"Warning: {warning}.", style="bold yellow", markup=False)
    if summary.partial:
        console.print(f"Partial features: {summary.partial} (--partial).", style="bold yellow")
    if summary.left_out:
        console.print(f"Left out because no frame shows a face: {', '.join(summary.left_out)}.", style="bold yellow")
    if summary.damaged:
        text = f"Left out because the copy of the data is damaged: {', '.join(summary.damaged)}."
        console.print(text, style="bold yellow", markup=False)
    _print_remarks(summary, console)
    if any(row.kind == "published" for row in rows):
        console.print(
            "Published figures are for CK+ with other folds and crops: a context, not a ranking.", style="dim"
        )


def _print_remarks(summary: "Summary", console: Console) -> None:
    """Print what the figures are over: seeds, variants, synthetic data, a selection that makes them not comparable."""
    from face_strnn.evaluation.predictions import ORIGINALS
    from face_strnn.evaluation.protocols import NOT_COMPARABLE
    from face_strnn.report.tables import seed_std

    if summary.seeds > 1:
        each = ", ".join(percent(value) for value in summary.seed_accuracies)
        if summary.ensemble:
            members = summary.members
            text = f"The members of the ensemble alone: {each} %, mean {percent(members.mean)} %"
            text += f" (std {percent(members.std)})."
        else:
            std = percent(seed_std(summary))
            text = f"Over {summary.seeds} seeds: {each} % (std {std}); the table pools them."
        console.print(text, highlight=False)
    if summary.tested != ORIGINALS:
        console.print(
            f"Each test sequence: {summary.tested} of it; the protocol tests only the originals.",
            highlight=False,
        )
    if summary.data == "synthetic":
        console.print("The data are synthetic: these figures say nothing about real faces.", style="bold yellow")
    if summary.selection == "oracle":
        console.print(f"Epochs were chosen by test accuracy (oracle): {NOT_COMPARABLE}.", style="bold red")
