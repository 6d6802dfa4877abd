"""The loss, equation (10), for a stack of networks."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from face_strnn.models.strnn import Parameters


def mean_cross_entropy(logits: Tensor, classes: Tensor, train_mask: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return each network's mean cross entropy over the sequences that it is trained on.

    Args:
        logits: (M, B, classes).
        classes: int64 (B,), the labels.
        train_mask: bool (M, B); False hides a sequence, such as a held-out subject's, from a network.
        label_smoothing: share of the label that is distributed over all classes.

    Returns:
        (M,); 0 for a network that is trained on none of them.
    """
    n_networks, n_sequences, n_classes = logits.shape
    # Hidden logits are replaced, not multiplied by zero: an infinite one would turn the gradient into NaN.
    logits = torch.where(train_mask.unsqueeze(2), logits, 0.0)
    entropies = cross_entropy(
        logits.reshape(-1, n_classes), classes.repeat(n_networks), reduction="none", label_smoothing=label_smoothing
    ).view(n_networks, n_sequences)
    return (entropies * train_mask).sum(1) / train_mask.sum(1).clamp(min=1)


def sparsity_penalty(parameters: Parameters, lambda1: float, lambda2: float) -> Tensor:
    """Return each network's lambda1 * sum |G^r| + lambda2 * (sum |G^f| + sum |G^b|): (M,).

    An ablation has only one of the two projections, and only its penalty.
    """
    weights = {"spatial.G": lambda1, "temporal.G": lambda2}
    return sum(
        weight * parameters[name].abs().flatten(1).sum(1) for name, weight in weights.items() if name in parameters
    )
