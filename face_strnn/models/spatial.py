"""Equations (1) and (3) for a stack of networks, on any device: the choice of the kernel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from face_strnn.config import Config
from face_strnn.models.kernels.build import reason_unavailable, scan_kernel
from face_strnn.models.kernels.compiled import CompiledStates, Workspace
from face_strnn.models.kernels.portable import PortableStates
from face_strnn.models.scan import Scan
from face_strnn.models.time_steps import Taps

COMPILED = "kernel compiled for this processor"
"""What :func:`scan_backend` returns where the kernel computes the scan."""


def projected_states(
    frames: Tensor,
    steps: Sequence[Tensor] | Taps,
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

    :mod:`face_strnn.models.kernels.compiled` computes float32 on a CPU with a C++ compiler,
    :mod:`face_strnn.models.kernels.portable` everything else.

    Args:
        frames: (F, K, C), real frames of all sequences one after the other, any floating type.
        steps: for each sequence, (L, n) weights that make its L time steps of its n frames; or, for shapes that do not
            depend on the sequences' lengths, the taps of all of them among the batch's frames.
        U, W, b, G: (M, D, H, C), (M, D, H, H), (M, D, H), (M, D, K, Kp).
        scan: D directions over K nodes.
        relu: whether sigma is ReLU; else it is the logistic sigmoid.
        compute_type: of all products and of the kept states; the parameters' type by default. Gradients are summed in
            the parameters' type.
        workspace: memory that is reused from training step to training step; by default memory is newly allocated.

    Returns:
        (M, B * L, D, Kp, H): s^r_l of equation (3) for each of the B sequences' time steps, in the parameters' type.
    """
    compilable = U.dtype == (compute_type or U.dtype) == torch.float32 and U.device.type == "cpu"
    if compilable and not isinstance(steps, Taps):
        kernel, taps = scan_kernel(U.shape[2]), _two_taps(steps)
        if kernel is not None and taps is not None:
            n_frames, workspace = [step.shape[1] for step in steps], workspace or Workspace()
            return CompiledStates.apply(frames, taps, n_frames, U, W, b, G, scan, relu, kernel, workspace)
    return PortableStates.apply(frames, steps, U, W, b, G, scan, relu, compute_type)


def scan_backend(config: Config, device: torch.device | str = "cpu") -> str:
    """Name what computes the scan in training with these settings, and the reason if it is not the fastest backend."""
    device = torch.device(device)
    if config.network.variant == "trnn":
        return "none: the variant trnn has no spatial recurrent layer"
    if device.type != "cpu":
        return f"PyTorch's operations on {torch.cuda.get_device_name(device)}, recorded as a CUDA graph"
    if config.training.precision != "float32":
        return f"PyTorch's operations, because precision is {config.training.precision}"
    reason = reason_unavailable(config.network.spatial_hidden)
    return COMPILED if reason is None else f"PyTorch's operations, because {reason}"


def _two_taps(steps: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
    """The two frames of each time step and their weights, int32 and float32 (B, L, 2), as the kernel reads them.

    None if a time step is made of more than two frames, which no interpolation here does.
    """
    try:
        taps = [Taps.of(step) for step in steps]
    except ValueError:
        return None
    return torch.stack([one.frame for one in taps]).int(), torch.stack([one.weight for one in taps])
