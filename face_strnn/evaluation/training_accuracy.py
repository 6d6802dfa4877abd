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


def seen_samples(samples: Samples, folds: Sequence[Fold], tested: Samples, is_finetuned: bool) -> dict[int, Samples]:
    """Return the samples of each fold's training on which its networks are asked again, by the fold's number.

    Args:
        samples: the training samples.
        folds: all folds, in order.
        tested: the test samples, of which the folds hold numbers.
        is_finetuned: whether maps are computed anew from crops, fold by fold, which takes long.

    Returns:
        The original training samples; of a fine-tuned network those of the following fold's test subjects, so that as
        many sequences are asked in training as in test.
    """
    seen = {}
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        numbers = np.intersect1d(fold.train, samples.original_numbers)
        if is_finetuned:
            names = {entry.sequence for entry in tested.subset(following.test).entries}
            numbers = [n for n in numbers if samples.entries[n].sequence in names]
        seen[fold.number] = samples.subset(numbers)
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
