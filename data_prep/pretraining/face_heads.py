"""Heads that predict a synthetic face's action units, landmarks, emotion, and change from rest."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.pretraining.synthetic_people import NO_EMOTION
from data_prep.pretraining.synthetic_store import SyntheticBatch
from data_prep.synthetic.action_units import ACTION_UNITS
from data_prep.synthetic.places import neutral_landmarks

_REDUCED = 64
_UNIT_STD = 0.3
"""Approximate standard deviation of an action unit's strength; dividing by it brings the losses to one scale."""
_LANDMARK_STD = 0.04
"""Standard deviation of a landmark around its mean position, as a share of the crop's side."""


@dataclass(frozen=True)
class Losses:
    """Each of them a mean, about 1 where nothing is known and 0 where all is."""

    units: Tensor
    change: Tensor
    landmarks: Tensor
    emotion: Tensor

    @property
    def total(self) -> Tensor:
        """Their weighted sum; units and their change are what the emotions are made of."""
        return self.units + self.change + 0.5 * self.landmarks + 0.5 * self.emotion


class FaceHeads(nn.Module):
    """Linear predictions from maps that are standardised and reduced to 64 channels.

    They are linear so that training improves the maps themselves, for any later network.

    Args:
        mean, std: of each channel of the starting maps, (channels,).
        grid: height and width of the maps.
        generator: of the first weights.
    """

    def __init__(self, mean: Tensor, std: Tensor, grid: tuple[int, int], generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("std", std[:, None, None])
        self.register_buffer("mean_places", torch.tensor(neutral_landmarks(), dtype=torch.float32))
        size = _REDUCED * grid[0] * grid[1]
        self.reduce = nn.Conv2d(len(mean), _REDUCED, 1, bias=False)
        self.units = nn.Linear(size, 2 * len(ACTION_UNITS))
        self.change = nn.Linear(size, 2 * len(ACTION_UNITS), bias=False)
        self.landmarks = nn.Linear(size, 2 * 68)
        self.emotion = nn.Linear(size, len(EMOTION_OF_CODE))
        for layer in (self.reduce, self.units, self.change, self.landmarks, self.emotion):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5, generator=generator)
        for layer in (self.units, self.landmarks, self.emotion):
            nn.init.zeros_(layer.bias)

    def standardised(self, maps: Tensor) -> Tensor:
        """Bring every channel to the starting maps' mean 0 and deviation 1."""
        return (maps - self.mean) / self.std

    def forward(self, maps: Tensor, batch: SyntheticBatch, faces_each: int) -> Losses:
        """Compute the losses of the predictions.

        Args:
            maps: (n, channels, h, w), a person's faces after one another, the one at rest first.
            batch: the ground truth.
            faces_each: faces of a person.
        """
        reduced = self.reduce(self.standardised(maps)).flatten(1)
        units = batch.units.flatten(1) / _UNIT_STD
        by_person = reduced.unflatten(0, (-1, faces_each))
        change = self.change(by_person[:, 1:] - by_person[:, :1])
        strengths = units.unflatten(0, (-1, faces_each))
        offsets = (batch.landmarks - self.mean_places).flatten(1) / _LANDMARK_STD
        return Losses(
            functional.mse_loss(self.units(reduced), units),
            functional.mse_loss(change, strengths[:, 1:] - strengths[:, :1]),
            functional.mse_loss(self.landmarks(reduced), offsets),
            functional.cross_entropy(self.emotion(reduced), batch.emotions, ignore_index=NO_EMOTION),
        )
