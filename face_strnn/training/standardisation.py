"""Standardisation of the maps' channels, fitted to a network's own training samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from face_strnn.models.strnn import Parameters

ROUNDING = 1e-6
"""Standard deviation, as a share of the mean, that rounding alone leaves of the moments of a constant channel."""


@dataclass
class Standardisation:
    """Mean and standard deviation of every channel over a network's own training samples.

    It is fitted per network, so that no held-out subject's maps enter it, and it is folded into U and b: a saved model
    reads maps as stored, and computes exactly equation (1).

    Attributes:
        mean, std: (M, C).
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, moments: Tensor, train_mask: Tensor) -> "Standardisation":
        """Fit to (N, 3, C) moments (see :func:`face_strnn.training.samples.channel_moments`) under an (M, N) mask."""
        count, total, squares = torch.einsum("mn,nqc->qmc", train_mask.double(), moments)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        # A channel that is nearly always zero would otherwise be scaled up to the size of the others.
        return cls(mean.float(), torch.maximum(std, 0.1 * std.mean(1, keepdim=True)).float())

    @property
    def is_constant(self) -> Tensor:
        """Whether every channel has one value in all training samples, bool (M,): such maps cannot be standardised."""
        return (self.std <= ROUNDING * self.mean.abs()).all(1)

    def to(self, device: torch.device) -> "Standardisation":
        """Return the same on a device."""
        return Standardisation(self.mean.to(device), self.std.to(device))

    def fold_in(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return parameters for maps as stored, from parameters for standardised maps."""
        mean, std = self._per_input(parameters["spatial.U"])
        U = parameters["spatial.U"] / std
        b = parameters["spatial.b"] - (U @ mean.transpose(2, 3)).squeeze(-1)
        return {**parameters, "spatial.U": U, "spatial.b": b}

    def take_out(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return parameters for standardised maps, from parameters for maps as stored: undoes :meth:`fold_in`."""
        mean, std = self._per_input(parameters["spatial.U"])
        b = parameters["spatial.b"] + (parameters["spatial.U"] @ mean.transpose(2, 3)).squeeze(-1)
        return {**parameters, "spatial.U": parameters["spatial.U"] * std, "spatial.b": b}

    def _per_input(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the input of each column of U, (M, 1, 1, inputs)."""
        # A row of U reads one node's channels, or those of all nodes if there is no spatial recurrent layer.
        n_nodes = U.shape[3] // self.mean.shape[1]
        return tuple(part.repeat(1, n_nodes)[:, None, None, :] for part in (self.mean, self.std))
