"""What an audit checks.

Each check is a function that yields what it finds wrong, one line each, and remarks
(:class:`face_strnn.audit.findings.Remark`). It may end in one of the exceptions of :mod:`face_strnn.audit.run_files`:
:class:`NotCheckable`, :class:`Declared`, :class:`NotApplicable`.
"""

from collections.abc import Callable, Iterator

from face_strnn.audit import network_checks, store_checks, table_checks
from face_strnn.audit.published_list import published_list
from face_strnn.audit.run_files import RunFiles

CHECKS: tuple[tuple[str, str, Callable[[RunFiles], Iterator[str]]], ...] = (
    ("files", "Every file of the run is there, whole, and of this run.", lambda files: iter(files.problems)),
    (
        "settings",
        "config.yaml, summary.json and the checkpoints name the same settings.",
        network_checks.settings,
    ),
    (
        "classes",
        "All name the same classes in the same order, and the summary warns of each that a fold was not trained on.",
        table_checks.classes,
    ),
    (
        "published list",
        "Sequences, subjects and labels are those of the published list of CK+.",
        published_list,
    ),
    ("subjects", "No subject is on both sides of a fold.", table_checks.subjects),
    ("folds", "folds.csv is the protocol's own split, made anew.", table_checks.folds),
    (
        "rotated copies",
        "Rotated and flipped copies were used neither for epoch selection nor, unless configured, for testing.",
        table_checks.copies,
    ),
    (
        "tested once",
        "Every sequence was tested once per seed or ensemble, by the fold that held it out.",
        table_checks.tested_once,
    ),
    ("trained on", "Each network was trained only on its own fold's training samples.", network_checks.trained_on),
    (
        "selection",
        "No test data chose an epoch; each network is of the epoch that the selection asks for.",
        network_checks.selection,
    ),
    (
        "predictions",
        "Each prediction is its row's most probable class; an ensemble's rows are means of its members'.",
        table_checks.predictions,
    ),
    ("figures", "The figures of summary.json are those of predictions.csv, and of members.csv.", table_checks.figures),
    ("features", "The features are those that the run names.", store_checks.features),
    ("baselines", "The baselines have the figures of summary.json under the same folds.", store_checks.baselines),
    (
        "recomputed",
        "The checkpoints give the predictions, accuracies in training, and a chosen epoch's validation accuracy.",
        store_checks.recomputed,
    ),
)
"""Name, promise, and the function that yields what is wrong."""
