"""``face-strnn compare``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from face_strnn.cli.console import unfolded
from face_strnn.report.formatting import interval, p_value, percent

if TYPE_CHECKING:
    from face_strnn.experiments.comparison import ComparedRun


def compare(runs: list[Path], json: bool = False) -> None:
    """Compare runs with the first one by paired tests, on the same test sequences and folds.

    Args:
        runs: two or more finished run folders; the others are compared with the first.
        json: print only one JSON object.
    """
    from json import dumps

    from face_strnn.evaluation.run import Run
    from face_strnn.experiments.comparison import compare_runs

    compared = compare_runs([Run(run) for run in runs])
    if json:
        print(dumps({"runs": [one.as_json() for one in compared]}, indent=2))
    else:
        print_comparison(compared)


def print_comparison(compared: Sequence["ComparedRun"]) -> None:
    """Print one row per run, with its difference to the first."""
    table = Table("run")
    for heading in ("accuracy %\n95 % interval", "difference\n95 % interval", "McNemar p\nHolm", "permutation p\nHolm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in compared:
        table.add_row(
            escape("\n".join(filter(None, (one.run, one.averaging, one.mark)))),
            f"{percent(one.accuracy)}\n{interval(one.accuracy_interval)}",
            f"{percent(one.difference, '+.1f')}\n{interval(one.difference_interval, '+.1f')}",
            f"{p_value(one.mcnemar_p)}\n{p_value(one.mcnemar_holm)}",
            f"{p_value(one.permutation_p)}\n{p_value(one.permutation_holm)}",
            end_section=True,
            style="bold red" if one.mark else None,
        )
    wide = unfolded()
    wide.print(table)
    for one in compared:
        std = one.standard_deviations
        spreads = {f"{one.seeds} seeds": std.std_over_seeds, "the folds of a seed": std.std_over_folds}
        parts = [f"± {percent(value)} over {what}" for what, value in spreads.items() if value is not None]
        mean = f"{one.run}: {percent(std.mean_over_seeds)} %"
        wide.print(", ".join([mean, *parts]), markup=False, highlight=False, soft_wrap=True)
    wide.print(
        "Differences in points, to the first run. Intervals: bootstrap over subjects. Permutation: signs of the "
        "subjects' differences. McNemar's test treats sequences as independent; single seed only.",
        highlight=False,
    )
    for one in compared:
        if one.warning:
            wide.print(f"{one.run}: {one.warning}", style="bold red", markup=False, soft_wrap=True)
