"""A VGG cut in two: its first layers stay frozen, its last blocks of convolutions are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import NoReturn, get_args

import torch
from torch import Tensor, nn

from data_prep.backbones.architectures import feature_layers
from data_prep.backbones.backbone import Backbone, Maps, Precision, load_backbone, pooling_places
from data_prep.backbones.preprocessing import PREPROCESSINGS
from data_prep.backbones.weights import DEFAULT_ARCHITECTURE, Weights
from data_prep.errors import BadInput

SCRATCH = "scratch"
"""The name of weights that are drawn at random."""


@dataclass(frozen=True, eq=False)
class SplitBackbone:
    """A backbone whose last blocks are trained.

    Attributes:
        whole: as it was loaded.
        frozen: its first layers, which never change, in evaluation mode; none where all blocks are trained.
        trained: a copy of the layers after them. Batch norm keeps the statistics that pretrained weights came with;
            only a network from scratch is in training mode and finds its own.
        precision: of the convolutions in :meth:`maps`; parameters, losses and steps are float32.
    """

    whole: Backbone
    frozen: nn.Sequential
    trained: nn.Sequential
    precision: Precision = "float32"

    @classmethod
    def of(cls, whole: Backbone, n_blocks: int | None, precision: Precision = "float32") -> "SplitBackbone":
        """Cut a backbone of one pooling layer's maps before its last ``n_blocks`` blocks; None trains all."""
        pools = pooling_places(whole.features)
        cut = 0 if n_blocks in (None, len(pools)) else pools[-1 - n_blocks] + 1
        return cls(whole, whole.features[:cut].eval(), _to_train(whole.features[cut:]), precision)

    def anew(self) -> "SplitBackbone":
        """Return the same split with another copy of the layers to train, as they were loaded."""
        return replace(self, trained=_to_train(self.starting))

    @property
    def starting(self) -> nn.Sequential:
        """The layers to train as they were loaded."""
        return self.whole.features[len(self.frozen) :]

    @property
    def from_scratch(self) -> bool:
        """Whether the weights were drawn at random."""
        return not self.whole.weights.sha256

    def blocks(self) -> list[nn.Sequential]:
        """Return the trained layers, cut behind every pooling layer."""
        ends = [place + 1 for place in pooling_places(self.trained)]
        return [self.trained[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def autocast(self) -> torch.autocast:
        """Return the context of the convolutions' arithmetic."""
        return torch.autocast(self.whole.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.no_grad()
    def frozen_maps(self, crops: Tensor) -> Tensor:
        """Return what the trained layers take: float32 (n, channels, h, w).

        Args:
            crops: uint8 (n, side, side, 3), RGB.
        """
        with self.autocast():
            return self.frozen(self.whole.preprocessing(crops.to(self.whole.device))).float()

    def maps(self, inputs: Tensor) -> Tensor:
        """Return the maps, float32 (n, channels, h, w), through which a gradient can flow back.

        Args:
            inputs: as :meth:`frozen_maps` returns them, or the crops themselves.
        """
        if inputs.dtype == torch.uint8:
            inputs = self.frozen_maps(inputs)
        with self.autocast():
            return self.trained(inputs.to(self.whole.device)).float()

    @torch.no_grad()
    def starting_maps(self, inputs: Tensor) -> Tensor:
        """Return the maps of :meth:`frozen_maps` before any training."""
        with self.autocast():
            return self.starting(inputs.to(self.whole.device)).float()

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Give no gradient within the block, and have batch norm use its statistics."""
        training = self.trained.training
        self.trained.eval()
        with torch.no_grad():
            yield
        self.trained.train(training)

    def settings(self) -> dict[str, object]:
        """Return what shapes the trained layers, for a file's header."""
        return {
            "architecture": self.whole.architecture,
            "maps": self.whole.maps,
            "weights": self.whole.weights.name,
            "weights_sha256": self.whole.weights.sha256,
            "blocks": len(self.blocks()),
            "precision": self.precision,
        }

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the whole feature part, in torchvision's naming without ``features.``."""
        return {**self.whole.weights.state, **self.frozen.state_dict(), **self.trained.state_dict()}

    def frozen_part(self) -> Backbone:
        """Return the frozen layers as a backbone, whose maps are float16 as stored ones are."""
        return _Changed(**{**vars(self.whole), "features": self.frozen})

    def rejoined(self) -> Backbone:
        """Return the whole backbone with a copy of the trained layers."""
        trained = deepcopy(self.trained).requires_grad_(False)
        return _Changed(**{**vars(self.whole), "features": nn.Sequential(*self.frozen, *trained).eval()})


class _Changed(Backbone):
    """A backbone with other layers than its weights' file gives."""

    def __reduce__(self) -> NoReturn:
        """Another process would load that file, and compute other maps."""
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
    """Load a backbone, or initialise one, and cut it below the blocks to train.

    Args:
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`; None for the weights' own, and
            for vgg16 from scratch.
        weights: see :func:`data_prep.backbones.weights.load_weights`, or :data:`SCRATCH`.
        maps: ``"pool3"``, ``"pool4"`` or ``"pool5"``.
        n_blocks: how many blocks of convolutions, counted from the maps downwards, are trained. From scratch all are.
        seed: of random weights.
        device: where it runs.
        precision: of its convolutions.

    Raises:
        BadInput: no such backbone, weights or maps, or another number of blocks than there are.
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
    """Draw weights as torchvision's VGGs do, but from a seed."""
    features = feature_layers(architecture)
    generator = torch.Generator().manual_seed(seed)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    weights = Weights(SCRATCH, architecture, "", features.state_dict(), PREPROCESSINGS["imagenet"], SCRATCH)
    features = features[: pooling_places(features)[int(maps[-1]) - 1] + 1].requires_grad_(False)
    features = features.eval().to(device, memory_format=torch.channels_last)
    return Backbone(architecture, maps, weights, features, torch.device(device))


def _to_train(layers: nn.Sequential) -> nn.Sequential:
    return deepcopy(layers).eval().requires_grad_(True)
