"""What each part of the recipe of fine-tuning brings: rows of runs on drawn faces, beside their frozen networks.

    python benchmarks/finetuning.py ft --subjects 118
    python benchmarks/finetuning.py ft --subjects 118 --only new mixup

`ft` gets the data set (`data`), the features with their crops (`features`) and a run for each row, named after it. What
is there is kept: an interrupted call goes on where it stopped, and rows can be made one at a time. At its end it prints
a table of all rows that are there.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main as face_strnn
from face_strnn.cli.progress import training_progress
from face_strnn.config import Finetune, FinetuningConfig, TrainingConfig
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.predictions import probability_columns
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.settings import Plan
from face_strnn.evaluation.significance import paired_difference
from face_strnn.evaluation.summary import SUMMARY_FILE


@dataclass(frozen=True)
class Row:
    """A recipe: which blocks learn, how, and further options of the plan."""

    what: Finetune = "last-block"
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


ROWS = {
    "old": Row(settings={"backbone_rate": 2e-5, "share": 0.5}),
    "new": Row(),
    "float32": Row(settings={"precision": "float32"}),
    "last-two-blocks": Row("last-two-blocks"),
    "all": Row("all"),
    "longer": Row(settings={"epochs": 12}),
    "longer-ema": Row(settings={"epochs": 12, "ema": 0.99}),
    "mixup": Row(settings={"mixup": 0.2}),
    "test-average": Row(options={"test_average": True}),
}
"""Each differs from "new", the shipped settings, by what it names; "longer-ema" is to be held against "longer"."""


def main() -> None:
    """Make the rows that are asked for, and print all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="hed", help="the backbone's; see face-strnn backbones")
    parser.add_argument("--maps", default="pool4")
    parser.add_argument("--subjects", type=int, default=30, help="drawn subjects, up to 118")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5, help="of the frozen networks")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    store = _features(options.out, options.subjects, options.weights, options.maps)
    weights = options.weights if Path(options.weights).is_file() else None
    for name in options.only:
        row = ROWS[name]
        plan = Plan(
            folds=options.folds,
            learn_from="original",
            training=TrainingConfig(epochs=options.epochs),
            finetune=row.what,
            finetuning=FinetuningConfig(**row.settings),
            **row.options,
        )
        print(f"{name}:", flush=True)
        with training_progress() as progress:
            cross_validate(store, options.out / name, plan, weights=weights, progress=progress)
    _print_table({name: Run(options.out / name) for name in ROWS if (options.out / name / SUMMARY_FILE).is_file()})


def _features(out: Path, subjects: int, weights: str, maps: str) -> FeatureStore:
    """Draw the data set and prepare it with crops and rotated copies, as far as that is not done."""
    drawn = ["synth", "--out", str(out / "data"), "--subjects", str(subjects)]
    prepared = ["prepare", "--root", str(out / "data"), "--out", str(out / "features"), "--keep-crops"]
    for command in (drawn, [*prepared, "--weights", weights, "--maps", maps]):
        if face_strnn(command) != 0:
            raise SystemExit(f"face-strnn {command[0]} failed")
    return FeatureStore.open(out / "features")


def _print_table(runs: dict[str, Run]) -> None:
    first = "new" if "new" in runs else next(iter(runs))
    print(f"\n| | accuracy % | frozen % | difference (95 % interval) | to {first} (95 % interval) | last call, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, run in runs.items():
        summary, frozen = run.summary, run.summary.frozen
        beside = paired_difference(runs[first].predictions, run.predictions)
        print(
            f"| {name} | {100 * summary.accuracy:.1f} | {100 * frozen.accuracy:.1f} "
            f"| {_difference(frozen.difference, frozen.difference_interval)} "
            f"| {_difference(beside.accuracy, beside.interval) if name != first else ''} | {summary.seconds:.0f} |"
        )
    if {"new", "float32"} <= runs.keys():
        tables = [runs[name].predictions.set_index("sequence") for name in ("new", "float32")]
        first, second = (table[probability_columns(runs["new"].summary.classes)] for table in tables)
        distance = np.abs(first - second.loc[first.index]).sum(1).mean() / 2
        precision = runs["new"].summary.finetuning["precision"]
        print(f"\nprobabilities of new ({precision}) and float32 differ by {distance:.3f} on average (total variation)")


def _difference(difference: float, interval: tuple[float, float] | list[float] | None) -> str:
    low, high = interval or (float("nan"), float("nan"))
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(str(error)) from error
