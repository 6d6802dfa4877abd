"""The weights of the sparse projections, by node of the face (the paper's Fig. 6) and by time step.

A row of G^r is the same node in every direction r (row k is the node at row k // w, column k % w), so
directions are averaged as they are, without mirroring. A row of G^f and of G^b is the same time step.

These weights are the same for every input: they show where the network reads its states, not what it saw in a
sequence. For that see :mod:`face_strnn.saliency.attribution`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import index
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from data_prep.errors import BadInput

DIRECTIONS = ("top-left", "top-right", "bottom-left", "bottom-right")
"""The corners that the spatial RNNs start from, in the order of the first dimension of ``spatial.G``."""

WAYS = ("forward", "backward")
"""The temporal RNNs, in the order of the first dimension of ``temporal.G``."""

NEAR_ZERO = 0.01
"""Share of a matrix's largest entry below which an entry counts as switched off."""

_REMEDY = "delete it and run `face-strnn cv` again with the same --out: it resumes"
SPATIAL, TEMPORAL = "spatial.G", "temporal.G"
"""Names of the projections over space and over time in a checkpoint."""


@dataclass(frozen=True)
class Saliency:
    """The weight of each node of the grid in the spatial projection.

    Every network's map sums to 1: a value is that node's share of the network's weight, 1 / (h * w) in a uniform map.
    Networks differ in the overall size of G, which later layers can undo, so without this a fold with large weights
    would dominate the others; and a maximum of 1 would scale each map by its noisiest node.

    Attributes:
        weights: (networks, D, Kp, h, w) |G^r|, divided so that each network's mean over directions and columns sums
            to 1; networks, one per fold and seed, are in the order of the checkpoints.
    """

    weights: np.ndarray

    @cached_property
    def per_direction(self) -> np.ndarray:
        """(networks, D, h, w): mean over columns; a direction sums to 1 if it has a quarter of the weight."""
        return self.weights.mean(axis=2)

    @cached_property
    def per_network(self) -> np.ndarray:
        """(networks, h, w): mean over columns and directions, the paper's map of each network."""
        return self.weights.mean(axis=(1, 2))

    @cached_property
    def mean(self) -> np.ndarray:
        """(h, w) mean over networks."""
        return self.per_network.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """(h, w) standard deviation over networks (n - 1); zeros with one network."""
        return sample_std(self.per_network)

    @property
    def std_per_direction(self) -> np.ndarray:
        """(D, h, w) standard deviation of :attr:`per_direction` over networks (n - 1); zeros with one network."""
        return sample_std(self.per_direction)


@dataclass(frozen=True)
class KeptSteps:
    """The weight of each time step in the temporal projections.

    Attributes:
        per_network: (networks, 2, L) mean of |G^f| and of |G^b| over their columns, each way divided by its sum: 1 / L
            where all steps have the same weight.
    """

    per_network: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(2, L) mean over networks."""
        return self.per_network.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """(2, L) standard deviation over networks (n - 1); zeros with one network."""
        return sample_std(self.per_network)


def projection_saliency(checkpoints: list[Path]) -> Saliency:
    """Read |G^r| of each checkpoint, on the checkpoint's own grid.

    Args:
        checkpoints: one safetensors file per fold and seed, with ``spatial.G`` of shape (D, h * w, Kp) and the
            network's arguments as JSON under ``config`` in its metadata, ``grid`` (h, w) among them.

    Raises:
        BadInput: no checkpoint is given, one cannot be read, lacks ``spatial.G``, or has another grid than the first.
    """
    weights = [_fold_weights(path) for path in _at_least_one(checkpoints)]
    for path, weight in zip(checkpoints, weights, strict=True):
        for what, first, other in (
            ("grid", weights[0].shape[2:], weight.shape[2:]),
            ("spatial.G by direction and column", weights[0].shape[:2], weight.shape[:2]),
        ):
            if other != first:
                raise BadInput(
                    f"{path}: its {what} is {other}, that of {checkpoints[0].name} is {first}; "
                    f"the checkpoints of one run share a {what.split()[0]}: start a new run in an empty --out"
                )
    return Saliency(np.stack(weights))


def kept_steps(checkpoints: list[Path]) -> KeptSteps:
    """Read |G^f| and |G^b| of each checkpoint.

    Args:
        checkpoints: one safetensors file per fold and seed, with ``temporal.G`` of shape (2, L, Lp).

    Raises:
        BadInput: no checkpoint is given, one cannot be read, lacks ``temporal.G``, or has another L than the first.
    """
    steps = []
    for path in _at_least_one(checkpoints):
        weight = np.abs(_read(path, TEMPORAL)[0]).mean(axis=2)  # (2, L)
        total = weight.sum(axis=1, keepdims=True)
        steps.append(np.divide(weight, total, out=np.zeros_like(weight), where=total > 0))
        if steps[-1].shape != steps[0].shape:
            raise BadInput(
                f"{path}: has {steps[-1].shape[1]} time steps, {checkpoints[0].name} has {steps[0].shape[1]}; "
                "the checkpoints of one run share them: start a new run in an empty --out"
            )
    return KeptSteps(np.stack(steps))


def sparsity(checkpoints: list[Path]) -> dict[str, np.ndarray]:
    """Return how sparse the projections are: the share of entries below 1 % of the largest of their matrix.

    Args:
        checkpoints: one safetensors file per fold and seed.

    Returns:
        Name of a matrix, such as ``"G top-left"`` or ``"G forward"``, -> (networks,) shares from 0 to 1; a matrix of
        zeros has 1. Matrices that an ablation lacks are omitted.

    Raises:
        BadInput: no checkpoint is given, or one cannot be read.
    """
    shares: dict[str, list[float]] = {}
    for path in _at_least_one(checkpoints):
        for tensor, names in ((SPATIAL, DIRECTIONS), (TEMPORAL, WAYS)):
            if has_projection(path, tensor):
                for name, matrix in zip(names, np.abs(_read(path, tensor)[0]), strict=True):
                    off = matrix < NEAR_ZERO * matrix.max() if matrix.any() else np.ones(matrix.shape, bool)
                    shares.setdefault(f"G {name}", []).append(float(off.mean()))
    return {name: np.array(values) for name, values in shares.items()}


def has_projection(checkpoint: Path, name: str = SPATIAL) -> bool:
    """Whether a checkpoint's network has a projection; the ablation without that layer does not.

    Args:
        checkpoint: a safetensors file.
        name: :data:`SPATIAL` or :data:`TEMPORAL`.

    Raises:
        BadInput: the file cannot be read.
    """
    with _opened(checkpoint) as tensors:
        return name in tensors.keys()  # noqa: SIM118 (a handle of safetensors is no mapping)


def sample_std(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (n - 1) over the first dimension; zeros where that has one element."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])


def _at_least_one(checkpoints: list[Path]) -> list[Path]:
    if not checkpoints:
        raise BadInput(
            "there are no checkpoints to read the projections from; run `face-strnn cv` again with the same "
            "--out: it resumes"
        )
    return checkpoints


def _fold_weights(checkpoint: Path) -> np.ndarray:
    """Return one network's (D, Kp, h, w) weights, or 0 everywhere when the sparsity term emptied G."""
    projection, header = _read(checkpoint, SPATIAL)
    try:
        height, width = map(index, json.loads(header["config"])["grid"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{checkpoint}: its metadata does not give the network's grid; {_REMEDY}") from error
    if projection.shape[1] != height * width:
        raise BadInput(
            f"{checkpoint}: {SPATIAL} of shape {projection.shape} does not fit a grid of {height} x {width}; {_REMEDY}"
        )
    weights = np.abs(projection).transpose(0, 2, 1)  # (D, Kp, h * w)
    total = weights.mean(axis=(0, 1)).sum()
    return (weights / total if total else weights).reshape(*weights.shape[:2], height, width)


def _read(checkpoint: Path, name: str) -> tuple[np.ndarray, dict[str, str]]:
    """Return a projection, float64 (D, rows, columns), and the file's header, reading nothing else."""
    with _opened(checkpoint) as tensors:
        if name not in tensors.keys():  # noqa: SIM118
            layer = name.split(".")[0]
            raise BadInput(
                f"{checkpoint}: has no {name}, so there is no saliency to draw; "
                f"use a run whose network has the {layer} recurrent layer"
            )
        header = tensors.metadata() or {}
        projection = tensors.get_tensor(name).astype(np.float64)
    if projection.ndim != 3:
        raise BadInput(f"{checkpoint}: {name} has the shape {projection.shape}, not three dimensions; {_REMEDY}")
    if not np.isfinite(projection).all():
        raise BadInput(f"{checkpoint}: {name} is not finite: training diverged; lower the learning rate")
    return projection, header


@contextmanager
def _opened(checkpoint: Path) -> Iterator[safe_open]:
    try:
        with safe_open(checkpoint, framework="numpy") as tensors:
            yield tensors
    except FileNotFoundError as error:
        raise BadInput(f"{checkpoint}: does not exist; {_REMEDY}") from error
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{checkpoint}: is not a whole safetensors file ({error}); {_REMEDY}") from error
