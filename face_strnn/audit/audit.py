"""The audit of a run: a reviewer's questions, answered from its files and not from its claims.

The files are not signed. A run that was made by another program with all its files in agreement is only found by
training again, which :class:`face_strnn.audit.run_files.Repetition` asks for.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.audit.checks import CHECKS
from face_strnn.audit.findings import Remark
from face_strnn.audit.run_files import NO_REPETITION, Declared, NotApplicable, NotCheckable, Repetition, RunFiles
from face_strnn.evaluation.run import Run

AUDIT_FILE = "audit.json"
AUDIT_FAILED = "audit failed"
"""Printed with the figures of a run whose audit fails."""

Outcome = Literal["passed", "declared", "not checkable", "failed"]


@dataclass(frozen=True)
class Check:
    """One promise of a run, held against its files.

    Attributes:
        name: a word or two.
        promise: what must hold.
        outcome: ``"passed"``: derived anew; ``"declared"``: the files say so, and nothing at hand can derive it;
            ``"not checkable"``: it takes features or weights that were not handed over; ``"failed"``.
        findings: what is wrong, or what was not handed over; empty where it passed or is declared.
        remarks: how it was shown, or who declares it.
    """

    name: str
    promise: str
    outcome: Outcome
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All that there is to say beside the outcome."""
        return (*self.findings, *self.remarks)


@dataclass(frozen=True)
class Audit:
    """All checks of a run.

    Attributes:
        checks: in the order of :data:`CHECKS`, those that apply to the run.
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
        """Whether no check failed; some may be declared or not checkable."""
        return not self.failed

    @property
    def verdict(self) -> str:
        """One line, for example ``"11 of 14 checks passed, 1 declared, 2 not checkable"``."""
        counts = Counter(check.outcome for check in self.checks)
        words = [f"{counts['passed']} of {len(self.checks)} checks passed"]
        words += [f"{counts[outcome]} {outcome}" for outcome in ("declared", "not checkable") if counts[outcome]]
        words += [f"{counts['failed']} failed: {', '.join(check.name for check in self.failed)}"] if self.failed else []
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """Return what ``audit.json`` holds."""
        return {"passed": self.passed, "verdict": self.verdict, **asdict(self)}

    def check(self, name: str) -> Check | None:
        """Return the check of this name; None where it does not apply."""
        return next((check for check in self.checks if check.name == name), None)


def audit_run(
    run: Run,
    store: FeatureStore | None = None,
    weights: str | None = None,
    repetition: Repetition = NO_REPETITION,
) -> Audit:
    """Audit a run. What is missing or damaged in it is a finding, not an error.

    Args:
        run: the run.
        store: the features that it was made from; without them the checks that need them are not checkable.
        weights: of a fine-tuned run: file of the backbone's weights, where they came from a local file.
        repetition: the folds to train again, which takes as long as it took; needs the features.
    """
    files = RunFiles(run, store, weights, repetition)
    checks = (_check(files, *check) for check in CHECKS)
    return Audit(tuple(check for check in checks if check is not None), run.checksums)


def write_audit(run: Run, audit: Audit) -> None:
    """Write ``audit.json`` into a run folder, whole or not at all."""
    write_text_whole(run.folder / AUDIT_FILE, json.dumps(audit.as_json(), indent=2) + "\n")


def written_audit(run: Run) -> Audit | None:
    """Return the audit that is written down in a run folder; None where there is none, or no audit."""
    try:
        return TypeAdapter(Audit).validate_json((run.folder / AUDIT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def standing_audit(run: Run) -> Audit:
    """Return what holds of a run now: everything is derived anew but what needs the features.

    ``audit.json`` is not believed where it says that a check passed: anyone can write that. Of what only the features
    can show, a pass that is written down for these very files is ``"declared"``; a failure stays one.
    """
    derived, written = _derived(run), written_audit(run)
    if written is None:
        return derived
    is_of_these_files = written.files == run.checksums
    checks = (_standing(check, written.check(check.name), is_of_these_files) for check in derived.checks)
    return replace(derived, checks=tuple(checks))


def _standing(derived: Check, written: Check | None, is_of_these_files: bool) -> Check:
    """A check without the features, and what an earlier audit with or without them wrote down."""
    if written is None or derived.outcome == "failed":
        return derived
    if written.outcome == "failed" and (is_of_these_files or derived.outcome != "passed"):
        return replace(derived, outcome="failed", findings=written.findings, remarks=(f"as {AUDIT_FILE} says",))
    if written.outcome == "passed" and is_of_these_files and derived.outcome != "passed":
        how = ": ".join((f"as {AUDIT_FILE} says", *written.remarks))
        return replace(derived, outcome="declared", findings=(), remarks=(how,))
    return derived


_DERIVED: dict[tuple[Path, tuple[tuple[str, str], ...]], Audit] = {}
"""Audits without the features, by folder and checksums: a program shows one run in several places."""


def _derived(run: Run) -> Audit:
    key = run.folder.resolve(), tuple(run.checksums.items())
    if key not in _DERIVED:
        _DERIVED[key] = audit_run(run)
    return _DERIVED[key]


def changed_files(run: Run) -> tuple[str, ...]:
    """Return what has changed, come or gone in a run folder since its audit was written down; nothing without one."""
    written = written_audit(run)
    if written is None:
        return ()
    audited, found = written.files, run.checksums
    return tuple(name for name in sorted({*audited, *found}) if audited.get(name) != found.get(name))


def _check(files: RunFiles, name: str, promise: str, texts_of: Callable[[RunFiles], Iterator[str]]) -> Check | None:
    """Carry out a check; None where it does not apply."""
    texts: list[str] = []
    outcome: Outcome = "passed"
    try:
        for text in texts_of(files):
            texts.append(text)
    except NotApplicable:
        return None
    except NotCheckable as error:
        outcome = "not checkable"
        texts.append(str(error))
    except Declared as error:
        outcome = "declared"
        texts.append(Remark(error))
    except BadInput as error:
        texts.append(str(error))
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Whatever an edited file holds, the other checks go on.
        texts.append(f"the files are not in the expected format ({type(error).__name__}: {error})")
    findings = [text for text in texts if not isinstance(text, Remark)]
    if len(findings) > (outcome == "not checkable"):
        outcome = "failed"
    shown = [
        tuple(_without_folders(text, files) for text in texts if isinstance(text, Remark) == remarks)
        for remarks in (False, True)
    ]
    return Check(name, promise, outcome, *shown)


def _without_folders(finding: str, files: RunFiles) -> str:
    """Name files by their path in the run or the features: the page is made to be passed on."""
    folders: list[Path] = [files.run.folder] + ([files.store.folder] if files.store else [])
    for folder in filter(lambda folder: folder.name, folders):  # "." has no name, and stands before no file's
        finding = finding.replace(f"{folder}/", "").replace(str(folder), folder.name)
    return finding
