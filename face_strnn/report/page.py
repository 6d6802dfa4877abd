"""A run's report: one self-contained page."""

from base64 import b64encode
from pathlib import Path

from data_prep.atomic_files import write_text_whole
from face_strnn.audit.audit import Audit, changed_files, standing_audit
from face_strnn.evaluation.predictions import ORIGINALS, averaging_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE
from face_strnn.evaluation.run import Run
from face_strnn.report.environment import page_templates
from face_strnn.report.figures import write_figures
from face_strnn.report.tables import (
    beside_frozen_in_words,
    class_rows,
    group_accuracies,
    result_rows,
    saliency_figures,
    seed_std,
    sequence_rows,
    training_in_words,
)
from face_strnn.saliency.saliency_file import read_saliency

PROTOCOLS = {
    "interleaved": "subjects in ascending order of ID are assigned to the folds cyclically",
    "contiguous": "each fold is a block of consecutive subject IDs",
    "leave-one-subject-out": "each fold is one subject",
    "given": "the data set's own folds, no subject in two of them",
}
SELECTIONS = {
    "last": "the model after the last epoch",
    "inner": "the epoch chosen by validation on training subjects",
    "oracle": f"the epoch chosen by test accuracy: {NOT_COMPARABLE}",
}


def render_report(run: Run, audit: Audit | None = None) -> Path:
    """Redraw a run's figures and write ``report.html``, one file with everything in it.

    Args:
        run: a finished run.
        audit: for the top of the page; by default :func:`face_strnn.audit.audit.standing_audit`.

    Returns:
        The page's path.

    Raises:
        BadInput: a file of the run is missing, broken or edited into something else; the message names it and the
            remedy. The audit reports values that disagree with each other, and the page shows them.
    """
    summary = run.summary
    run.require_probabilities()
    saliency = read_saliency(run.folder)
    write_figures(run)
    figures = run.folder / "figures"
    captions = saliency_figures(figures)
    audit = audit or standing_audit(run)
    rows = sequence_rows(run.predictions, summary.classes)
    page = (
        page_templates()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            synthetic=summary.data == "synthetic",
            oracle=summary.selection == "oracle",
            protocol_meaning=PROTOCOLS.get(summary.protocol),
            selection_meaning=SELECTIONS.get(summary.selection, summary.selection),
            result_rows=result_rows(summary),
            training=training_in_words(summary),
            beside_frozen=beside_frozen_in_words(summary) if summary.frozen else None,
            class_rows=class_rows(summary),
            folds=group_accuracies(run.predictions, "fold", summary),
            seeds=group_accuracies(run.members, "seed", summary) if summary.seeds > 1 else [],
            ensemble=summary.ensemble,
            averaging=averaging_words(summary),
            tested=summary.tested,
            tests_originals=summary.tested == ORIGINALS,
            seed_std=seed_std(summary),
            sequences=rows,
            n_errors=sum(not row["right"] for row in rows),
            audit=audit,
            published=audit.check("published list"),
            changed=changed_files(run),
            captions=captions,
            localisation=saliency.localisation if saliency and summary.data == "synthetic" else None,
            images={
                name: b64encode((figures / f"{name}.png").read_bytes()).decode("ascii")
                for name in ("history", *captions)
            },
        )
    )
    path = run.folder / "report.html"
    write_text_whole(path, page)
    return path
