"""Training that has diverged is stopped, before its state replaces the last good one on disk."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from data_prep.errors import BadInput


def require_finite(training: str, rate: str, quantities: Mapping[str, Iterable[Tensor | float]], remedy: str) -> None:
    """Stop a training of which something is NaN or infinite.

    Call it once an epoch, before its state is saved: it waits for the device, which a single step should not.

    Args:
        training: which network, and when, such as ``"fold 1, seed 0, epoch 3"``.
        rate: the learning rate, such as ``"training.learning_rate 0.002"``.
        quantities: what must be finite, by its name in the message, such as ``"loss"``.
        remedy: what to do, for the end of the message.

    Raises:
        BadInput: something is not finite; the message names it, the training and its learning rate.
    """
    if wrong := [name for name, values in quantities.items() if not _are_finite(values)]:
        raise BadInput(f"{training}: training has diverged at {rate}: {' and '.join(wrong)} not finite; {remedy}")


def _are_finite(values: Iterable[Tensor | float]) -> bool:
    return bool(torch.stack([torch.as_tensor(value).isfinite().all() for value in values]).all())
