"""A VGG in two parts: lower blocks that stay as they are, upper blocks that learn."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from data_prep.backbones.architectures import feature_layers
from data_prep.backbones.backbone import PIXELS_PER_CELL, Maps, Precision, load_backbone, pooling_places
from data_prep.backbones.preprocessing import PREPROCESSINGS, Preprocessing
from data_prep.errors import BadInput

SCRATCH = "scratch"
"""The name of weights that are drawn at random."""

_IMAGENET = PREPROCESSINGS["imagenet"]
"""What a network from scratch expects, as torchvision's do."""


@dataclass(frozen=True, eq=False)
class SplitBackbone:
    """A backbone that is being trained.

    Attributes:
        architecture: torchvision's name, or the thin one's.
        maps: ``"pool4"`` or ``"pool5"``, where it ends.
        weights, sha256: what it started from, by the user's name, and its checksum; ``"scratch"`` and none.
        preprocessing: of pixels.
        lower: layers that never change, in evaluation mode; none where all learn.
        upper: the blocks that learn.
        starting: the upper blocks as they were; None from scratch, where there is nothing to keep.
        rest: further tensors of a whole feature part, in torchvision's naming without ``features.``.
        device: where it runs.
        precision: of the convolutions; parameters, losses and steps are float32.
    """

    architecture: str
    maps: str
    weights: str
    sha256: str
    preprocessing: Preprocessing
    lower: nn.Sequential
    upper: nn.Sequential
    starting: nn.Sequential | None
    rest: dict[str, Tensor]
    device: torch.device
    precision: Precision

    @property
    def crop_pixels(self) -> int:
        """Side of the crops that it learns from: those whose maps are 7 x 7."""
        return 7 * PIXELS_PER_CELL[self.maps]

    @property
    def channels(self) -> int:
        """Of the maps."""
        return _convolutions(self.upper)[-1].out_channels

    def settings(self) -> dict[str, object]:
        """Return what shapes all that it learns, for a file's header."""
        return {
            "architecture": self.architecture,
            "maps": self.maps,
            "weights": self.weights,
            "weights_sha256": self.sha256,
            "blocks": len(list(self.blocks())),
            "precision": self.precision,
        }

    @torch.no_grad()
    def below(self, images: Tensor) -> Tensor:
        """Return what the learning part sees of images uint8 (n, side, side, 3), RGB: (n, channels, h, w)."""
        with self._arithmetic():
            return self.lower(self.preprocessing(images.to(self.device))).float()

    def maps_of(self, below: Tensor) -> Tensor:
        """Return the maps (n, channels, h, w) of what lies below the learning part, with a gradient."""
        with self._arithmetic():
            return self.upper(below.to(self.device)).float()

    @torch.no_grad()
    def at_first(self, below: Tensor) -> Tensor:
        """Return the maps that the backbone gave before it learned; not from scratch."""
        with self._arithmetic():
            return self.starting(below.to(self.device)).float()

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def blocks(self) -> Iterator[list[nn.Parameter]]:
        """Give the parameters of each learning block, the uppermost first."""
        ends = pooling_places(self.upper)
        for first, last in reversed(list(zip([-1, *ends[:-1]], ends, strict=True))):
            yield list(self.upper[first + 1 : last + 1].parameters())

    def state(self) -> dict[str, Tensor]:
        """Return the whole feature part: what has learned, and the rest as it was."""
        return {**self.rest, **self.lower.state_dict(), **self.upper.state_dict()}


def split_backbone(
    architecture: str | None,
    weights: str,
    maps: str,
    blocks: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> SplitBackbone:
    """Load a backbone, or draw one, and part it below the blocks that learn.

    Args:
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`; None for the weights' own, and
            for vgg16 from scratch.
        weights: see :func:`data_prep.weights.load_weights`, or :data:`SCRATCH`.
        maps: ``"pool4"`` or ``"pool5"``.
        blocks: how many blocks of convolutions, counted from the maps downwards, learn. From scratch all do.
        seed: of random weights.
        device: where it runs.
        precision: of its convolutions.

    Raises:
        BadInput: no such backbone, weights or maps, or another number of blocks than there are.
    """
    if "+" in maps or maps not in get_args(Maps):
        raise BadInput(f"--maps {maps}: a backbone learns up to one pooling layer; give pool4 or pool5")
    n_blocks = int(maps.removeprefix("pool"))
    if not 1 <= blocks <= n_blocks:
        raise BadInput(f"--blocks {blocks}: {maps} has {n_blocks} blocks below it; give a number from 1 to {n_blocks}")
    if weights == SCRATCH:
        architecture = architecture or "vgg16"
        whole = _drawn(architecture, seed)
        state, preprocessing = whole.state_dict(), _IMAGENET
        name, sha256 = SCRATCH, ""
        blocks = n_blocks
        features = whole[: pooling_places(whole)[n_blocks - 1] + 1].to(device, memory_format=torch.channels_last)
    else:
        loaded = load_backbone(architecture, weights, maps, device)
        features, source, architecture = loaded.features, loaded.weights, loaded.architecture
        state, preprocessing = dict(source.state), source.preprocessing
        name, sha256 = source.name, source.sha256
    pools = pooling_places(features)
    parting = 0 if blocks == n_blocks else pools[-1 - blocks] + 1
    lower, upper = features[:parting].eval(), deepcopy(features[parting:]).requires_grad_(True)
    starting = None if weights == SCRATCH else deepcopy(upper).eval().requires_grad_(False)
    # Batch norm keeps the statistics that pretrained weights came with; only a network from scratch finds its own.
    upper.train(weights == SCRATCH)
    return SplitBackbone(
        architecture, maps, name, sha256, preprocessing, lower, upper, starting, state, torch.device(device), precision
    )


def _drawn(architecture: str, seed: int) -> nn.Sequential:
    """Draw weights as torchvision's VGGs do, from a seed."""
    features = feature_layers(architecture)
    generator = torch.Generator().manual_seed(seed)
    for convolution in _convolutions(features):
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        nn.init.zeros_(convolution.bias)
    return features


def _convolutions(layers: nn.Sequential) -> list[nn.Conv2d]:
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]
