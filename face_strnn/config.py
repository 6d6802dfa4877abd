"""The settings of a network and its training, as they stand in a configuration file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from data_prep.errors import BadInput
from face_strnn.setting_ranges import COUNT, NOT_NEGATIVE, POSITIVE, SHARE

Interpolation = Literal["linear", "nearest", "zero-pad"]
"""How a sequence becomes L time steps; see :func:`face_strnn.time_steps.time_steps`."""

Variant = Literal["strnn", "srnn", "trnn"]
"""The whole network, or one of the paper's ablations; see :mod:`face_strnn.ablations`."""

Precision = Literal["float32", "bfloat16"]
"""The type in which the spatial layer is computed; parameters and sums stay float32."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of an STRNN. The defaults are the paper's; what is None follows the features, see :meth:`for_maps`.

    Attributes:
        input_size: channels C of a node's input; left out, those of the features.
        grid: (h, w); K = h * w nodes; left out, those of the features.
        spatial_hidden: units of a node's hidden state, per direction.
        spatial_output: units of m_t, equation (4).
        spatial_projection: Kp, equation (3).
        temporal_hidden: units of f_t and g_t.
        length: time steps L.
        temporal_projection: Lp, equation (7).
        n_classes: number of classes; left out, those of the data.
        activation: sigma of equations (1), (5) and (6).
        variant: ``strnn``; ``srnn``, whose temporal recurrent layer is one fully connected layer instead; ``trnn``,
            whose spatial one is.
    """

    input_size: int | None = None
    grid: tuple[int, int] | None = None
    spatial_hidden: int = 50
    spatial_output: int = 50
    spatial_projection: int = 10
    temporal_hidden: int = 150
    length: int = 44
    temporal_projection: int = 5
    n_classes: int | None = None
    activation: Literal["relu", "sigmoid"] = "relu"
    variant: Variant = "strnn"

    def __post_init__(self) -> None:
        COUNT.require("network", self, *(name for name, value in asdict(self).items() if isinstance(value, int)))
        if self.activation not in ("relu", "sigmoid"):
            raise BadInput(f"network: activation is {self.activation}; it must be relu or sigmoid")
        if self.variant not in ("strnn", "srnn", "trnn"):
            raise BadInput(f"network: variant is {self.variant}; it must be strnn, srnn or trnn")

    def for_maps(self, shape: Sequence[int], n_classes: int) -> "NetworkConfig":
        """Return the settings with the sizes that maps and classes give.

        Args:
            shape: (h, w, C) of a frame's maps.
            n_classes: number of classes of the data.

        Raises:
            BadInput: a size that is not None is another one.
        """
        given = {"grid": tuple(shape[:-1]), "input_size": shape[-1], "n_classes": n_classes}
        for name, value in given.items():
            if getattr(self, name) not in (None, value):
                raise BadInput(
                    f"network.{name} is {getattr(self, name)} and that of the features {value}; leave it at its default"
                )
        return replace(self, **given)

    @property
    def n_temporal_features(self) -> int:
        """Numbers that the last layer, ``temporal.V``, sees of a sequence."""
        return self.temporal_hidden if self.variant == "srnn" else 2 * self.temporal_projection * self.temporal_hidden

    def shapes(self, n_directions: int = 4) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every parameter; saved models depend on them.

        Raises:
            ValueError: a size is None.
        """
        if None in (self.input_size, self.grid, self.n_classes):
            raise ValueError("the sizes that follow the features are not known yet: call for_maps first")
        n_nodes = self.grid[0] * self.grid[1]
        spatial = {
            "spatial.U": (n_directions, self.spatial_hidden, self.input_size),
            "spatial.W": (n_directions, self.spatial_hidden, self.spatial_hidden),
            "spatial.b": (n_directions, self.spatial_hidden),
            "spatial.G": (n_directions, n_nodes, self.spatial_projection),
            "spatial.V": (n_directions, self.spatial_output, self.spatial_projection * self.spatial_hidden),
        }
        temporal = {
            "temporal.R": (2, self.temporal_hidden, self.spatial_output),
            "temporal.W": (2, self.temporal_hidden, self.temporal_hidden),
            "temporal.b": (2, self.temporal_hidden),
            "temporal.G": (2, self.length, self.temporal_projection),
            "temporal.V": (2, self.n_classes, self.temporal_projection * self.temporal_hidden),
        }
        if self.variant == "trnn":
            spatial = {
                "spatial.U": (1, self.spatial_output, n_nodes * self.input_size),
                "spatial.b": (1, self.spatial_output),
            }
        if self.variant == "srnn":
            temporal = {
                "temporal.R": (1, self.temporal_hidden, self.length * self.spatial_output),
                "temporal.b": (1, self.temporal_hidden),
                "temporal.V": (1, self.n_classes, self.temporal_hidden),
            }
        return {**spatial, **temporal}


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. The paper states none of these; see the README for how they were chosen.

    Attributes:
        epochs: passes over the training samples.
        batch_size: sequences per step, over all folds; a fold skips those of its held-out subjects.
        optimiser: ``adamw``, or ``sgd`` with Nesterov's momentum of 0.9.
        learning_rate: highest one, reached after ``warmup``.
        schedule: ``cosine`` lets the learning rate fall to 0 from there, ``constant`` keeps it.
        warmup: share of all steps in which the learning rate rises from 0.
        weight_decay: on U, W, V and R; biases have none, and G has its own penalty.
        gradient_clip: longest gradient that a step takes, per network; infinite for no limit.
        lambda1: weight of sum |G^r| in the loss, equation (10).
        lambda2: weight of sum |G^f| + sum |G^b|.
        dropout: share of the temporal projections q, equation (7), that a step leaves out.
        label_smoothing: share of the label that is spread over all classes.
        interpolation: how a sequence becomes L time steps.
        precision: ``bfloat16`` computes the spatial layer in that type.
    """

    epochs: int = 15
    batch_size: int = 16
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    lambda1: float = 1e-2
    lambda2: float = 3e-3
    dropout: float = 0.0
    label_smoothing: float = 0.0
    interpolation: Interpolation = "linear"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        COUNT.require("training", self, "epochs", "batch_size")
        POSITIVE.require("training", self, "learning_rate", "gradient_clip")
        NOT_NEGATIVE.require("training", self, "weight_decay", "lambda1", "lambda2")
        if self.schedule not in ("cosine", "constant"):
            raise BadInput(f"training: schedule is {self.schedule}; it must be cosine or constant")
        if self.optimiser not in ("adamw", "sgd"):
            raise BadInput(f"training: optimiser is {self.optimiser}; it must be adamw or sgd")
        SHARE.require("training", self, "warmup", "dropout", "label_smoothing")


@dataclass(frozen=True)
class Config:
    """Everything that shapes a model beside its data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
