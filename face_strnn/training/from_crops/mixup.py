"""Mixup (Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018) of sequences: their maps, time step by time step, and labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_prep.faces.augmentation import seed_of
from face_strnn.models.strnn import MapBatch
from face_strnn.models.time_steps import in_time_steps


@dataclass(frozen=True)
class Mixture:
    """How the sequences of a batch are mixed.

    Attributes:
        partners: int64 (B,): the sequence with which each is mixed, perhaps itself.
        share: weight of the sequence itself, 0 to 1; that of its partner is the rest.
    """

    partners: Tensor
    share: float

    @classmethod
    def draw(cls, alpha: float, n_sequences: int, key: str) -> "Mixture":
        """Draw a permutation of a batch, and one share for all of it from Beta(alpha, alpha).

        Args:
            alpha: above 0; the larger, the nearer to one half.
            n_sequences: in the batch.
            key: the draw depends only on it.
        """
        generator = np.random.default_rng(seed_of(key))
        return cls(torch.from_numpy(generator.permutation(n_sequences)), float(generator.beta(alpha, alpha)))

    def of_maps(self, batch: MapBatch) -> MapBatch:
        """Return the mixed maps: sequences of any length are brought to L time steps first."""
        steps = in_time_steps(batch.frames.flatten(1).unsqueeze(0), batch.steps)[0]
        sequences = steps.unflatten(0, (-1, batch.length))
        mixed = torch.lerp(sequences[self.partners], sequences, self.share)
        every_step = torch.eye(batch.length, device=mixed.device)
        nodes = mixed.flatten(0, 1).unflatten(1, batch.frames.shape[1:])
        return MapBatch(nodes, [every_step] * len(sequences))

    def of_scores(self, own: Tensor, of_partners: Tensor) -> Tensor:
        """Return the loss, or accuracy, of mixed sequences from those for their own labels and their partners'."""
        return self.share * own + (1 - self.share) * of_partners
