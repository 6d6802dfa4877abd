"""The results of a reproduction as one tidy table: a row per method and seed, and one for the mean over seeds.

Fractions from 0 to 1. Undefined values, such as a standard deviation over one seed, are empty.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from face_strnn.audit.audit import AUDIT_FAILED
from face_strnn.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    fold_accuracies,
    mean_class_recall,
    subject_bootstrap,
)
from face_strnn.evaluation.predictions import PREDICTION_COLUMNS, PREDICTIONS_FILE
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.run_folder import read_table, require_classes
from face_strnn.evaluation.significance import holm, paired_difference, standard_deviations
from face_strnn.experiments.comparison import require_same_test
from face_strnn.experiments.methods import REFERENCE
from face_strnn.experiments.reproduction import RESUME, Cell, Reproduction, audit_state

RESULTS_FILE = "results.csv"
MEAN = "mean"
COLUMNS = (
    "method", "label", "group", "seed", "seeds", "accuracy", "accuracy_low", "accuracy_high", "uar", "uar_low",
    "uar_high", "mean_over_folds", "std_over_folds", "std_over_seeds", "difference", "difference_low",
    "difference_high", "mcnemar_p", "permutation_p", "permutation_holm", "n_sequences", "n_subjects", "seconds",
    "audit",
)  # fmt: skip


def results_of(reproduction: Reproduction) -> pd.DataFrame:
    """Return the table over all experiments that are finished, columns :data:`COLUMNS`.

    A method with a run whose audit fails says so in its label, and so wherever the table is shown.

    Differences are to the reference: those of a seed to its run with the same seed, those of the mean to its mean, a
    sequence counting by the share of seeds that are right. Holm's method adjusts the permutation test of the means for
    the number of methods. McNemar's test treats sequences as independent and
    compares single seeds only.

    Raises:
        BadInput: the reference is not finished, or a cell's files are damaged or not of the reference's sequences and
            folds.
    """
    finished = {one.name: cells for one, cells in reproduction.finished}
    if REFERENCE not in finished:
        raise BadInput(f"{reproduction.out / REFERENCE}: not finished; {RESUME}")
    classes = reproduction.samples.class_names
    tables = {name: [_predictions_of(cell, classes) for cell in cells] for name, cells in finished.items()}
    first_cell, reference = finished[REFERENCE][0], tables[REFERENCE]
    rows = []
    for name, cells in finished.items():
        for cell, predictions in zip(cells, tables[name], strict=True):
            require_same_test(first_cell.folder, reference[0], cell.folder, predictions)
        if cells[0].seed is not None:
            for cell, predictions, same_seed in zip(cells, tables[name], reference, strict=True):
                rows.append(_row([cell], predictions, same_seed, classes, str(cell.seed)))
        rows.append(_row(cells, pd.concat(tables[name]), pd.concat(reference), classes, MEAN))
    table = pd.DataFrame(rows, columns=COLUMNS)
    compared = (table["seed"] == MEAN) & table["permutation_p"].notna()
    table.loc[compared, "permutation_holm"] = holm(table.loc[compared, "permutation_p"].astype(float).to_list())
    numbers = [name for name in COLUMNS if name not in ("method", "label", "group", "seed", "audit")]
    counts = ("seeds", "n_sequences", "n_subjects")
    return table.astype(dict.fromkeys(numbers, float)).astype(dict.fromkeys(counts, int))


def write_results(table: pd.DataFrame, out: Path) -> Path:
    """Write ``results.csv``, whole or not at all; return its path."""
    path = out / RESULTS_FILE
    write_text_whole(path, table.to_csv(index=False))
    return path


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the means, one per method."""
    return table[table["seed"] == MEAN]


def _predictions_of(cell: Cell, classes: Sequence[str]) -> pd.DataFrame:
    predictions = read_table(cell.folder, "predictions.csv", PREDICTION_COLUMNS, resume=RESUME)
    require_classes(cell.folder / "predictions.csv", predictions, classes, RESUME)
    return predictions.assign(seed=0) if cell.seed is None else predictions


def _row(
    cells: Sequence[Cell], predictions: pd.DataFrame, reference: pd.DataFrame, classes: Sequence[str], seed: str
) -> dict[str, object]:
    experiment = cells[0].experiment
    intervals = subject_bootstrap(predictions, classes)
    deviations, states = standard_deviations(predictions), [audit_state(cell) for cell in cells]
    is_sound = all(passed for passed, _ in states)
    row = {
        "method": experiment.name,
        "label": experiment.label if is_sound else f"{experiment.label} ({AUDIT_FAILED})",
        "group": experiment.group,
        "seed": seed,
        "seeds": len(cells),
        "accuracy": accuracy(predictions),
        **_bounds("accuracy", intervals["accuracy_interval"]),
        "uar": mean_class_recall(confusion_matrix(predictions, classes)),
        **_bounds("uar", intervals["mean_class_recall_interval"]),
        "mean_over_folds": float(np.mean(fold_accuracies(predictions))),
        "std_over_folds": deviations.std_over_folds,
        "std_over_seeds": deviations.std_over_seeds,
        "n_sequences": predictions["sequence"].nunique(),
        "n_subjects": predictions["subject"].nunique(),
        "seconds": sum(_seconds(cell) for cell in cells),
        "audit": "; ".join(dict.fromkeys(verdict for _, verdict in states)),
    }
    if experiment.name != REFERENCE:
        paired = paired_difference(reference, predictions)
        row |= {
            "difference": paired.accuracy,
            **_bounds("difference", paired.interval),
            "mcnemar_p": paired.mcnemar_p,
            "permutation_p": paired.permutation_p,
        }
    return row


def _bounds(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _seconds(cell: Cell) -> float:
    if cell.experiment.baseline is None:
        return Run(cell.folder).summary.seconds
    table = read_table(cell.folder, PREDICTIONS_FILE, ["fold", "seconds"], ["seconds"], RESUME)
    return float(table.groupby("fold")["seconds"].first().sum())
