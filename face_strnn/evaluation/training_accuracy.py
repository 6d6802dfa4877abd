"""The accuracy of each network on sequences that it was trained on, beside that on its test sequences.

A leak shows here: a network that has seen its test subjects is as good on them as on its training subjects.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from face_strnn.evaluation.checkpoints import TrainedNetwork
from face_strnn.evaluation.folds import Fold
from face_strnn.evaluation.learners.learner import Learner
from face_strnn.evaluation.summary import NetworkScore
from face_strnn.training.samples import Samples


def seen_samples(samples: Samples, folds: Sequence[Fold], tested: Samples) -> dict[int, Samples]:
    """Return the samples of its training on which a fold's networks are asked again, by the fold's number.

    They are the sequences that the next fold tests, or, where these chose the epoch, the one after it. So each sequence
    is asked once in training as it is in test, and both accuracies are over the same ones.

    Args:
        samples: the training samples.
        folds: all folds, in order.
        tested: the test samples, of which the folds hold numbers.
    """
    held_out = [{entry.sequence for entry in tested.subset(fold.test).entries} for fold in folds]
    seen = {}
    for position, fold in enumerate(folds):
        originals = {samples.entries[n].sequence: n for n in np.intersect1d(fold.train, samples.original_numbers)}
        following = (*held_out[position + 1 :], *held_out[:position])
        asked = next(names for names in following if names <= originals.keys())
        seen[fold.number] = samples.subset(sorted(originals[name] for name in asked))
    return seen


def training_accuracy(learner: Learner, network: TrainedNetwork, seen: Samples) -> float:
    """Return a network's accuracy on samples of its training."""
    return float((learner.probabilities(network, seen).argmax(1) == seen.labels.numpy()).mean())


def network_scores(
    learner: Learner, networks: Sequence[TrainedNetwork], seen: Mapping[int, Samples], members: pd.DataFrame
) -> list[NetworkScore]:
    """Return every network's accuracy in training and in test.

    Args:
        learner: gives the networks' probabilities.
        networks: of all folds and seeds.
        seen: see :func:`seen_samples`.
        members: the predictions of the single networks.
    """
    held_out = held_out_accuracies(members)
    scores = []
    for network in networks:
        n_held_out, accuracy = held_out[network.fold, network.seed]
        samples = seen[network.fold]
        scores.append(
            NetworkScore(
                fold=network.fold,
                seed=network.seed,
                training_sequences=len(samples),
                training_accuracy=training_accuracy(learner, network, samples),
                held_out_sequences=n_held_out,
                held_out_accuracy=accuracy,
            )
        )
    return scores


def held_out_accuracies(members: pd.DataFrame) -> dict[tuple[int, int], tuple[int, float]]:
    """Return the number of test sequences of each (fold, seed) and the accuracy on them."""
    right = (members["truth"] == members["prediction"]).groupby([members["fold"], members["seed"]])
    return {(int(fold), int(seed)): (len(rows), float(rows.mean())) for (fold, seed), rows in right}
