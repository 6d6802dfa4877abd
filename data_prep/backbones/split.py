"""A VGG split in two: its first layers stay frozen, its last convolution blocks are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import NoReturn, get_args

import torch
from torch import Tensor, nn

from data_prep.backbones.architectures import feature_layers
from data_prep.backbones.backbone import Backbone, Maps, Precision, load_backbone
from data_prep.backbones.naming import pooling_indices
from data_prep.backbones.preprocessing import NEUTRAL
from data_prep.backbones.weights import DEFAULT_ARCHITECTURE, Weights
from data_prep.errors import BadInput

SCRATCH = "scratch"
"""The name of randomly initialised weights."""


@dataclass(frozen=True, eq=False)
class SplitBackbone:
    """A backbone whose last blocks are trained.

    Attributes:
        whole: the complete backbone as loaded.
        frozen: its first layers, which never change, in evaluation mode; empty if all blocks are trained.
        trained: a copy of the remaining layers. Batch norm keeps its pretrained statistics; only a network from scratch
            is in training mode and estimates its own.
        precision: of the convolutions in :meth:`maps`; parameters, losses and optimiser are float32.
    """

    whole: Backbone
    frozen: nn.Sequential
    trained: nn.Sequential
    precision: Precision = "float32"

    @classmethod
    def of(cls, whole: Backbone, n_blocks: int | None, precision: Precision = "float32") -> "SplitBackbone":
        """Split a backbone with one pooling layer's maps before its last ``n_blocks`` blocks; None trains all."""
        pools = pooling_indices(whole.features)
        cut = 0 if n_blocks in (None, len(pools)) else pools[-1 - n_blocks] + 1
        return cls(whole, whole.features[:cut].eval(), _to_train(whole.features[cut:]), precision)

    def anew(self) -> "SplitBackbone":
        """Return the same split with a new copy of the loaded layers to train."""
        return replace(self, trained=_to_train(self.starting))

    @property
    def starting(self) -> nn.Sequential:
        """The layers to train, as loaded."""
        return self.whole.features[len(self.frozen) :]

    @property
    def from_scratch(self) -> bool:
        """Whether the weights were initialised at random."""
        return not self.whole.weights.sha256

    def blocks(self) -> list[nn.Sequential]:
        """Return the trained layers, split after every pooling layer."""
        ends = [index + 1 for index in pooling_indices(self.trained)]
        return [self.trained[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the convolutions."""
        return torch.autocast(self.whole.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.no_grad()
    def frozen_maps(self, crops: Tensor) -> Tensor:
        """Return the input of the trained layers: float32 (n, channels, h, w).

        Args:
            crops: uint8 (n, side, side, 3), RGB.
        """
        with self.autocast():
            return self.frozen(self.whole.preprocessing(crops.to(self.whole.device))).float()

    def maps(self, inputs: Tensor) -> Tensor:
        """Return the maps, float32 (n, channels, h, w), through which a gradient can flow back.

        Args:
            inputs: the result of :meth:`frozen_maps`, or the crops themselves.
        """
        if inputs.dtype == torch.uint8:
            inputs = self.frozen_maps(inputs)
        with self.autocast():
            return self.trained(inputs.to(self.whole.device)).float()

    @torch.no_grad()
    def starting_maps(self, inputs: Tensor) -> Tensor:
        """Return the maps of the untrained layers for a result of :meth:`frozen_maps`."""
        with self.autocast():
            return self.starting(inputs.to(self.whole.device)).float()

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Disable gradients within the block, and put batch norm into evaluation mode."""
        training = self.trained.training
        self.trained.eval()
        with torch.no_grad():
            yield
        self.trained.train(training)

    def settings(self) -> dict[str, object]:
        """Return the settings of the trained layers, for a file's header."""
        return {
            "architecture": self.whole.architecture,
            "maps": self.whole.maps,
            "weights": self.whole.weights.name,
            "weights_sha256": self.whole.weights.sha256,
            "blocks": len(self.blocks()),
            "precision": self.precision,
        }

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of all blocks that have learned, in torchvision's naming without ``features.``.

        Blocks above the maps are those of the weights file; from scratch there are none.
        """
        above = {} if self.from_scratch else self.whole.weights.state
        return {**above, **self.frozen.state_dict(), **self.trained.state_dict()}

    @property
    def n_blocks(self) -> int | None:
        """Number of convolution blocks in :meth:`state`; None for all of the architecture's."""
        return len(pooling_indices(self.whole.features)) if self.from_scratch else self.whole.weights.n_blocks

    def frozen_part(self) -> Backbone:
        """Return the frozen layers as a backbone, whose maps are float16 as in a store."""
        return _Changed(**{**vars(self.whole), "features": self.frozen})

    def rejoined(self) -> Backbone:
        """Return the complete backbone with a copy of the trained layers."""
        trained = deepcopy(self.trained).requires_grad_(False)
        return _Changed(**{**vars(self.whole), "features": nn.Sequential(*self.frozen, *trained).eval()})


class _Changed(Backbone):
    """A backbone whose layers differ from its weights file."""

    def __reduce__(self) -> NoReturn:
        """Refuse: another process would load the file and compute other maps."""
        raise TypeError("a part of a backbone, or a fine-tuned one, cannot be handed to another process")


def split_backbone(
    architecture: str | None,
    weights: str,
    maps: str,
    n_blocks: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> SplitBackbone:
    """Load or initialise a backbone, and split it below the blocks to train.

    Args:
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`; None for the weights' own, or for
            vgg16 from scratch.
        weights: see :func:`data_prep.backbones.weights.load_weights`, or :data:`SCRATCH`.
        maps: ``"pool3"``, ``"pool4"`` or ``"pool5"``.
        n_blocks: number of convolution blocks to train, counted from the maps downwards; all when from scratch.
        seed: of random weights.
        device: device of the backbone. precision: of its convolutions.

    Raises:
        BadInput: unknown backbone, weights or maps, or a number of blocks out of range.
    """
    if "+" in maps or maps not in get_args(Maps):
        raise BadInput(f"--maps {maps}: a backbone learns up to one pooling layer; give pool4 or pool5")
    there_are = int(maps.removeprefix("pool"))
    if not 1 <= n_blocks <= there_are:
        raise BadInput(
            f"--blocks {n_blocks}: {maps} has {there_are} blocks below it; give a number from 1 to {there_are}"
        )
    if weights != SCRATCH:
        return SplitBackbone.of(load_backbone(architecture, weights, maps, device), n_blocks, precision)
    split = SplitBackbone.of(_initialised(architecture or DEFAULT_ARCHITECTURE, maps, seed, device), None, precision)
    split.trained.train()
    return split


def _initialised(architecture: str, maps: Maps, seed: int, device: torch.device | str) -> Backbone:
    """Initialise weights as torchvision's VGGs do, but from a seed."""
    features = feature_layers(architecture)
    generator = torch.Generator().manual_seed(seed)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    weights = Weights(SCRATCH, architecture, "", features.state_dict(), NEUTRAL, SCRATCH)
    features = features[: pooling_indices(features)[int(maps[-1]) - 1] + 1].requires_grad_(False)
    features = features.eval().to(device, memory_format=torch.channels_last)
    return Backbone(architecture, maps, weights, features, torch.device(device))


def _to_train(layers: nn.Sequential) -> nn.Sequential:
    return deepcopy(layers).eval().requires_grad_(True)
