"""The rows of the tables on a run's page and on the terminal, from its summary and predictions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from face_strnn.evaluation.metrics import accuracy, subject_bootstrap
from face_strnn.evaluation.predictions import ENSEMBLE_COLUMNS, averaging_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE
from face_strnn.evaluation.summary import Summary
from face_strnn.experiments.published import STRNN_CLASS_RECALLS, STRNN_SEVEN_CLASSES, published_for
from face_strnn.report.formatting import interval, percent

VARIANTS = {"strnn": "STRNN", "srnn": "SRNN only", "trnn": "TRNN only"}
"""The paper's names."""

SALIENCY_CAPTIONS = {
    "saliency": (
        "The absolute weights of the sparse spatial projection, averaged over its columns, the four directions and "
        "the networks, as in Fig. 6 of the STRNN paper; each network's map sums to 100 %. The drawing shows where "
        "facial features usually are in the crop. The map's resolution is the grid on the right; on the left it is "
        "interpolated. Image left is the subject's right."
    ),
    "saliency-directions": "The same weights, one map for each direction in which the network reads the grid.",
    "saliency-columns": "The same weights, one map for each column of the projection.",
    "saliency-steps": "The weights of the temporal projection: which time steps it keeps.",
    "saliency-emotions": "What held-out sequences of each emotion add to its logit, node by node.",
}
"""Captions by the figure's file name; figures with other names have only their title."""


@dataclass(frozen=True)
class ResultRow:
    """A run, one of its baselines, or a published figure. Numbers are fractions from 0 to 1.

    Attributes:
        method: what was measured.
        accuracy: over all test sequences.
        interval: (low, high) 95 % interval of the accuracy; None where there is none.
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


def result_rows(summary: Summary) -> list[ResultRow]:
    """Return the run, its baselines, and the published figures for its classes, in this order."""
    own_folds = f"{summary.data}, {summary.n_folds} folds"
    variant = VARIANTS[summary.variant]
    averaging = averaging_words(summary)
    names = [variant, f"fine-tuned ({summary.finetune})" if summary.is_finetuned else "", averaging]
    not_comparable = f" ({NOT_COMPARABLE})" if summary.selection == "oracle" else ""
    own = [("run", f"{', '.join(filter(None, names))}, this run{not_comparable}", summary)]
    frozen = ", ".join(filter(None, (variant, "frozen backbone", averaging)))
    own += [("baseline", frozen, summary.frozen)] if summary.frozen else []
    own += [("baseline", baseline.name, baseline) for baseline in summary.baselines]
    return [
        *(
            ResultRow(name, one.accuracy, one.accuracy_interval, one.mean_class_recall, kind, own_folds)
            for kind, name, one in own
        ),
        *(
            ResultRow(
                result.method,
                result.accuracy / 100,
                None,
                None if result.mean_class_recall is None else result.mean_class_recall / 100,
                "published",
                f"CK+, {result.protocol}",
                result.citation,
            )
            for result in published_for(summary.data, summary.classes)
        ),
    ]


def seed_std(summary: Summary) -> float | None:
    """Return the sample standard deviation of a run's accuracy over its seeds; None with one seed."""
    return float(np.std(summary.seed_accuracies, ddof=1)) if summary.seeds > 1 else None


def beside_frozen_in_words(summary: Summary) -> str:
    """Return one sentence on what fine-tuning changed, with the run's paired tests."""
    frozen = summary.frozen
    difference = frozen.difference_interval
    parts = [] if difference is None else [f"95 % interval {interval(difference, '+.1f', to=' to ')}"]
    parts += [] if frozen.mcnemar_p is None else [f"exact McNemar p = {frozen.mcnemar_p:.2g}"]
    parts += [f"permutation over subjects p = {frozen.permutation_p:.2g}"]
    return (
        f"Fine-tuning ({summary.finetune}) changed the accuracy by {percent(frozen.difference, '+.1f')} points "
        f"from {percent(frozen.accuracy)} % with the frozen backbone ({', '.join(parts)})."
    )


def training_in_words(summary: Summary) -> str:
    """Return one sentence on the single networks' accuracy in training and in test."""
    training, held_out = percent(summary.training_accuracy), percent(summary.held_out_accuracy)
    return f"Single networks: training {training} %, held-out {held_out} %."


@dataclass(frozen=True)
class GroupAccuracy:
    """The accuracy of a part of the test, such as a fold. Numbers are fractions from 0 to 1.

    Attributes:
        name: of the part.
        subjects: number of test subjects.
        sequences: number of tests; a sequence that several seeds test counts several times.
        right: number of correct predictions.
        accuracy: their share.
        interval: (low, high) 95 % bootstrap interval over the part's subjects; None with one subject.
        training: accuracy of the part's single networks on sequences of their training.
    """

    name: str
    subjects: int
    sequences: int
    right: int
    accuracy: float
    interval: tuple[float, float] | None
    training: float | None


def group_accuracies(
    predictions: pd.DataFrame, column: Literal["fold", "seed"], summary: Summary
) -> list[GroupAccuracy]:
    """Return the accuracy of each fold or each seed.

    Args:
        predictions: columns ``sequence``, ``subject``, ``truth``, ``prediction`` and the one named.
        column: by which they are grouped.
        summary: the run's, with the networks' accuracies in training.
    """
    networks = pd.DataFrame([one.model_dump() for one in summary.networks])
    n_seen = networks["training_sequences"].groupby(networks[column]).sum()
    right = (networks["training_accuracy"] * networks["training_sequences"]).groupby(networks[column]).sum()
    training = (right / n_seen).to_dict()
    return [
        GroupAccuracy(
            name=str(name),
            subjects=rows["subject"].nunique(),
            sequences=len(rows),
            right=int((rows["truth"] == rows["prediction"]).sum()),
            accuracy=accuracy(rows),
            interval=subject_bootstrap(rows, summary.classes)["accuracy_interval"],
            training=training.get(name),
        )
        for name, rows in predictions.groupby(column)
    ]


def class_rows(summary: Summary) -> list[dict]:
    """Return, per class: emotion, its row of counts, its total, recall (fraction or None), the paper's recall in %."""
    paper = STRNN_CLASS_RECALLS if STRNN_SEVEN_CLASSES in published_for(summary.data, summary.classes) else {}
    return [
        {
            "emotion": emotion,
            "counts": counts,
            "total": sum(counts),
            "recall": summary.class_recalls[emotion],
            "paper": paper.get(emotion),
        }
        for emotion, counts in zip(summary.classes, summary.confusion_matrix, strict=True)
    ]


def sequence_rows(predictions: pd.DataFrame, classes: list[str]) -> list[dict]:
    """Return every test of a sequence: errors first, the most confident on top; then the least confident.

    Args:
        predictions: a run's ``predictions.csv``.
        classes: the class names.

    Returns:
        Per row: sequence, subject, fold, seed (None in a table without), truth, prediction, right, and probabilities
        in the order of the classes.
    """
    rows = [
        {
            **{key: row[key] for key in ENSEMBLE_COLUMNS},
            "seed": row.get("seed"),
            "right": row["truth"] == row["prediction"],
            "probabilities": [row[f"p_{name}"] for name in classes],
        }
        for row in predictions.to_dict("records")
    ]

    def errors_first(row: dict) -> tuple[bool, float]:
        confidence = max(row["probabilities"])
        return row["right"], confidence if row["right"] else -confidence

    return sorted(rows, key=errors_first)


def saliency_figures(folder: Path) -> dict[str, str]:
    """Return the captions of the saliency figures that a run has, by the name of their PNG file without its ending.

    Args:
        folder: the run's ``figures/``, where none shows a subject's face.
    """
    names = sorted(path.stem for path in folder.glob("saliency*.png"))
    return {name: SALIENCY_CAPTIONS.get(name, "") for name in names}
