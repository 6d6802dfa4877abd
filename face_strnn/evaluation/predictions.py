"""The tables of predictions: one row per test sequence and network, and their mean over an ensemble."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from data_prep.store.store import StoredSequence
from face_strnn.evaluation.metrics import accuracy
from face_strnn.evaluation.summary import MemberScores, Summary

PREDICTION_COLUMNS = ["sequence", "subject", "fold", "seed", "truth", "prediction"]
"""Columns of ``predictions.csv``, one row per sequence and seed; a column ``p_CLASS`` for each class follows."""

ENSEMBLE_COLUMNS = [name for name in PREDICTION_COLUMNS if name != "seed"]
"""Columns without seeds, or with one prediction for all seeds: one row per sequence."""

ORIGINALS = "unrotated"
"""Value of ``tested`` in ``summary.json`` if only the original sequences were tested, which is the protocol."""

PREDICTIONS_FILE = "predictions.csv"

MEMBERS_FILE = "members.csv"
"""Predictions of an ensemble's networks, one row per sequence and seed: ``predictions.csv`` without an ensemble."""


def probability_columns(classes: Iterable[str]) -> list[str]:
    """Return the columns that hold the probabilities of classes."""
    return [f"p_{name}" for name in classes]


def prediction_table(
    entries: Sequence[StoredSequence],
    predicted: np.ndarray,
    classes: Sequence[str],
    fold: int,
    seed: int | None = None,
) -> pd.DataFrame:
    """Return the predictions of one network or baseline for a fold's test sequences.

    Args:
        entries: the test samples, the variants of a sequence one after another.
        predicted: (len(entries), classes) probabilities; those of a sequence are the mean over its variants, and its
            prediction is the most probable class; or int (len(entries),), a baseline's labels.
        classes: the class names.
        fold: from 1.
        seed: of the network; None omits the column.

    Returns:
        Columns :data:`ENSEMBLE_COLUMNS`, ``seed`` if given, and one ``p_CLASS`` per class for probabilities.
    """
    sequences = [entry.sequence for entry in entries]
    first = [n for n, name in enumerate(sequences) if n == 0 or name != sequences[n - 1]]
    labels, probabilities = predicted, None
    if predicted.ndim == 2:
        probabilities = np.stack([variants.mean(0) for variants in np.split(predicted, first[1:])])
        labels = probabilities.argmax(1)
    tested = [entries[n] for n in first]
    table = pd.DataFrame(
        {
            "sequence": [entry.sequence for entry in tested],
            "subject": [entry.subject for entry in tested],
            "fold": fold,
            **({} if seed is None else {"seed": seed}),
            "truth": [entry.emotion for entry in tested],
            "prediction": [classes[label] for label in labels],
        }
    )
    if probabilities is not None:
        table[probability_columns(classes)] = probabilities
    return table


def in_order(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the networks' tables as one, in ascending order of seed and sequence."""
    return pd.concat(tables, ignore_index=True).sort_values(["seed", "sequence"], kind="stable")


def ensemble_predictions(members: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of ensembles: the mean probabilities of a fold's networks, one row per sequence.

    Args:
        members: one row per sequence and seed, see :func:`prediction_table`.

    Returns:
        The same columns without ``seed``, in ascending order of sequence.
    """
    columns = [name for name in members if name.startswith("p_")]
    means = members.groupby(["sequence", "subject", "fold", "truth"], as_index=False)[columns].mean()
    best = means[columns].to_numpy().argmax(1)
    means.insert(4, "prediction", [columns[column].removeprefix("p_") for column in best])
    return means


def member_scores(members: pd.DataFrame) -> MemberScores:
    """Return the accuracies of an ensemble's single networks, seed by seed; see :func:`ensemble_predictions`."""
    by_seed = {int(seed): accuracy(rows) for seed, rows in members.groupby("seed")}
    values = list(by_seed.values())
    return MemberScores(
        seeds=list(by_seed),
        accuracies=values,
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )


def tested_words(n_variants: int) -> str:
    """Return what was tested: ``"unrotated"``, or ``"mean over 5 variants"`` of every sequence."""
    return ORIGINALS if n_variants == 1 else f"mean over {n_variants} variants"


def averaging_words(summary: Summary) -> str:
    """Return what a run's predictions are averaged over: ``"ensemble of 5, mean over 14 variants"``; else empty."""
    ensemble = [f"ensemble of {summary.ensemble}"] if summary.ensemble else []
    return ", ".join([*ensemble, *([summary.tested] if summary.tested != ORIGINALS else [])])
