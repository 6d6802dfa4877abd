"""``face-strnn audit``."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.progress import training_progress

if TYPE_CHECKING:
    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import Audit
    from face_strnn.evaluation.run import Run


def audit(
    run: Path,
    features: Path | None = None,
    json: bool = False,
    weights_file: str | None = None,
    repeat_fold: list[str] | None = None,
) -> None:
    """Verify a run from its files: folds, training samples, selection, predictions, figures.

    The result is also written to audit.json in the run folder. If a check fails, the exit status is 2. A fold that is
    trained again must give the checkpoint bit for bit, on another kind of machine within a tolerance.

    Args:
        run: a run folder.
        features: the feature store of the run, or the folder that holds it; with it the checkpoints' predictions are
            recomputed.
        json: print one JSON object and nothing else.
        weights_file: for a fine-tuned run: file of the backbone's weights, if they came from a local file.
        repeat_fold: numbers of folds to train again, or all: the checkpoints must come out; needs --features.
    """
    from json import dumps

    from data_prep.store.lock import refuse_writer
    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import audit_run, write_audit
    from face_strnn.audit.run_files import Repetition
    from face_strnn.evaluation.run import Run

    opened = Run.open(run)
    refuse_writer(run, "cv")
    folds = _folds_to_repeat(repeat_fold or [], opened, features)
    store = None if features is None else FeatureStore.open(features)
    if store:
        _require_own(opened, store)
    with training_progress() if folds else nullcontext() as progress:
        audited = audit_run(opened, store, weights_file, Repetition(folds, progress))
    write_audit(opened, audited)
    if json:
        print(dumps(audited.as_json(), indent=2))
    else:
        print_audit(audited)
    if not audited.passed:
        raise BadInput(f"{run}: {audited.verdict}; do not trust its figures, run `face-strnn cv` with another --out")


def _require_own(run: "Run", store: "FeatureStore") -> None:
    """Refuse features that cannot be the run's, before they make a sound run look bad."""
    try:
        settings = run.settings
    except BadInput:  # which the audit reports
        return
    if (named := settings.features.get("fingerprint")) != store.fingerprint:
        raise BadInput(f"{store.folder}: not the features of {run.folder}, those are of {named}; give --features these")
    store.require_complete(settings.partial)


def _folds_to_repeat(given: list[str], run: "Run", features: Path | None) -> tuple[int, ...]:
    """Return the numbers of the folds to train again."""
    if not given:
        return ()
    if features is None:
        raise BadInput("--repeat-fold: folds are trained again from the features; give --features, the run's own")
    known = {str(fold): fold for fold in range(1, run.settings.folds + 1)}
    if unknown := [text for text in given if text not in known and text != "all"]:
        raise BadInput(
            f"--repeat-fold {' '.join(unknown)}: {run.folder} has the folds 1 to {len(known)}; give some, or all"
        )
    return tuple(known.values()) if "all" in given else tuple(sorted({known[text] for text in given}))


def print_audit(audited: "Audit") -> None:
    """Print every check of an audit and the verdict."""
    styles = {"passed": "green", "failed": "bold red", "not checkable": "yellow", "declared": "cyan"}
    table = Table("check", "what must hold", "outcome", "what is wrong or lacking, or how it was shown")
    for check in audited.checks:
        notes = escape("\n".join(check.notes))
        table.add_row(check.name, check.promise, check.outcome, notes, style=styles[check.outcome])
    unfolded().print(table)
    console.print(audited.verdict, soft_wrap=True)
