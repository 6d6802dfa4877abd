"""What a run has to say for itself: one self-contained page."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.atomic_files import write_text_whole
from face_strnn.audit.audit import Audit, changed_files, standing_audit
from face_strnn.evaluation.predictions import averaging_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.summary import Summary
from face_strnn.experiments.published import published_for
from face_strnn.report.environment import page_templates
from face_strnn.report.figures import write_figures
from face_strnn.report.tables import class_rows, parts, saliency_figures, sequence_rows
from face_strnn.saliency.saliency_file import read_saliency

PROTOCOLS = {
    "interleaved": "subjects in ascending order of ID are dealt to the folds in turn",
    "contiguous": "each fold is a block of consecutive subject IDs",
    "leave-one-subject-out": "each fold is one subject",
    "given": "the folds that the data set itself gives, no subject in two of them",
}
SELECTIONS = {
    "last": "the model after the last epoch",
    "inner": "the epoch chosen by validation on training subjects",
    "oracle": f"the epoch chosen by test accuracy: {NOT_COMPARABLE}",
}

VARIANTS = {"strnn": "STRNN", "srnn": "SRNN only", "trnn": "TRNN only"}
"""How the paper calls them."""


@dataclass(frozen=True)
class Comparison:
    """One line of the comparison of a run with its baselines and the published figures. Numbers are per cent.

    Attributes:
        method: what was measured.
        accuracy: over all test sequences.
        interval: (low, high) 95 % interval of the accuracy, where there is one.
        mean_class_recall: UAR, where it is known.
        kind: "run", "baseline" or "published".
        measured_on: the data and the folds.
        source: the citation of a published figure, else empty.
    """

    method: str
    accuracy: float
    interval: tuple[float, float] | None
    mean_class_recall: float | None
    kind: str
    measured_on: str
    source: str = ""


def render_report(run: Run, audit: Audit | None = None) -> Path:
    """Draw a run's figures anew and write ``report.html``, one file with everything in it.

    Args:
        run: a finished run.
        audit: what stands at the top; by default :func:`face_strnn.audit.audit.standing_audit`.

    Returns:
        The page's path.

    Raises:
        BadInput: a file of the run is missing, broken or edited into something else; the message names it and the
            remedy. Values that only disagree with each other are the audit's matter, and stand on the page.
    """
    summary = run.summary
    run.require_probabilities()
    saliency = read_saliency(run.folder)
    write_figures(run)
    figures = run.folder / "figures"
    captions = saliency_figures(figures)
    environment = page_templates()
    environment.filters["percent"] = percent
    rows = sequence_rows(run.predictions, summary.classes)
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        synthetic=summary.data == "synthetic",
        oracle=summary.selection == "oracle",
        protocol_meaning=PROTOCOLS.get(summary.protocol),
        selection_meaning=SELECTIONS.get(summary.selection, summary.selection),
        comparisons=compare(summary),
        beside_frozen=beside_frozen_in_words(summary) if summary.frozen else None,
        class_rows=class_rows(summary),
        folds=parts(run.predictions, "fold", summary.classes),
        seeds=parts(run.members, "seed", summary.classes) if summary.seeds > 1 else [],
        ensemble=summary.ensemble,
        averaging=averaging_words(summary),
        tested=summary.tested,
        seed_spread=seed_spread(summary),
        sequences=rows,
        n_errors=sum(not row["right"] for row in rows),
        audit=audit or standing_audit(run),
        changed=changed_files(run),
        captions=captions,
        localisation=saliency.localisation if saliency and summary.data == "synthetic" else None,
        images={
            name: b64encode((figures / f"{name}.png").read_bytes()).decode("ascii") for name in ("history", *captions)
        },
    )
    path = run.folder / "report.html"
    write_text_whole(path, page)
    return path


def seed_spread(summary: Summary) -> float | None:
    """Return the sample standard deviation of a run's accuracy over its seeds; None with one seed."""
    return float(np.std(summary.seed_accuracies, ddof=1)) if summary.seeds > 1 else None


def compare(summary: Summary) -> list[Comparison]:
    """Return the run, its baselines, and the published figures for its classes, in this order."""
    own_folds = f"{summary.data}, {summary.n_folds} folds"
    variant = VARIANTS[summary.variant]
    parts = [variant]
    if summary.is_finetuned:
        parts.append(f"fine-tuned ({summary.finetune})")
    if averaging := averaging_words(summary):
        parts.append(averaging)
    run = Comparison(
        f"{', '.join(parts)}, this run" + (f" ({NOT_COMPARABLE})" if summary.selection == "oracle" else ""),
        100 * summary.accuracy,
        _interval_in_percent(summary.accuracy_interval),
        100 * summary.mean_class_recall,
        "run",
        own_folds,
    )
    baselines = [
        Comparison(
            name,
            100 * score.accuracy,
            _interval_in_percent(score.accuracy_interval),
            None if score.mean_class_recall is None else 100 * score.mean_class_recall,
            "baseline",
            own_folds,
        )
        for name, score in [
            *([(f"{variant}, frozen backbone", summary.frozen)] if summary.frozen else []),
            *((baseline.name, baseline) for baseline in summary.baselines),
        ]
    ]
    published = [
        Comparison(
            result.method,
            result.accuracy,
            None,
            result.mean_class_recall,
            "published",
            f"CK+, {result.protocol}",
            result.citation,
        )
        for result in published_for(summary.data, summary.classes)
    ]
    return [run, *baselines, *published]


def beside_frozen_in_words(summary: Summary) -> str:
    """Return one sentence on what fine-tuning changed, as the run's paired tests have it."""
    frozen = summary.frozen
    interval = frozen.difference_interval
    parts = [] if interval is None else [f"95 % interval {100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"]
    parts += [] if frozen.mcnemar_p is None else [f"exact McNemar p = {frozen.mcnemar_p:.2g}"]
    parts += [f"permutation over subjects p = {frozen.permutation_p:.2g}"]
    return (
        f"Fine-tuning ({summary.finetune}) changed the accuracy by {100 * frozen.difference:+.1f} points from "
        f"{percent(frozen.accuracy)} % with the frozen backbone ({', '.join(parts)})."
    )


def percent(fraction: float | None) -> str:
    """Write a fraction in per cent with one decimal, the precision that a few hundred sequences allow."""
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def _interval_in_percent(interval: list[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])
