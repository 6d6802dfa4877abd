"""The training step except the network: optimiser, learning rate, gradient clipping, dropout."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from face_strnn.config import TrainingConfig

LOWER_RATE = "start again with a lower rate, or a lower training.gradient_clip"
"""Remedy for a training that has diverged."""

OTHER_FOLDER = f"{LOWER_RATE}, and another --out"
"""The same for a run folder, whose settings stay as they are."""

UNDECAYED = ("spatial.b", "spatial.G", "temporal.b", "temporal.G")


def optimiser_of(parameters: Mapping[str, Tensor], settings: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a stack's parameters; its learning rate is a tensor, set before every step."""
    device = next(iter(parameters.values())).device
    rate = torch.tensor(settings.learning_rate, device=device)
    groups = [
        {
            "params": [tensor for name, tensor in parameters.items() if name not in UNDECAYED],
            "weight_decay": settings.weight_decay,
        },
        {"params": [tensor for name, tensor in parameters.items() if name in UNDECAYED], "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=rate, capturable=device.type == "cuda", foreach=device.type == "cuda")


def set_learning_rate(optimiser: torch.optim.Optimizer, step: int, n_steps: int, settings: TrainingConfig) -> None:
    """Set the learning rate of step number ``step`` of ``n_steps``, in place: a recorded CUDA graph reads it there."""
    for group in optimiser.param_groups:
        group["lr"].fill_(learning_rate(step, n_steps, settings))


def learning_rate(step: int, n_steps: int, settings: TrainingConfig) -> float:
    """Return a step's learning rate: a linear rise over the share ``warmup``, then constant or half a cosine."""
    if settings.schedule == "constant" and step >= settings.warmup * n_steps:
        return settings.learning_rate
    return settings.learning_rate * warmup_cosine(step, n_steps, settings.warmup)


def warmup_cosine(step: int, n_steps: int, share: float) -> float:
    """Return the factor, 0 to 1, of a learning rate: a linear rise over a share of all steps, then half a cosine."""
    rise = share * n_steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, n_steps - rise)))


def clip(parameters: Collection[Tensor], longest: float) -> None:
    """Shorten each network's gradient, over all its parameters together, to the norm ``longest``."""
    squares = sum(parameter.grad.flatten(1).square().sum(1) for parameter in parameters)
    factors = (longest / squares.sqrt().clamp(min=1e-12)).clamp(max=1)
    for parameter in parameters:
        parameter.grad.mul_(factors.view(-1, *[1] * (parameter.dim() - 1)))


def dropout_factors(seed_and_fold: tuple[int, int], step: int, shape: tuple[int, int], dropout: float) -> Tensor:
    """Draw the factors of one network's temporal projections q: 0, or 1 / (1 - dropout).

    Args:
        seed_and_fold: of the network. The draw depends only on them and on the step, not on the networks that are
            trained with it.
        step: number of the step.
        shape: (sequences, factors): of the whole batch, with the sequences that the network is not trained on, and
            :attr:`face_strnn.config.NetworkConfig.n_temporal_features`.
        dropout: probability of 0.

    Returns:
        float32 of that shape, see :func:`face_strnn.models.strnn.logits`.
    """
    seed, fold = seed_and_fold
    generator = torch.Generator().manual_seed(((1_000_003 * seed + fold) * 1_000_003 + step) % 2**63)
    return (torch.rand(shape, generator=generator) < 1 - dropout).float() / (1 - dropout)
