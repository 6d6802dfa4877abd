"""The audit of a run: a reviewer's questions, answered from its files and not from its claims.

The files are not signed: an audit finds mistakes and edited files, not a run that was made by another program with all
its files in agreement; only training again can show that.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.audit.checks import CHECKS
from face_strnn.audit.run_files import NotCheckable, RunFiles
from face_strnn.evaluation.run import Run

AUDIT_FILE = "audit.json"
Outcome = Literal["passed", "failed", "not checkable"]


@dataclass(frozen=True)
class Check:
    """One promise of a run, held against its files.

    Attributes:
        name: a word or two.
        promise: what must hold.
        outcome: ``"passed"``, ``"failed"`` or ``"not checkable"``.
        findings: what is wrong, or why it cannot be checked; empty where it passed.
    """

    name: str
    promise: str
    outcome: Outcome
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All checks of a run.

    Attributes:
        checks: in the order of :data:`CHECKS`.
        files: SHA-256 of every file that was read, by its path within the run folder.
    """

    checks: tuple[Check, ...]
    files: dict[str, str]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Whether no check failed; some may not have been checkable."""
        return not self.failed

    @property
    def verdict(self) -> str:
        """One line, for example ``"11 of 12 checks passed, 1 not checkable"``."""
        counts = {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in _OUTCOMES}
        words = [f"{counts['passed']} of {len(self.checks)} checks passed"]
        words += [f"{counts['not checkable']} not checkable"] if counts["not checkable"] else []
        words += [f"{counts['failed']} failed: {', '.join(check.name for check in self.failed)}"] if self.failed else []
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """Return what ``audit.json`` holds."""
        return {"passed": self.passed, "verdict": self.verdict, **asdict(self)}


_OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "not checkable")


def audit_run(run: Run, store: FeatureStore | None = None, weights: str | None = None) -> Audit:
    """Audit a run. What is missing or damaged in it is a finding, not an error.

    Args:
        run: the run.
        store: the features that it was made from; without them the checks that need them are not checkable.
        weights: of a fine-tuned run: file of the backbone's weights, where they came from a local file.
    """
    files = RunFiles(run, store, weights)
    return Audit(tuple(_check(files, *check) for check in CHECKS), run.checksums)


def write_audit(run: Run, audit: Audit) -> None:
    """Write ``audit.json`` into a run folder, whole or not at all."""
    write_text_whole(run.folder / AUDIT_FILE, json.dumps(audit.as_json(), indent=2) + "\n")


def written_audit(run: Run) -> Audit | None:
    """Return the audit that is written down in a run folder; None where there is none, or not one of these checks."""
    try:
        found = TypeAdapter(Audit).validate_json((run.folder / AUDIT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    # One from which checks were taken out would pass.
    return found if [check.name for check in found.checks] == [name for name, *_ in CHECKS] else None


def standing_audit(run: Run) -> Audit:
    """Return the audit that is written down in a run folder; where its files have changed since, a new one without
    the features.
    """
    written = written_audit(run)
    return written if written and written.files == run.checksums else audit_run(run)


def changed_files(run: Run) -> tuple[str, ...]:
    """Return what has changed, come or gone in a run folder since its audit was written down; nothing without one."""
    written = written_audit(run)
    if written is None:
        return ()
    audited, found = written.files, run.checksums
    return tuple(name for name in sorted({*audited, *found}) if audited.get(name) != found.get(name))


def _check(files: RunFiles, name: str, promise: str, findings_of: Callable[[RunFiles], Iterator[str]]) -> Check:
    findings: list[str] = []
    lacking = ""
    try:
        findings.extend(findings_of(files))
    except NotCheckable as error:
        lacking = str(error)
    except BadInput as error:
        findings.append(str(error))
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Whatever an edited file holds, the other checks go on.
        findings.append(f"the files are not in the expected format ({type(error).__name__}: {error})")
    if findings:
        return Check(name, promise, "failed", tuple(_without_folders(finding, files) for finding in findings))
    return Check(name, promise, "not checkable", (lacking,)) if lacking else Check(name, promise, "passed")


def _without_folders(finding: str, files: RunFiles) -> str:
    """Name files by their path in the run or the features: the page is made to be passed on."""
    folders: list[Path] = [files.run.folder] + ([files.store.folder] if files.store else [])
    for folder in filter(lambda folder: folder.name, folders):  # "." has no name, and stands before no file's
        finding = finding.replace(f"{folder}/", "").replace(str(folder), folder.name)
    return finding
