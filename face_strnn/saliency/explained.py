"""One held-out sequence attributed: by integrated gradients, and by the controls that they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from face_strnn.config import NetworkConfig
from face_strnn.models.strnn import STRNN, initial_parameters
from face_strnn.saliency.attribution import Baseline, baseline_of, gradient_times_change, integrated_gradients
from face_strnn.saliency.held_out import HeldOut, HeldOutSequence
from face_strnn.training.samples import channel_moments
from face_strnn.training.standardisation import Standardisation

PARTS = 10
"""Equal parts of a sequence whose attributions are kept apart, whatever its number of frames."""


@dataclass(frozen=True)
class Explained:
    """One held-out sequence, attributed to the logit of its true emotion.

    Attributes:
        sequence, emotion, fold: which one.
        logit_difference, residual: see :class:`face_strnn.saliency.attribution.Attribution`; means over the fold's
            networks.
        per_node: (h, w) integrated gradients, summed over time.
        absolute: (h, w) their absolute values, summed over time.
        course: (:data:`PARTS`,) sum over each part of the sequence.
        gradient: (h, w) absolute gradient times change, summed over time.
        untrained: (h, w) as ``absolute``, of the same networks before training.
        change: (h, w) absolute difference of the maps from the baseline's, summed over time and channels: no network.
    """

    sequence: str
    emotion: str
    fold: int
    logit_difference: float
    residual: float
    per_node: np.ndarray
    absolute: np.ndarray
    course: np.ndarray
    gradient: np.ndarray
    untrained: np.ndarray
    change: np.ndarray


class UntrainedNetworks:
    """Networks like a run's, initialised as for training and never trained: a control for attributions."""

    def __init__(self, held_out: HeldOut) -> None:
        self._held_out = held_out
        self._moments = channel_moments(held_out.samples)
        self._by_fold: dict[int, list[STRNN]] = {}

    def networks(self, fold: int, config: NetworkConfig) -> list[STRNN]:
        """Initialise as many networks as the fold has, standardised on its own training samples."""
        if fold not in self._by_fold:
            in_training = torch.zeros(1, len(self._held_out.samples), dtype=torch.bool)
            in_training[0, self._held_out.training_samples(fold)] = True
            standardisation = Standardisation.fit(self._moments, in_training)
            networks = []
            for seed in range(self._held_out.summary.seeds):
                drawn = initial_parameters(config, torch.Generator().manual_seed(1000 * seed + fold))
                folded = standardisation.fold_in({name: tensor.unsqueeze(0) for name, tensor in drawn.items()})
                network = STRNN(**vars(config))
                network.set_parameters({name: tensor[0] for name, tensor in folded.items()})
                networks.append(network)
            self._by_fold[fold] = networks
        return self._by_fold[fold]


def explain(
    held_out: HeldOut, sequence: HeldOutSequence, before_training: UntrainedNetworks, baseline: Baseline, steps: int
) -> Explained:
    """Attribute one test sequence, with its controls.

    Args:
        held_out: the run.
        sequence: one of its test sequences.
        before_training: the control networks.
        baseline: see :func:`face_strnn.saliency.attribution.baseline_of`.
        steps: see :func:`face_strnn.saliency.attribution.integrated_gradients`.
    """
    networks, maps = sequence.networks, sequence.maps.float()
    target, how = held_out.classes.index(sequence.entry.emotion), held_out.interpolation
    attribution = integrated_gradients(networks, maps, target, how, baseline, steps)
    untrained = before_training.networks(sequence.fold, networks[0].config)
    # A map needs fewer steps than a complete sum.
    control = integrated_gradients(untrained, maps, target, how, baseline, max(1, steps // 4))
    gradient = gradient_times_change(networks, maps, target, how, baseline)
    return Explained(
        sequence.entry.sequence,
        sequence.entry.emotion,
        sequence.fold,
        attribution.logit_difference,
        attribution.residual,
        attribution.per_node.sum(0).numpy(),
        attribution.per_node.abs().sum(0).numpy(),
        by_parts(attribution.per_node),
        gradient.abs().sum(0).numpy(),
        control.per_node.abs().sum(0).numpy(),
        (maps - baseline_of(maps, baseline)).abs().sum((0, 3)).numpy(),
    )


def by_parts(per_node: Tensor) -> np.ndarray:
    """Sum attributions over the face, and over ten equal parts of the time from the first frame to the last.

    A frame covers the time up to half-way to its neighbours; where it covers the edge of a part, its attribution is
    divided in proportion.

    Args:
        per_node: (frames, h, w).

    Returns:
        (:data:`PARTS`,); its sum is that of ``per_node``.
    """
    per_frame = per_node.sum((1, 2)).double().numpy()
    n = len(per_frame)
    if n == 1:
        return np.full(PARTS, per_frame[0] / PARTS)
    edges = np.concatenate([[0], (np.arange(n - 1) + 0.5) / (n - 1), [1]])
    so_far = np.concatenate([[0], np.cumsum(per_frame)])
    return np.diff(np.interp(np.linspace(0, 1, PARTS + 1), edges, so_far))


def mean_map(explained: Sequence[Explained], field: str) -> np.ndarray:
    """Return the mean over sequences of one of their maps, by the name of the attribute."""
    return np.mean([getattr(one, field) for one in explained], axis=0)
