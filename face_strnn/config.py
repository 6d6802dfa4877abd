"""The settings of a network and its training, as a configuration file names them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, get_args

from data_prep.errors import BadInput

Interpolation = Literal["linear", "nearest", "zero-pad"]
"""How a sequence becomes L time steps; see :func:`face_strnn.models.time_steps.time_steps`."""

Variant = Literal["strnn", "srnn", "trnn"]
"""The whole network, or one of the paper's ablations; see :mod:`face_strnn.models.ablations`."""

Precision = Literal["float32", "bfloat16"]
"""The type in which the spatial layer is computed; parameters and sums stay float32."""

ThawedPrecision = Literal["auto", "float32", "bfloat16"]
"""The type in which the part of a backbone that is fine-tuned is computed in training."""

Protocol = Literal["interleaved", "contiguous", "leave-one-subject-out", "given"]
Selection = Literal["last", "inner", "oracle"]
"""Which epoch's network is tested; see :func:`face_strnn.evaluation.crossval.cross_validate`."""

LearnFrom = Literal["all", "one", "original"]
"""Which stored variants of a training sequence an epoch uses: all, one drawn anew for every epoch, or only the original
sequence."""

Finetune = Literal["none", "last-block", "last-two-blocks", "all"]
"""Which part of the backbone is fine-tuned: the convolutions before its last pooling layer or its last two, or all."""


@dataclass(frozen=True)
class Range:
    """The range of a setting.

    Attributes:
        holds: whether a value is in the range; false for NaN.
        words: the range in words, after "it must" in the error.
    """

    holds: Callable[[float], bool]
    words: str

    def require(self, section: str, settings: object, *names: str) -> None:
        """Check attributes of settings.

        Raises:
            BadInput: one is out of range; the message names it and its ``section`` of the configuration.
        """
        for name in names:
            if not self.holds(value := getattr(settings, name)):
                raise BadInput(f"{section}: {name} is {value}; it must {self.words}")


COUNT = Range(lambda value: value >= 1, "be at least 1")
TWO_OR_MORE = Range(lambda value: value >= 2, "be at least 2: the first and the last frame of a sequence")
POSITIVE = Range(lambda value: 0 < value < math.inf, "be above 0, and finite")
ABOVE_ZERO = Range(lambda value: value > 0, "be above 0")
NOT_NEGATIVE = Range(lambda value: 0 <= value < math.inf, "not be negative, and finite")
SHARE = Range(lambda value: 0 <= value < 1, "be at least 0 and below 1")
FRACTION = Range(lambda value: 0 < value <= 1, "be above 0 and at most 1")


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of an STRNN. The defaults are the paper's; :meth:`for_maps` fills in what is None.

    Attributes:
        input_size: channels C of a node's input; by default those of the features.
        grid: the nodes' shape in maps: (h, w), or (K,) for K nodes that form no grid; by default that of the features.
        spatial_hidden: units of a node's hidden state, per direction.
        spatial_output: units of m_t, equation (4).
        spatial_projection: Kp, equation (3).
        temporal_hidden: units of f_t and g_t.
        length: time steps L, at least 2: the first and the last keep a sequence's first and last frame.
        temporal_projection: Lp, equation (7).
        n_classes: number of classes; by default those of the data.
        activation: sigma of equations (1), (5) and (6).
        variant: ``strnn``; ``srnn``, with a fully connected layer in place of the temporal recurrent layer; ``trnn``,
            with one in place of the spatial recurrent layer.
    """

    input_size: int | None = None
    grid: tuple[int, ...] | None = None
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
        TWO_OR_MORE.require("network", self, "length")
        if self.activation not in ("relu", "sigmoid"):
            raise BadInput(f"network: activation is {self.activation}; it must be relu or sigmoid")
        if self.variant not in ("strnn", "srnn", "trnn"):
            raise BadInput(f"network: variant is {self.variant}; it must be strnn, srnn or trnn")

    def for_maps(self, shape: Sequence[int], n_classes: int) -> "NetworkConfig":
        """Return the settings, with the sizes filled in from the maps and the classes.

        Args:
            shape: of a frame's maps: (h, w, C), or (K, C) where the nodes form no grid.
            n_classes: number of classes of the data.

        Raises:
            BadInput: a size that is set differs from that of the maps or classes.
        """
        given = {"grid": tuple(shape[:-1]), "input_size": shape[-1], "n_classes": n_classes}
        for name, value in given.items():
            if getattr(self, name) not in (None, value):
                raise BadInput(
                    f"network.{name} is {getattr(self, name)}, but that of the features is {value}; omit network.{name}"
                )
        return replace(self, **given)

    @property
    def n_nodes(self) -> int:
        """Nodes K."""
        return math.prod(self.grid)

    @property
    def n_temporal_features(self) -> int:
        """Inputs of the last layer, ``temporal.V``, per sequence."""
        return self.temporal_hidden if self.variant == "srnn" else 2 * self.temporal_projection * self.temporal_hidden

    def shapes(self, n_directions: int = 4) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every parameter; saved models depend on them.

        Raises:
            ValueError: a size is None.
        """
        if None in (self.input_size, self.grid, self.n_classes):
            raise ValueError("the sizes of the features are not known yet: call for_maps first")
        spatial = {
            "spatial.U": (n_directions, self.spatial_hidden, self.input_size),
            "spatial.W": (n_directions, self.spatial_hidden, self.spatial_hidden),
            "spatial.b": (n_directions, self.spatial_hidden),
            "spatial.G": (n_directions, self.n_nodes, self.spatial_projection),
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
                "spatial.U": (1, self.spatial_output, self.n_nodes * self.input_size),
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
        learning_rate: the highest learning rate, reached after ``warmup``.
        schedule: ``cosine`` lowers the learning rate from there to 0, ``constant`` keeps it.
        warmup: share of all steps in which the learning rate rises from 0.
        weight_decay: of U, W, V and R; biases are not decayed, and G has its own penalty.
        gradient_clip: largest norm of a network's gradient in a step; infinite (``.inf``) for no clipping.
        lambda1: weight of sum |G^r| in the loss, equation (10).
        lambda2: weight of sum |G^f| + sum |G^b|.
        dropout: share of the temporal projections q, equation (7), that a step drops.
        label_smoothing: share of the label that is distributed over all classes.
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
        POSITIVE.require("training", self, "learning_rate")
        ABOVE_ZERO.require("training", self, "gradient_clip")
        NOT_NEGATIVE.require("training", self, "weight_decay", "lambda1", "lambda2")
        if self.schedule not in ("cosine", "constant"):
            raise BadInput(f"training: schedule is {self.schedule}; it must be cosine or constant")
        if self.optimiser not in ("adamw", "sgd"):
            raise BadInput(f"training: optimiser is {self.optimiser}; it must be adamw or sgd")
        SHARE.require("training", self, "warmup", "dropout", "label_smoothing")

    @property
    def rate_words(self) -> str:
        """The learning rate, as messages name it."""
        return f"training.learning_rate {self.learning_rate:g}"


@dataclass(frozen=True)
class Config:
    """Everything that shapes a model beside its data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class FinetuningConfig:
    """How backbone and STRNN are fine-tuned together, from the STRNN that was trained on frozen maps.

    Interpolation, label smoothing, gradient clipping, the lambdas and the precision of the spatial layer are those of
    :class:`face_strnn.config.TrainingConfig`.

    Attributes:
        epochs: passes over the training sequences; the last epoch's networks are kept.
        batch_size: sequences per step.
        backbone_rate: highest learning rate of the backbone's uppermost block, reached after ``warmup``; half a cosine
            lowers it to 0.
        falloff: learning rate of each block as a share of that of the block above it.
        network_rate: highest learning rate of the STRNN.
        warmup: share of all steps in which the learning rates rise from 0.
        pull: weight, in the loss, of half the squared distance to the initial weights: L2-SP (Li, Grandvalet, Davoine,
            ICML 2018).
        dropout: share of the temporal projections q that a step drops.
        frames: number of a sequence's frames in a step, in order, always with the first and the last; 0 for all.
            Testing uses all frames.
        variants: number of augmented variants of a sequence to draw from, made once; 0 makes a new one in every epoch.
        share: weight of the fine-tuned weights in their average with the initial weights, which is kept (WiSE-FT:
            Wortsman et al., CVPR 2022); 1 keeps the fine-tuned weights alone.
        ema: decay, per step, of the exponential moving average of the fine-tuned weights, which then stands for those
            of the last step; 0 for none. It looks back over about 1 / (1 - ema) steps.
        mixup: alpha of Beta(alpha, alpha), from which the share is drawn by which two sequences of a step are mixed
            (Zhang et al., ICLR 2018), at every time step, and their labels; 0 for none.
        precision: of the convolutions that learn, in training; weights, sums and all testing are float32. ``auto`` is
            ``bfloat16`` on a GPU, and on a processor with instructions for it
            (:data:`data_prep.device.BFLOAT16_INSTRUCTIONS`); elsewhere ``float32``. A run records which of the two.
    """

    epochs: int = 6
    batch_size: int = 4
    backbone_rate: float = 1e-4
    falloff: float = 0.3
    network_rate: float = 1e-4
    warmup: float = 0.1
    pull: float = 0.1
    dropout: float = 0.2
    frames: int = 8
    variants: int = 4
    share: float = 1.0
    ema: float = 0.0
    mixup: float = 0.0
    precision: ThawedPrecision = "auto"

    def __post_init__(self) -> None:
        COUNT.require("finetuning", self, "epochs", "batch_size")
        NOT_NEGATIVE.require("finetuning", self, "backbone_rate", "network_rate", "pull", "variants", "mixup")
        SHARE.require("finetuning", self, "warmup", "dropout", "ema")
        if self.precision not in get_args(ThawedPrecision):
            raise BadInput(f"finetuning: precision is {self.precision}; it must be auto, float32 or bfloat16")
        if self.frames != 0 and self.frames < 2:
            raise BadInput(f"finetuning: frames is {self.frames}; it must be 0 for all, or at least 2")
        FRACTION.require("finetuning", self, "falloff", "share")

    @property
    def rate_words(self) -> str:
        """Both learning rates, as messages name them."""
        return f"finetuning.network_rate {self.network_rate:g} and finetuning.backbone_rate {self.backbone_rate:g}"
