"""The tables of predictions: one row per test sequence and network, and their mean over an ensemble."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from data_prep.store.store import StoredSequence
from face_strnn.evaluation.metrics import accuracy
from face_strnn.evaluation.summary import MemberScores, Summary

PREDICTION_COLUMNS = ["sequence", "subject", "fold", "seed", "truth", "prediction"]
"""Of ``predictions.csv``, a row per sequence and seed; a column ``p_CLASS`` for each class follows."""

ENSEMBLE_COLUMNS = [name for name in PREDICTION_COLUMNS if name != "seed"]
"""The same where there are no seeds, or one prediction for all of them: a row per sequence."""

ORIGINALS = "unrotated"
"""What ``summary.json`` says was tested where the protocol was followed: the original sequences."""

PREDICTIONS_FILE = "predictions.csv"

MEMBERS_FILE = "members.csv"
"""Of a run of an ensemble: what ``predictions.csv`` is without one, a row per sequence and seed."""

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
        entries: the tested samples, all variants of a sequence after one another.
        predicted: (len(entries), classes) probabilities, of which a sequence gets the mean over its variants and the
            most probable class; or int (len(entries),), a baseline's labels.
        classes: the class names.
        fold: from 1.
        seed: of the network; no such column where it is None.

    Returns:
        Columns :data:`ENSEMBLE_COLUMNS`, ``seed`` where it is given, and one ``p_CLASS`` per class for probabilities.
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
        members: one row per sequence and seed, as :func:`prediction_table` has it.

    Returns:
        The same columns but ``seed``, in ascending order of sequence.
    """
    columns = [name for name in members if name.startswith("p_")]
    means = members.groupby(["sequence", "subject", "fold", "truth"], as_index=False)[columns].mean()
    best = means[columns].to_numpy().argmax(1)
    means.insert(4, "prediction", [columns[column].removeprefix("p_") for column in best])
    return means


def member_scores(members: pd.DataFrame) -> MemberScores:
    """Return what the networks of an ensemble reach alone, seed by seed; see :func:`ensemble_predictions`."""
    of_seed = {int(seed): accuracy(rows) for seed, rows in members.groupby("seed")}
    values = list(of_seed.values())
    return MemberScores(
        seeds=list(of_seed),
        accuracies=values,
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )


def tested_words(n_variants: int) -> str:
    """Say what was tested: ``"unrotated"``, or ``"mean over 5 variants"`` of every sequence."""
    return ORIGINALS if n_variants == 1 else f"mean over {n_variants} variants"


def averaging_words(summary: Summary) -> str:
    """Say over what a run's predictions are means: ``"ensemble of 5, mean over 14 variants"``; else empty."""
    ensemble = [f"ensemble of {summary.ensemble}"] if summary.ensemble else []
    return ", ".join([*ensemble, *([summary.tested] if summary.tested != ORIGINALS else [])])
