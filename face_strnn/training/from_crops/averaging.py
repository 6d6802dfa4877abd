"""The average of weights over the steps of a training."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average: a step's weights count ``decay`` times as much as those of the step after it.

    The weights before the first step do not count. A moving average that starts with them would keep ``decay``
    to the power of the number of steps of them, 60 % of a training of 500 steps at 0.999; how much of the initial
    weights stays is for ``share`` of :class:`face_strnn.config.FinetuningConfig` to say.

    Args:
        decay: at least 0, below 1.
        named: the weights, each with a unique name; they are copied.

    Attributes:
        tensors: the average by name; until the first step the weights as given.
        n_steps: number of steps so far.
    """

    def __init__(self, decay: float, named: Iterable[tuple[str, Tensor]]) -> None:
        self._decay, self.n_steps = decay, 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in named}

    @torch.no_grad()
    def update(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """Take the weights after a step."""
        self.n_steps += 1
        weight = (1 - self._decay) / (1 - self._decay**self.n_steps)
        for name, tensor in named:
            self.tensors[name].lerp_(tensor, weight)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` takes."""
        return {"n_steps": self.n_steps, "tensors": self.tensors}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any], n_steps: int) -> None:
        """Go on from a state.

        Args:
            state: of :meth:`state`.
            n_steps: number of steps that the training has taken.

        Raises:
            KeyError, RuntimeError, ValueError: it is none of an average of these weights over that many steps.
        """
        for name, tensor in self.tensors.items():
            tensor.copy_(state["tensors"][name])
            if not tensor.isfinite().all():
                raise ValueError(f"the average of {name} is not finite")
        if state["n_steps"] != n_steps:
            raise ValueError("an average over another number of steps")
        self.n_steps = n_steps
