"""What a backbone is asked about a drawn face: its action units, its landmarks, its emotion, and what has changed."""

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
_UNIT_SPREAD = 0.3
"""Standard deviation of a drawn unit's strength, about; divides it, so that the losses are of one size."""
_PLACE_SPREAD = 0.04
"""Of a landmark around its mean place, as a share of the crop's side."""


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
    """Linear answers from maps that are standardised and reduced to 64 channels.

    They are linear so that what is learned lies in the maps and can be read from them by whatever comes after.

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
        """Compare the answers with the truth.

        Args:
            maps: (n, channels, h, w), a person's faces after one another, the one at rest first.
            batch: what was drawn.
            faces_each: faces of a person.
        """
        reduced = self.reduce(self.standardised(maps)).flatten(1)
        units = batch.units.flatten(1) / _UNIT_SPREAD
        of_person = reduced.unflatten(0, (-1, faces_each))
        change = self.change(of_person[:, 1:] - of_person[:, :1])
        drawn = units.unflatten(0, (-1, faces_each))
        places = (batch.landmarks - self.mean_places).flatten(1) / _PLACE_SPREAD
        return Losses(
            functional.mse_loss(self.units(reduced), units),
            functional.mse_loss(change, drawn[:, 1:] - drawn[:, :1]),
            functional.mse_loss(self.landmarks(reduced), places),
            functional.cross_entropy(self.emotion(reduced), batch.emotions, ignore_index=NO_EMOTION),
        )
