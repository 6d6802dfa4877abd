"""Attributions of one sequence: the share of each node and frame in a logit, by integrated gradients.

The projections' weights are the same for every input; attributions are a sequence's own. Integrated gradients
(Sundararajan et al., ICML 2017; here Captum's) integrate the gradient along the straight path from a baseline
to the sequence: the attributions sum to the difference of the two logits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from data_prep.errors import BadInput
from face_strnn.config import Interpolation
from face_strnn.models.strnn import STRNN

Baseline = Literal["first-frame", "zeros"]

STEPS = 32
"""Points on the path from the baseline. The logit is piecewise linear along it, with thousands of small kinks; on
trained networks 32 points leave a residual of a few thousandths of the logits' difference."""

FRAMES_AT_ONCE = 512
"""Frames, over points on the path, that are computed together: about 50 MB of maps, gradients and states each."""


@dataclass(frozen=True)
class Attribution:
    """Attributions to one logit of one sequence, or their mean over several networks.

    Attributes:
        per_node: (frames, h, w) what each node of each real frame adds to the logit, summed over its channels; negative
            where it speaks against the class.
        logit_difference: the logit of the sequence minus that of its baseline. ``per_node`` sums to it, but for
            ``residual``.
        residual: the error of the finite number of points: the sum of ``per_node`` minus ``logit_difference``.
    """

    per_node: Tensor
    logit_difference: float
    residual: float


def baseline_of(maps: Tensor, baseline: Baseline = "first-frame") -> Tensor:
    """Return what a sequence is compared with, of the sequence's own shape.

    Args:
        maps: (frames, h, w, C).
        baseline: ``"first-frame"``: the first frame, neutral in CK+, repeated. The subject's appearance is in both and
            gets no credit: attributions show what the change of the face adds. ``"zeros"``: maps of zeros,
            which no face gives; attributions then credit the resting face, too.

    Raises:
        BadInput: no such baseline.
    """
    if baseline not in get_args(Baseline):
        raise BadInput(f"--baseline {baseline}: must be one of {', '.join(get_args(Baseline))}")
    return maps[:1].expand_as(maps) if baseline == "first-frame" else torch.zeros_like(maps)


def integrated_gradients(
    networks: Sequence[STRNN],
    maps: Tensor,
    target: int,
    interpolation: Interpolation = "linear",
    baseline: Baseline = "first-frame",
    steps: int = STEPS,
) -> Attribution:
    """Attribute one class's logit to the nodes of a sequence's real frames.

    Args:
        networks: attributions are averaged over them; at least one.
        maps: (frames, h, w, C), as stored, of any floating type.
        target: number of the class.
        interpolation: how the networks bring a sequence to their time steps.
        baseline: see :func:`baseline_of`.
        steps: points of the Gauss-Legendre rule on the path from the baseline.

    Raises:
        BadInput: no such baseline, ``steps`` below 1, or maps that do not fit the network.
    """
    if steps < 1:
        raise BadInput(f"--steps {steps}: must be at least 1")
    maps = maps.float()
    start = baseline_of(maps, baseline)
    points_at_once = max(1, FRAMES_AT_ONCE // len(maps))

    maps_of_networks, residuals = [], []
    for network in networks:
        attributions, residual = IntegratedGradients(_logits_of(network, interpolation)).attribute(
            maps[None],
            start[None],
            target=target,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=points_at_once,
            return_convergence_delta=True,
        )
        maps_of_networks.append(attributions[0].double().sum(-1))
        residuals.append(float(residual))
    per_node, residual = torch.stack(maps_of_networks).mean(0), sum(residuals) / len(residuals)
    return Attribution(per_node, float(per_node.sum()) - residual, residual)


def gradient_times_change(
    networks: Sequence[STRNN],
    maps: Tensor,
    target: int,
    interpolation: Interpolation = "linear",
    baseline: Baseline = "first-frame",
) -> Tensor:
    """Attribute by the gradient at the sequence alone, times its difference from the baseline.

    One point instead of a path: cheaper, but not complete; the more the network is curved, the larger the residual.
    Arguments are those of :func:`integrated_gradients`.

    Returns:
        (frames, h, w), as the ``per_node`` of an :class:`Attribution`.
    """
    maps = maps.float()
    change = maps - baseline_of(maps, baseline)
    maps_of_networks = []
    for network in networks:
        at = maps[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(_logits_of(network, interpolation)(at)[0, target], at)
        maps_of_networks.append((gradient[0] * change).double().sum(-1))
    return torch.stack(maps_of_networks).mean(0)


def _logits_of(network: STRNN, interpolation: Interpolation) -> Callable[[Tensor], Tensor]:
    def logits(maps: Tensor) -> Tensor:  # (B, frames, h, w, C) -> (B, classes)
        return network.logits_of_sequences(maps.unbind(0), interpolation)

    return logits
