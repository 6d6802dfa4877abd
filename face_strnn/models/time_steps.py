"""From a sequence's real frames to the network's L time steps: linear by default, both ends kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from face_strnn.config import Interpolation


@lru_cache(maxsize=1024)
def time_steps(n_frames: int, length: int, how: Interpolation = "linear", device: torch.device | str = "cpu") -> Tensor:
    """Return the weights that make time steps of frames.

    Both ends are kept: step 0 is the first frame and step ``length - 1`` the last one, so that the network always sees
    the apex, which is the last frame of a CK+ sequence.

    Args:
        n_frames: number of real frames, at least 1.
        length: number of time steps L, at least 2.
        how: ``"linear"`` weights the two frames around a step; ``"nearest"`` takes the nearer one (the later one if
            both are equally near); ``"zero-pad"`` takes the frames as they are and then one more, number ``n_frames``,
            which the caller appends and fills with zeros; a sequence longer than ``length`` is shortened linearly.
        device: of the weights, which are cached for each device.

    Returns:
        float32 (length, n) with n = ``n_frames``, or ``n_frames`` + 1 for a padded sequence. Every row sums to 1.

    Raises:
        ValueError: fewer than 2 time steps, which cannot keep both ends.
    """
    if length < 2:
        raise ValueError(f"{length} time steps cannot keep the first and the last frame; take 2 or more")
    if how == "zero-pad" and n_frames < length:
        return torch.eye(n_frames + 1)[torch.arange(length).clamp(max=n_frames)].to(device)
    position = torch.linspace(0, n_frames - 1, length, dtype=torch.float64)
    if how == "nearest":
        return torch.eye(n_frames)[(position + 0.5).floor().long()].to(device)
    weights = (1 - (position[:, None] - torch.arange(n_frames)).abs()).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float().to(device)


@dataclass(frozen=True)
class Taps:
    """Time steps as sums of two weighted frames each; the shapes do not depend on the number of frames.

    Attributes:
        frame: int64 (steps, 2).
        weight: float32 (steps, 2).
        length: time steps L of one sequence; ``steps`` is a multiple of it.
    """

    frame: Tensor
    weight: Tensor
    length: int

    @classmethod
    def of(cls, steps: Tensor) -> "Taps":
        """Return the taps of (L, n) weights, of which no row has more than two.

        Raises:
            ValueError: a row has more.
        """
        weight, frame = steps.topk(min(3, steps.shape[1]), dim=1)
        if weight.shape[1] == 3 and weight[:, 2].any():
            raise ValueError("a time step of more than two frames")
        missing = (0, 2 - min(2, weight.shape[1]))
        return cls(*(torch.nn.functional.pad(part[:, :2], missing) for part in (frame, weight)), len(steps))


def in_time_steps(values: Tensor, steps: Sequence[Tensor] | Taps) -> Tensor:
    """Return values of real frames at the time steps.

    Args:
        values: (X, F, N) at the frames of all sequences, one sequence after the other.
        steps: for each sequence (L, n) weights over its n frames; or the taps of all time steps among the F frames.

    Returns:
        (X, steps, N), in the type of ``values``.
    """
    if isinstance(steps, Taps):
        first, second = (values.index_select(1, steps.frame[:, tap]) for tap in (0, 1))
        weight = steps.weight.to(values.dtype).unsqueeze(2)
        return first.mul_(weight[:, 0]).addcmul_(second, weight[:, 1])
    parts = values.split([weights.shape[1] for weights in steps], 1)
    return _joined([weights.to(part.dtype) @ part for weights, part in zip(steps, parts, strict=True)])


def at_frames(values: Tensor, steps: Sequence[Tensor] | Taps, n_frames: int) -> Tensor:
    """Return the transpose of :func:`in_time_steps`: (X, steps, N) -> (X, F, N), F = ``n_frames``."""
    if isinstance(steps, Taps):
        frames = values.new_zeros(values.shape[0], n_frames, values.shape[2])
        weight = steps.weight.to(values.dtype).unsqueeze(2)
        for tap in (0, 1):
            frames.index_add_(1, steps.frame[:, tap], values * weight[:, tap])
        return frames
    parts = values.split([len(weights) for weights in steps], 1)
    return _joined([weights.T.to(part.dtype) @ part for weights, part in zip(steps, parts, strict=True)])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the second dimension; a single part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
