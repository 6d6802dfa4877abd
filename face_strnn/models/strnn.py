"""The STRNN (Zhang et al. 2019), equations (1) to (9): the fast implementation.

:mod:`face_strnn.models.reference` has the equations as the paper writes them, node by node: read it first.

:func:`logits` computes M networks at once: each parameter has a leading dimension M, and all networks see the same
maps. The folds of a cross-validation are trained in this form; :class:`STRNN` is a single network, M = 1.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors
from face_strnn.config import Interpolation, NetworkConfig, Precision, Variant
from face_strnn.models.ablations import slices_fully_connected, steps_fully_connected
from face_strnn.models.kernels.compiled import Workspace
from face_strnn.models.scan import Scan
from face_strnn.models.spatial import projected_states
from face_strnn.models.time_steps import Taps, time_steps

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class MapBatch:
    """Pooling maps of some sequences, one after the other, and how each becomes L time steps.

    Attributes:
        frames: (F, K, C) of any floating type; F is the total number of frames.
        steps: for each sequence (L, n): weights over its n frames; rows sum to 1. Or the taps of all of them among
            ``frames``. See :mod:`face_strnn.models.time_steps`.
    """

    frames: Tensor
    steps: list[Tensor] | Taps = field(repr=False)

    @property
    def length(self) -> int:
        """Time steps L."""
        return self.steps.length if isinstance(self.steps, Taps) else len(self.steps[0])

    @classmethod
    def of(cls, sequences: Sequence[Tensor], length: int, how: Interpolation = "linear") -> "MapBatch":
        """Join sequences of maps, each (frames, h, w, C) or (frames, K, C), into a batch of ``length`` time steps."""
        joined, steps = [], []
        for maps in sequences:
            weights = time_steps(len(maps), length, how, maps.device)
            joined.append(maps)
            if weights.shape[1] > len(maps):
                joined.append(torch.zeros_like(maps[:1]))
            steps.append(weights)
        return cls(torch.cat(joined).flatten(1, -2), steps)


def logits(
    parameters: Parameters,
    batch: MapBatch,
    scan: Scan,
    activation: str = "relu",
    precision: Precision = "float32",
    dropout: Tensor | None = None,
    workspace: Workspace | None = None,
) -> Tensor:
    """Equations (1) to (8) for M networks.

    In an ablation one fully connected layer replaces (1) to (4) or (5) to (7): :mod:`face_strnn.models.ablations`.

    Args:
        parameters: named as in :meth:`NetworkConfig.shapes`, each with a leading dimension M; the variant follows from
            which of them are given.
        batch: B sequences.
        scan: the directions.
        activation: ``"relu"`` or ``"sigmoid"``.
        precision: ``"bfloat16"`` computes equations (1) and (3), nearly all of the arithmetic, in that type; sums of
            their gradients and everything else are in the parameters' type.
        dropout: (M, B, 2 * Lp * temporal hidden) factors of the temporal projections q, forward ones first; in the
            variant ``srnn`` (M, B, temporal hidden) factors of the fully connected layer's units.
        workspace: see :class:`face_strnn.models.kernels.compiled.Workspace`.

    Returns:
        (M, B, classes): o of equation (8), in the parameters' type.
    """
    sigma = torch.relu if activation == "relu" else torch.sigmoid
    compute_type = torch.bfloat16 if precision == "bfloat16" else parameters["spatial.U"].dtype
    if "spatial.W" in parameters:
        U, W, b, G, V = (parameters[f"spatial.{name}"] for name in "UWbGV")
        s = projected_states(batch.frames, batch.steps, U, W, b, G, scan, activation == "relu", compute_type, workspace)
        # (4) on s, (M, B * L, D, Kp, H): direction, column of G and unit together are one product.
        m = s.flatten(2) @ V.transpose(2, 3).flatten(1, 2)
    else:
        m = slices_fully_connected(parameters, batch.frames, batch.steps, sigma, compute_type)
    m = m.unflatten(1, (-1, batch.length)).transpose(1, 2)  # (M, L, B, output)
    if "temporal.W" in parameters:
        return _temporal_logits(parameters, m, sigma, dropout)
    return steps_fully_connected(parameters, m, sigma, dropout)


def _temporal_logits(
    parameters: Parameters, m: Tensor, sigma: Callable[[Tensor], Tensor], dropout: Tensor | None
) -> Tensor:
    """Equations (5) to (8) on m, (M, L, B, input); returns (M, B, classes)."""
    R, W, b, G, V = (parameters[f"temporal.{name}"] for name in "RWbGV")
    both_ways = torch.stack((m, m.flip(1)), 1)  # (M, 2, L, B, input): the backward network reads the last step first
    inputs = both_ways.flatten(2, 3) @ R.transpose(2, 3) + b.unsqueeze(2)
    inputs = inputs.unflatten(2, m.shape[1:3]).flatten(0, 1)  # (2 M, L, B, H)
    W_transposed = W.flatten(0, 1).transpose(1, 2)
    state, states = None, []
    for step in inputs.unbind(1):
        # The state before the first is zero.
        state = sigma(step if state is None else torch.baddbmm(step, state, W_transposed))
        states.append(state)
    forward, backward = torch.stack(states, 1).unflatten(0, (-1, 2)).unbind(1)  # (M, L, B, H) each
    f_and_g = torch.stack((forward, backward.flip(1)), 1).flatten(3)  # (M, 2, L, B * H), in order of time
    q = (G.transpose(2, 3) @ f_and_g).unflatten(3, (m.shape[2], -1))  # (M, 2, Lp, B, H)
    q = q.permute(0, 3, 1, 2, 4).flatten(2)  # (M, B, 2 * Lp * H)
    if dropout is not None:
        q = q * dropout
    return q @ V.transpose(2, 3).flatten(1, 2)


def initial_parameters(
    config: NetworkConfig, generator: torch.Generator | None = None, n_directions: int = 4
) -> dict[str, Tensor]:
    """Draw the parameters of one network such that activations stay in range through 13 + 44 recurrent steps.

    - Spatial W is an orthogonal matrix divided by 3. A node adds the states of up to three predecessors, which are
      similar where the face is smooth. The norm of their sum is at most three times the largest norm, so W does not
      enlarge it, and a state's norm grows at most linearly with the 13 waves.
    - Temporal W is orthogonal: it preserves the norm of the state, of which ReLU keeps about half, so that states
      settle after a few steps instead of growing over 44.
    - U, R and V have variance 1 / inputs, for inputs of unit variance, which training standardises; G has variance
      1 / rows. Its signs are random: from the start a column compares nodes, or early with late time steps.
    - Biases are zero.

    Args:
        config: the sizes.
        generator: of random numbers; torch's own by default.
        n_directions: D.

    Returns:
        float32 tensors with the names and shapes of :meth:`NetworkConfig.shapes`.
    """
    parameters = {}
    for name, shape in config.shapes(n_directions).items():
        tensor = torch.zeros(shape)
        if name.endswith(".W"):
            for matrix in tensor:
                nn.init.orthogonal_(matrix, gain=1 / 3 if name == "spatial.W" else 1.0, generator=generator)
        elif name.endswith(".G"):
            nn.init.normal_(tensor, std=1 / math.sqrt(shape[1]), generator=generator)
        elif name.endswith(".V"):
            nn.init.normal_(tensor, std=1 / math.sqrt(shape[0] * shape[2]), generator=generator)
        elif not name.endswith(".b"):
            nn.init.normal_(tensor, std=1 / math.sqrt(shape[2]), generator=generator)
        parameters[name] = tensor
    return parameters


def _require_shape(maps: Tensor, first: str, others: tuple[int, ...]) -> None:
    """Check all dimensions but the first, which the error calls ``first``."""
    if tuple(maps.shape[1:]) != others:
        raise BadInput(f"maps of shape {tuple(maps.shape)} where the network takes ({first}, {str(others)[1:]}")


class _Parameters(nn.Module):
    """A layer's parameters, named as in the equations."""


class STRNN(nn.Module):
    """Spatial-temporal recurrent neural network, equations (1) to (8) of Zhang et al., IEEE Trans. Cybernetics 2019.

    Four spatial RNNs traverse the h x w nodes of every time slice from its corners, a bidirectional RNN traverses the
    time slices, and sparse projections G select nodes and time steps. Parameters have the paper's names:
    ``spatial.U``, ``W``, ``b``, ``G``, ``V`` and ``temporal.R``, ``W``, ``b``, ``G``, ``V``.

    Args:
        input_size, spatial_hidden, spatial_output, spatial_projection, temporal_hidden, length, temporal_projection,
        n_classes, activation, variant: see :class:`NetworkConfig`.
        grid: (h, w) of the nodes.
        scan: traversals of nodes that form no grid, such as sensors on a head; ``grid`` is then ignored.

    Attributes:
        config: the sizes.
        scan: the traversals.
        facts: the facts in the header of its file; empty for a new network.

    Raises:
        BadInput: a size below 1, a length below 2, or an unknown activation or variant.

    Example:
        >>> network = STRNN()
        >>> network(torch.rand(2, 44, 7, 7, 512)).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        input_size: int = 512,
        grid: tuple[int, ...] = (7, 7),
        spatial_hidden: int = 50,
        spatial_output: int = 50,
        spatial_projection: int = 10,
        temporal_hidden: int = 150,
        length: int = 44,
        temporal_projection: int = 5,
        n_classes: int = 7,
        activation: Literal["relu", "sigmoid"] = "relu",
        variant: Variant = "strnn",
        scan: Scan | None = None,
    ) -> None:
        super().__init__()
        self.scan = scan or Scan.of({"grid": grid})
        spatial_sizes = (spatial_hidden, spatial_output, spatial_projection)
        temporal_sizes = (temporal_hidden, length, temporal_projection)
        self.config = NetworkConfig(
            input_size, self.scan.shape, *spatial_sizes, *temporal_sizes, n_classes, activation, variant
        )
        self.facts: dict[str, str] = {}
        self.spatial, self.temporal = _Parameters(), _Parameters()
        self.set_parameters(initial_parameters(self.config, n_directions=self.scan.n_directions))

    def set_parameters(self, parameters: Parameters) -> None:
        """Replace the parameters by those given, with the names and shapes of :meth:`NetworkConfig.shapes`."""
        for name, tensor in parameters.items():
            layer, letter = name.split(".")
            setattr(getattr(self, layer), letter, nn.Parameter(tensor))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits o of equation (8).

        Args:
            maps: (batch, L, h, w, input), of any floating type; (batch, L, K, input) if a scan was given.

        Returns:
            (batch, classes), in the parameters' type.

        Raises:
            BadInput: the maps have other sizes than the network.
        """
        config = self.config
        _require_shape(maps, "batch", (config.length, *self.scan.shape, config.input_size))
        every_step = torch.eye(config.length, device=maps.device)
        return self._logits(MapBatch(maps.flatten(0, 1).flatten(1, -2), [every_step] * len(maps)))

    def logits_of_sequences(self, sequences: Sequence[Tensor], how: Interpolation = "linear") -> Tensor:
        """Return the logits of sequences of any length, interpolated to L time steps.

        Args:
            sequences: each (frames, h, w, input), or (frames, K, input) if a scan was given.
            how: see :func:`face_strnn.models.time_steps.time_steps`.

        Returns:
            (sequences, classes).

        Raises:
            BadInput: the maps have other sizes than the network.
        """
        for maps in sequences:
            _require_shape(maps, "frames", (*self.scan.shape, self.config.input_size))
        return self._logits(MapBatch.of(sequences, self.config.length, how))

    def _logits(self, batch: MapBatch) -> Tensor:
        stack_of_one = {name: parameter.unsqueeze(0) for name, parameter in self.named_parameters()}
        return logits(stack_of_one, batch, self.scan, self.config.activation)[0]

    def save(self, path: Path, **facts: str) -> None:
        """Write the network to a safetensors file, whole or not at all, with ``facts`` in its header."""
        header = {"config": json.dumps(asdict(self.config)), **facts}
        if len(self.scan.shape) == 1:
            header["scan"] = json.dumps({"orders": self.scan.orders, "predecessors": self.scan.predecessors})
        write_tensors(Path(path), {name: tensor.contiguous() for name, tensor in self.state_dict().items()}, header)

    @classmethod
    def load(cls, path: Path) -> "STRNN":
        """Load a network that :meth:`save` wrote; its header's facts are in ``network.facts``.

        Raises:
            BadInput: no such file, damaged, not an STRNN, tensors of other sizes than its header says, or an unknown
                interpolation.
        """
        path = Path(path)
        if not path.is_file():
            raise BadInput(f"{path}: no such model; `face-strnn cv` writes one per fold into RUN/checkpoints")
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                parameters = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            scan = Scan(**json.loads(header["scan"])) if "scan" in header else None
            network = cls(**json.loads(header["config"]), scan=scan)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadInput(
                f"{path}: not a whole STRNN model ({error}); delete it and run `face-strnn cv` again"
            ) from error
        shapes = network.config.shapes(network.scan.n_directions)
        for name, shape in shapes.items():
            stored = tuple(parameters[name].shape) if name in parameters else None
            if stored != shape:
                raise BadInput(
                    f"{path}: {name} is {stored or 'absent'}, but its header's sizes need {shape}; "
                    "the file was edited: delete it and run `face-strnn cv` again"
                )
            if not parameters[name].is_floating_point() or not parameters[name].isfinite().all():
                raise BadInput(f"{path}: {name} is not of finite numbers; delete it and run `face-strnn cv` again")
        how = header.get("interpolation", "linear")
        if how not in get_args(Interpolation):
            known = ", ".join(get_args(Interpolation))
            raise BadInput(f"{path}: its interpolation is {how[:40]}, none of {known}; the file was edited")
        network.set_parameters({name: parameters[name] for name in shapes})
        network.facts = {name: value for name, value in header.items() if name not in ("config", "scan")}
        return network
