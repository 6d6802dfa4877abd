"""Paired comparison of runs: the same test sequences in the same folds, and whether the difference is significant."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.errors import BadInput
from face_strnn.audit.audit import AUDIT_FAILED, standing_audit
from face_strnn.evaluation.metrics import accuracy, subject_bootstrap
from face_strnn.evaluation.predictions import PREDICTIONS_FILE, averaging_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.run_folder import require_classes
from face_strnn.evaluation.significance import StandardDeviations, holm, paired_difference, standard_deviations


@dataclass(frozen=True)
class ComparedRun:
    """A run, and its difference from the first one. Fractions from 0 to 1.

    Attributes:
        run: the folder, as it was given.
        seeds: number of its seeds, whose predictions are pooled; 1 for an ensemble, which has one prediction.
        accuracy: over all test sequences, and all seeds.
        accuracy_interval: 95 %, bootstrap over subjects; None with one subject.
        standard_deviations: over seeds, and over folds within a seed.
        audit: the verdict of its audit, see :func:`face_strnn.audit.audit.standing_audit`.
        mark: ``"not comparable"``, ``"audit failed"``, both, or empty where nothing is wrong.
        warning: why its figures should not be relied on; empty where nothing is wrong.
        averaging: what its predictions are averaged over, such as "ensemble of 5"; empty for nothing.
        difference: its accuracy minus that of the first run; this and the following are None for the first run.
        difference_interval: 95 %, paired bootstrap over subjects.
        mcnemar_p: of the exact test over sequences; None unless both runs are of one seed.
        permutation_p: of the sign-flip test over subjects.
        mcnemar_holm, permutation_holm: the same, adjusted for the number of runs compared with the first.
    """

    run: str
    seeds: int
    accuracy: float
    accuracy_interval: tuple[float, float] | None
    standard_deviations: StandardDeviations
    audit: str
    mark: str = ""
    warning: str = ""
    averaging: str = ""
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    mcnemar_p: float | None = None
    permutation_p: float | None = None
    mcnemar_holm: float | None = None
    permutation_holm: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the attributes by name, ready for JSON."""
        return asdict(self)


def compare_runs(runs: Sequence[Run]) -> list[ComparedRun]:
    """Compare runs with the first of them.

    Where a run has several seeds, a sequence counts by the share of seeds that are right, so that seeds do not
    count as more subjects.

    Args:
        runs: two or more finished runs.

    Returns:
        One entry per run, in the order given.

    Raises:
        BadInput: fewer than two runs, one that is not finished, or one with other data, folds, or test sequences than
            the first.
    """
    if len(runs) < 2:
        raise BadInput("there is one run; give two or more to compare")
    tables = [_predictions(run) for run in runs]
    for run, predictions in zip(runs[1:], tables[1:], strict=True):
        _require_same_protocol(runs[0], run)
        require_same_test(runs[0].folder, tables[0], run.folder, predictions)
    compared = [_alone(run, predictions) for run, predictions in zip(runs, tables, strict=True)]
    others = [_beside(one, tables[0], predictions) for one, predictions in zip(compared[1:], tables[1:], strict=True)]
    permutation = holm([one.permutation_p for one in others])
    tested = [one.mcnemar_p for one in others if one.mcnemar_p is not None]
    mcnemar_adjusted = iter(holm(tested))
    adjusted = [
        replace(one, permutation_holm=p, mcnemar_holm=None if one.mcnemar_p is None else next(mcnemar_adjusted))
        for one, p in zip(others, permutation, strict=True)
    ]
    return [compared[0], *adjusted]


def _predictions(run: Run) -> pd.DataFrame:
    table = run.predictions.assign(seed=run.summary.seed) if run.summary.ensemble else run.members
    require_classes(run.folder / PREDICTIONS_FILE, table, run.summary.classes)
    return table


def _require_same_protocol(first: Run, run: Run) -> None:
    for name in ("data", "protocol"):
        value, expected = getattr(run.summary, name), getattr(first.summary, name)
        if value != expected:
            raise BadInput(
                f"{run.folder}: its {name} is {value} and that of {first.folder} {expected}; "
                "compare runs on the same data under the same protocol"
            )


def require_same_test(first_run: Path, first: pd.DataFrame, run: Path, predictions: pd.DataFrame) -> None:
    """Refuse to compare two tables of predictions that are not for the same sequences in the same folds.

    Args:
        first_run, run: their folders, for the message.
        first, predictions: columns ``sequence``, ``subject``, ``truth``, ``fold``.

    Raises:
        BadInput: they differ.
    """
    columns = ["sequence", "subject", "truth", "fold"]
    tested, tested_here = (set(table[columns].itertuples(index=False, name=None)) for table in (first, predictions))
    if tested != tested_here:
        differing = sorted({row[0] for row in tested ^ tested_here})
        listed = ", ".join(differing[:3]) + (" and others" if len(differing) > 3 else "")
        raise BadInput(
            f"{run}: {len(differing)} sequences ({listed}) are not tested as in {first_run}, with the same subject, "
            "emotion and fold; compare runs over the same sequences and folds"
        )


def _alone(run: Run, predictions: pd.DataFrame) -> ComparedRun:
    summary, audit = run.summary, standing_audit(run)
    marks, warnings = [], []
    if summary.selection == "oracle":
        marks.append(NOT_COMPARABLE)
        warnings.append(f"its epochs were chosen by test accuracy (oracle): {NOT_COMPARABLE}")
    # The check of the selection fails for every oracle run.
    if any((check.name, summary.selection) != ("selection", "oracle") for check in audit.failed):
        marks.append(AUDIT_FAILED)
        warnings.append(f"its audit: {audit.verdict}")
    return ComparedRun(
        str(run.folder),
        int(predictions["seed"].nunique()),
        accuracy(predictions),
        subject_bootstrap(predictions, summary.classes)["accuracy_interval"],
        standard_deviations(predictions),
        audit.verdict,
        ", ".join(marks),
        "; ".join(warnings),
        averaging_words(summary),
    )


def _beside(one: ComparedRun, first: pd.DataFrame, predictions: pd.DataFrame) -> ComparedRun:
    """Add the difference of a run to the first."""
    paired = paired_difference(first, predictions)
    return replace(
        one,
        difference=paired.accuracy,
        difference_interval=paired.interval,
        mcnemar_p=paired.mcnemar_p,
        permutation_p=paired.permutation_p,
    )
