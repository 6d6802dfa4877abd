"""Equations (1) and (3) for a stack of networks: one function, whatever computes it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from face_strnn.scan import Scan
from face_strnn.scan_kernel import scan_kernel
from face_strnn.spatial_compiled import CompiledStates, Workspace
from face_strnn.spatial_portable import PortableStates


def projected_states(
    frames: Tensor,
    steps: Sequence[Tensor],
    U: Tensor,
    W: Tensor,
    b: Tensor,
    G: Tensor,
    scan: Scan,
    relu: bool,
    compute_type: torch.dtype | None = None,
    workspace: Workspace | None = None,
) -> Tensor:
    """Sparse projections s of the spatial hidden states, for M stacked networks.

    float32 on a CPU with a C++ compiler is computed by :mod:`face_strnn.spatial_compiled`, everything else by
    :mod:`face_strnn.spatial_portable`.

    Args:
        frames: (F, K, C), real frames of all sequences one after the other, any floating type.
        steps: for each sequence, (L, n) weights that make its L time steps of its n frames; rows sum to 1.
        U, W, b, G: (M, D, H, C), (M, D, H, H), (M, D, H), (M, D, K, Kp).
        scan: D directions over K nodes.
        relu: whether sigma is ReLU; else it is the logistic sigmoid.
        compute_type: of all products and of the states that are kept; the parameters' type by default. Sums of
            gradients are in the parameters' type.
        workspace: memory that a training uses again from step to step; fresh memory where none is given.

    Returns:
        (M, B * L, D, Kp, H): s^r_l of equation (3) for each of the B sequences' time steps, in the parameters' type.
    """
    if U.dtype == (compute_type or U.dtype) == torch.float32 and U.device.type == "cpu":
        kernel, taps = scan_kernel(U.shape[2]), two_taps(steps)
        if kernel is not None and taps is not None:
            n_frames, workspace = [step.shape[1] for step in steps], workspace or Workspace()
            return CompiledStates.apply(frames, taps, n_frames, U, W, b, G, scan, relu, kernel, workspace)
    return PortableStates.apply(frames, steps, U, W, b, G, scan, relu, compute_type)


def two_taps(steps: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return the two frames of each time step and their weights, int32 and float32 (B, L, 2).

    None where a time step is made of more than two frames, which no way of interpolation here does.
    """
    frame, weight = [], []
    for step in steps:
        largest, where = step.topk(min(3, step.shape[1]), dim=1)
        if largest.shape[1] == 3 and largest[:, 2].any():
            return None
        frame.append(torch.nn.functional.pad(where[:, :2], (0, 2 - min(2, where.shape[1]))))
        weight.append(torch.nn.functional.pad(largest[:, :2], (0, 2 - min(2, largest.shape[1]))))
    return torch.stack(frame).to(torch.int32), torch.stack(weight)
