"""Where on the face the spatial projection looks (the paper's Fig. 6).

A row of G^r is a place on the face in every direction r (row k is the node at row k // w, column k % w), so
directions are averaged as they are, without mirroring.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from data_prep.errors import BadInput

_REMEDY = "delete it and run `face-strnn cv` again with the same --out: it resumes"
_PROJECTION = "spatial.G"


@dataclass(frozen=True)
class Saliency:
    """The weight of each place of the grid in the spatial projection.

    Every fold's map sums to 1: a value is that place's share of the fold's weight, 1 / (h * w) when all places count
    alike. Folds differ in the overall size of G, which the later layers can undo, so without this a fold with large
    weights would outvote the others; and a maximum of 1 would hang each map on its one noisiest place.

    Attributes:
        mean: (h, w) mean over folds.
        per_fold: (folds, h, w), in the order of the checkpoints.
    """

    mean: np.ndarray
    per_fold: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """(h, w) standard deviation over folds (n - 1); zeros with one fold."""
        return self.per_fold.std(axis=0, ddof=1) if len(self.per_fold) > 1 else np.zeros_like(self.mean)


def projection_saliency(checkpoints: list[Path]) -> Saliency:
    """Average |G^r| over its columns and the directions, for each checkpoint, on the checkpoint's own grid.

    Args:
        checkpoints: one safetensors file per fold, with ``spatial.G`` of shape (D, h * w, Kp) and the network's
            arguments as JSON under ``config`` in its metadata, ``grid`` (h, w) among them.

    Raises:
        BadInput: no checkpoint is given, one cannot be read, lacks ``spatial.G``, or has another grid than the first.
    """
    if not checkpoints:
        raise BadInput(
            "there are no checkpoints to read the spatial projection from; run `face-strnn cv` again with the same "
            "--out: it resumes"
        )
    maps = [_fold_map(path) for path in checkpoints]
    for path, fold_map in zip(checkpoints, maps, strict=True):
        if fold_map.shape != maps[0].shape:
            raise BadInput(
                f"{path}: its grid is {fold_map.shape}, that of {checkpoints[0].name} is {maps[0].shape}; "
                "the checkpoints of one run share a grid: start a new run in an empty --out"
            )
    per_fold = np.stack(maps)
    return Saliency(per_fold.mean(axis=0), per_fold)


def has_projection(checkpoint: Path) -> bool:
    """Whether a checkpoint's network projects over space; the ablation without a spatial layer does not.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        with safe_open(checkpoint, framework="numpy") as tensors:
            return _PROJECTION in tensors.keys()  # noqa: SIM118 (a handle of safetensors is no mapping)
    except (OSError, SafetensorError) as error:
        raise _unreadable(checkpoint, error) from error


def _fold_map(checkpoint: Path) -> np.ndarray:
    """Return one fold's (h, w) map, which sums to 1, or is 0 everywhere when the sparsity term emptied G."""
    projection, (height, width) = _read_projection(checkpoint)
    weight = np.abs(projection.astype(np.float64)).mean(axis=(0, 2))  # (h * w,)
    if not np.isfinite(weight).all():
        raise BadInput(f"{checkpoint}: {_PROJECTION} is not finite: training diverged; lower the learning rate")
    total = weight.sum()
    return (weight / total if total else weight).reshape(height, width)


def _read_projection(checkpoint: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """Return ``spatial.G`` (D, h * w, Kp) and the grid (h, w), reading nothing else of the file."""
    try:
        with safe_open(checkpoint, framework="numpy") as tensors:
            if _PROJECTION not in tensors.keys():  # noqa: SIM118
                raise BadInput(
                    f"{checkpoint}: has no {_PROJECTION}, so there is no saliency to draw; "
                    "use a run whose network has the spatial recurrent layer"
                )
            metadata = tensors.metadata() or {}
            projection = tensors.get_tensor(_PROJECTION)
    except (OSError, SafetensorError) as error:
        raise _unreadable(checkpoint, error) from error
    try:
        height, width = json.loads(metadata["config"])["grid"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{checkpoint}: its metadata does not give the network's grid; {_REMEDY}") from error
    if projection.ndim != 3 or projection.shape[1] != height * width:
        raise BadInput(
            f"{checkpoint}: {_PROJECTION} of shape {projection.shape} does not fit a grid of {height} x {width}; "
            f"{_REMEDY}"
        )
    return projection, (height, width)


def _unreadable(checkpoint: Path, error: Exception) -> BadInput:
    reason = "does not exist" if isinstance(error, FileNotFoundError) else f"is not a whole safetensors file ({error})"
    return BadInput(f"{checkpoint}: {reason}; {_REMEDY}")
