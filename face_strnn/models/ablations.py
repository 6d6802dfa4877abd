"""The ablations of the paper's Table IV: one recurrent layer becomes one fully connected layer.

The paper only says that the other recurrent layer "is merged into a full connection layer". Here that layer reads all
inputs of the recurrent layer at once and has the same activation, but neither recurrence nor projection G, because
there are no states to select. The rest of the network is unchanged.

- SRNN only: equations (5) to (7) become u = sigma(R [m_1; ...; m_L] + b), over all time steps at once, and (8) becomes
  o = V u.
- TRNN only: equations (1) to (4) become m_t = sigma(U [x_1; ...; x_K] + b), over all nodes of a time slice at once.

u has as many units as f_t. U, R, b and V keep their names; the leading dimension, of spatial or temporal directions,
is 1.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from face_strnn.models.time_steps import Taps, in_time_steps


def slices_fully_connected(
    parameters: Mapping[str, Tensor],
    frames: Tensor,
    steps: Sequence[Tensor] | Taps,
    sigma: Callable[[Tensor], Tensor],
    compute_type: torch.dtype,
) -> Tensor:
    """Return m of every time slice of M networks without a spatial recurrent layer.

    Args:
        parameters: ``spatial.U``, (M, 1, output, K * C), column k * C + c for channel c of node k, and ``spatial.b``,
            (M, 1, output).
        frames, steps: see :class:`face_strnn.models.strnn.MapBatch`; frames are (F, K, C).
        sigma: the activation.
        compute_type: of the product with the maps.

    Returns:
        (M, B * L, output), in the parameters' type.
    """
    U, b = parameters["spatial.U"].squeeze(1), parameters["spatial.b"]
    maps = frames.flatten(1).to(compute_type)  # (F, K * C)
    # The product is linear: frames, which are fewer, are interpolated to time steps after it.
    products = (maps @ U.to(compute_type).transpose(1, 2)).to(U.dtype)  # (M, F, output)
    return sigma(in_time_steps(products, steps) + b)


def steps_fully_connected(
    parameters: Mapping[str, Tensor], m: Tensor, sigma: Callable[[Tensor], Tensor], dropout: Tensor | None = None
) -> Tensor:
    """Return the logits of M networks without a temporal recurrent layer.

    Args:
        parameters: ``temporal.R``, (M, 1, H, L * output), column t * output + n for unit n of m_t; ``temporal.b``,
            (M, 1, H); ``temporal.V``, (M, 1, classes, H).
        m: (M, L, B, output).
        sigma: the activation.
        dropout: (M, B, H) factors of the layer's units.

    Returns:
        (M, B, classes).
    """
    R, b, V = (parameters[f"temporal.{name}"].squeeze(1) for name in "RbV")
    u = sigma(m.transpose(1, 2).flatten(2) @ R.transpose(1, 2) + b.unsqueeze(1))  # (M, B, H)
    if dropout is not None:
        u = u * dropout
    return u @ V.transpose(1, 2)
