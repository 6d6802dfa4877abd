"""Answers to test sequences: a network's, their mean over a sequence's variants, their mean over an ensemble."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from data_prep.store.store import StoredSequence
from face_strnn.evaluation.metrics import accuracy
from face_strnn.models.strnn import STRNN
from face_strnn.training.samples import Samples

PREDICTION_COLUMNS = ["sequence", "subject", "fold", "seed", "truth", "prediction"]
"""Of ``predictions.csv``, a row per sequence and seed; a column ``p_CLASS`` for each class follows."""

ENSEMBLE_COLUMNS = [name for name in PREDICTION_COLUMNS if name != "seed"]
"""The same where there are no seeds, or one prediction for all of them: a row per sequence."""

FOLD_COLUMNS = ["fold", "sequence", "subject", "emotion", "rotation", "flip", "role"]
"""Of ``folds.csv``, a row per sample and fold that it has a role in."""

UNROTATED = "unrotated"
"""What ``summary.json`` says was tested where the protocol was followed: the sequences as they were taken."""

MEMBERS_FILE = "members.csv"
"""Of a run of an ensemble: what ``predictions.csv`` is without one, a row per sequence and seed."""

SEQUENCES_PER_BATCH = 16


def tested_words(n_variants: int) -> str:
    """Say what was tested: ``"unrotated"``, or ``"mean over 5 variants"`` of every sequence."""
    return UNROTATED if n_variants == 1 else f"mean over {n_variants} variants"


def averaging_words(summary: Mapping[str, Any]) -> str:
    """Say over what a run's figures are averaged: ``"ensemble of 5, mean over 14 variants"``; empty where over nothing.

    Args:
        summary: the contents of a run's ``summary.json``.
    """
    ensemble, tested = summary.get("ensemble"), summary.get("tested", UNROTATED)
    return ", ".join([*([f"ensemble of {ensemble}"] if ensemble else []), *([tested] if tested != UNROTATED else [])])


@torch.inference_mode()
def sequence_answers(
    model: STRNN, samples: Samples, numbers: Sequence[int] | np.ndarray, interpolation: str
) -> Iterator[tuple[StoredSequence, np.ndarray]]:
    """Yield each sequence with a network's probabilities, the mean over those of its variants that are asked for.

    Args:
        model: the network.
        samples: the features.
        numbers: of the samples to ask it about, at least one, all variants of a sequence after one another.
        interpolation: how a sequence becomes time steps.

    Yields:
        The first of the sequence's samples, and float64 (classes,).
    """
    batches = np.array_split(np.asarray(numbers), -(-len(numbers) // SEQUENCES_PER_BATCH))
    outputs = [model.logits_of_sequences([samples[n] for n in batch], interpolation) for batch in batches]
    probabilities = torch.cat(outputs).double().softmax(1).numpy()
    entries = [samples.entries[n] for n in numbers]
    begins = [n for n, entry in enumerate(entries) if n == 0 or entry.sequence != entries[n - 1].sequence]
    for begin, end in zip(begins, [*begins[1:], len(entries)], strict=True):
        yield entries[begin], probabilities[begin:end].mean(0)


def ensemble_answers(members: pd.DataFrame) -> pd.DataFrame:
    """Return the answers of ensembles: the mean probabilities of a fold's networks, one row per sequence.

    Args:
        members: one row per sequence and seed, with the columns ``sequence``, ``subject``, ``fold``, ``seed``,
            ``truth``, ``prediction`` and one ``p_CLASS`` for every class.

    Returns:
        The same columns but ``seed``, in ascending order of sequence.
    """
    columns = [name for name in members if name.startswith("p_")]
    means = members.groupby(["sequence", "subject", "fold", "truth"], as_index=False)[columns].mean()
    best = means[columns].to_numpy().argmax(1)
    means.insert(4, "prediction", [columns[place].removeprefix("p_") for place in best])
    return means


def member_figures(members: pd.DataFrame) -> dict[str, Any]:
    """Return ``members`` of ``summary.json``: what the networks of an ensemble are worth alone. Fractions from 0 to 1.

    Args:
        members: see :func:`ensemble_answers`.

    Returns:
        ``seeds`` and their ``accuracies``, the ``mean`` of these, and ``std`` of the sample (n - 1).
    """
    of_seed = {int(seed): accuracy(rows) for seed, rows in members.groupby("seed")}
    values = list(of_seed.values())
    return {
        "seeds": list(of_seed),
        "accuracies": values,
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }
