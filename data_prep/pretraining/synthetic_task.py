"""Training on synthetic people: losses of each face's predictions, and distillation of the initial maps."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.backbones.split import SplitBackbone
from data_prep.pretraining.face_heads import FaceHeads
from data_prep.pretraining.synthetic_store import SyntheticBatch, SyntheticStore

PEOPLE_PER_BATCH = 8
VALIDATION_SHARE = 0.1
"""Share of the people for validation."""


class SyntheticTask:
    """A task of :func:`data_prep.pretraining.learning.learn`.

    Args:
        backbone: what learns; it must not have learned yet.
        store: whose people it learns from, all drawn.
        keep: weight of the mean squared difference to the starting maps, standardised (feature distillation, as in
            Li and Hoiem, "Learning without Forgetting", ECCV 2016), so that training on synthetic faces does not make
            it forget real images.
        seed: of the heads and of the order of the people.
    """

    def __init__(self, backbone: SplitBackbone, store: SyntheticStore, keep: float, seed: int) -> None:
        self.backbone, self.store, self.keep, self.seed = backbone, store, keep, seed
        n_validation = max(1, round(VALIDATION_SHARE * store.people))
        self.learned_from = range(store.people - n_validation)
        self.validation = range(store.people - n_validation, store.people)
        self.steps = -(-len(self.learned_from) // PEOPLE_PER_BATCH)
        maps = self._first_maps()
        generator = torch.Generator().manual_seed(seed)
        deviation, mean = torch.std_mean(maps, dim=(0, 2, 3))
        # A channel that is silent on these faces must not blow up on others.
        deviation = deviation.clamp(min=float(deviation.median()) / 10)
        self.heads = FaceHeads(mean, deviation, tuple(maps.shape[2:]), generator).to(backbone.whole.device)

    def batches(self, epoch: int) -> Iterator[SyntheticBatch]:
        """Give all people once, eight at a time, in an order of the epoch's own."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.learned_from))
        for first in range(0, len(order), PEOPLE_PER_BATCH):
            yield self._read(order[first : first + PEOPLE_PER_BATCH])

    def loss(self, batch: SyntheticBatch, heads_only: bool) -> Tensor:
        """Return the heads' loss, plus the pull towards the starting maps."""
        if heads_only:
            return self.heads(batch.starting, batch, self.store.faces_each).total
        maps = self.backbone.maps(batch.below)
        loss = self.heads(maps, batch, self.store.faces_each).total
        if batch.starting is None:
            return loss
        kept = functional.mse_loss(self.heads.standardised(maps), self.heads.standardised(batch.starting))
        return loss + self.keep * kept

    def validation_loss(self, _: int) -> float:
        """Return the heads' mean loss on people that nothing is learned from."""
        total = 0.0
        with self.backbone.evaluated():
            for first in range(0, len(self.validation), PEOPLE_PER_BATCH):
                people = self.validation[first : first + PEOPLE_PER_BATCH]
                batch = self._read(people)
                maps = self.backbone.maps(batch.below)
                total += len(people) * float(self.heads(maps, batch, self.store.faces_each).total)
        return total / len(self.validation)

    def _read(self, people: np.ndarray | range) -> SyntheticBatch:
        batch = self.store.batch([int(person) for person in people])
        tensors = (batch.below, batch.starting, batch.units, batch.landmarks, batch.emotions)
        return SyntheticBatch(
            *(None if tensor is None else tensor.to(self.backbone.whole.device) for tensor in tensors)
        )

    @torch.no_grad()
    def _first_maps(self) -> Tensor:
        batch = self._read(self.learned_from[:64])
        if batch.starting is not None:
            return batch.starting
        # A copy, because statistics of batch norm would count this pass.
        return deepcopy(self.backbone.trained)(self.backbone.frozen_maps(batch.below))
