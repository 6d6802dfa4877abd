"""``face-strnn audit``."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded

if TYPE_CHECKING:
    from face_strnn.audit.audit import Audit


def audit(run: Path, features: Path | None = None, json: bool = False, weights_file: str | None = None) -> None:
    """Verify a run from its files: folds, training samples, selection, predictions, figures.

    The result is also written to audit.json in the run folder. If a check fails, the exit status is 2.

    Args:
        run: a run folder.
        features: the feature store of the run, or the folder that holds it; with it the checkpoints' predictions are
            recomputed.
        json: print one JSON object and nothing else.
        weights_file: for a fine-tuned run: file of the backbone's weights, if they came from a local file.
    """
    from json import dumps

    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import audit_run, write_audit
    from face_strnn.evaluation.run import Run

    opened = Run.open(run)
    audited = audit_run(opened, None if features is None else FeatureStore.open(features), weights_file)
    write_audit(opened, audited)
    if json:
        print(dumps(audited.as_json(), indent=2))
    else:
        print_audit(audited)
    if not audited.passed:
        raise BadInput(f"{run}: {audited.verdict}; do not trust its figures, run `face-strnn cv` with another --out")


def print_audit(audited: "Audit") -> None:
    """Print every check of an audit and the verdict."""
    styles = {"passed": "green", "failed": "bold red", "not checkable": "yellow"}
    table = Table("check", "what must hold", "outcome", "what is wrong, or lacking")
    for check in audited.checks:
        findings = escape("\n".join(check.findings))
        table.add_row(check.name, check.promise, check.outcome, findings, style=styles[check.outcome])
    unfolded().print(table)
    console.print(audited.verdict, soft_wrap=True)
