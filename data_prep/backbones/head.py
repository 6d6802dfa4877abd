"""A linear classifier of single frames on a backbone's maps, as pretraining on labelled images leaves it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_prep.backbones.naming import pool_channels


@dataclass(frozen=True, eq=False)
class Head:
    """Logits of one frame: the mean of each channel over the nodes of its maps, then a linear layer.

    Attributes:
        weight: (classes, channels).
        bias: (classes,).
        classes: emotions, neutral perhaps among them.
        maps: the pooling layer that it stands on, such as ``"pool4"``.
    """

    weight: Tensor
    bias: Tensor
    classes: tuple[str, ...]
    maps: str

    def probabilities(self, maps: Tensor) -> Tensor:
        """Return each class's probability for every frame: float32 (frames, classes).

        Args:
            maps: (frames, h, w, channels), of any number of nodes.
        """
        means = maps.float().mean(dim=(1, 2))
        return torch.softmax(means @ self.weight.float().T + self.bias.float(), dim=1)

    def half(self) -> "Head":
        """Return it with weight and bias in float16."""
        return replace(self, weight=self.weight.half(), bias=self.bias.half())

    def misfit(self, architecture: str) -> str | None:
        """Say why it is no classifier of a network's maps; None if it is one."""
        channels = pool_channels(architecture).get(self.maps)
        if channels is None:
            return f"it stands on {self.maps[:20]}, which is no pooling layer of a {architecture}"
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            return "its classes are fewer than two, or named twice"
        shapes = tuple(self.weight.shape), tuple(self.bias.shape)
        expected = (len(self.classes), channels), (len(self.classes),)
        if shapes != expected:
            return f"weight and bias are of shapes {shapes} and should be of {expected}"
        if not (self.weight.isfinite().all() and self.bias.isfinite().all()):
            return "it holds NaN or infinity"
        return None
