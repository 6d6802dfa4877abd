"""The frozen VGG that turns a face crop into pooling maps."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import nn

from data_prep.architectures import feature_layers
from data_prep.errors import BadInput
from data_prep.weights import Preprocessing, Weights, load_weights

CROP_PIXELS = {"pool5": 224, "pool4": 112}
"""Maps -> side of the crops from which they are 7 x 7 x 512."""

MAP_SHAPE = (7, 7, 512)

FRAMES_PER_BATCH = 32

BLOCK_ON_CPU = 4
"""A single thread of a CPU is as fast on four frames as on 32, and what it computes between takes an eighth."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor.

    Attributes:
        architecture: torchvision's name, for example ``"vgg16"``.
        maps: ``"pool5"`` or ``"pool4"``.
        weights: name and checksum of the weights.
        features: the network's layers up to and with that pooling layer, on ``device``, in evaluation mode.
        device: where it runs.
        precision: of its arithmetic.
    """

    architecture: str
    maps: str
    weights: Weights
    features: nn.Sequential
    device: torch.device
    precision: Precision = "float32"

    def __reduce__(self) -> tuple:
        """Another process is told how to load it, and loads it once; 60 MB need not travel with every task."""
        weights = self.weights
        source = weights.name if weights.path is None else str(weights.path)
        return _loaded_again, (
            self.architecture, source, self.maps, str(self.device), self.precision, weights.name, weights.sha256
        )  # fmt: skip

    @property
    def crop_pixels(self) -> int:
        """Side of the crops that it takes."""
        return CROP_PIXELS[self.maps]

    @property
    def preprocessing(self) -> Preprocessing:
        """What it does to pixels first."""
        return self.weights.preprocessing

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Of a frame's maps: h, w, channels."""
        return MAP_SHAPE

    @property
    def block(self) -> int:
        """How many frames to give at once, where there are threads enough to give one to each."""
        return BLOCK_ON_CPU if self.device.type == "cpu" else FRAMES_PER_BATCH

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooling maps of face crops.

        Args:
            images: uint8 (n, side, side, 3), RGB, with the side of :attr:`crop_pixels`.

        Returns:
            float16 (n, 7, 7, 512) on the CPU.

        Raises:
            BadInput: a value does not fit float16, the type in which maps are stored.
        """
        batches = []
        for batch in images.split(FRAMES_PER_BATCH):
            with self._exact():
                maps = self.features(self.preprocessing(batch.to(self.device)).to(self._type))
            # In channels-last memory this is a view: (n, channels, h, w) -> (n, h, w, channels).
            batches.append(maps.permute(0, 2, 3, 1).half().cpu())
        maps = torch.cat(batches).contiguous()
        if not maps.isfinite().all():
            raise BadInput(
                f"weights {self.weights.name}: {self.maps} of {self.architecture} exceed float16's range, 65504; "
                "scale the last layers' weights down, or take others"
            )
        return maps

    @property
    def _type(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def _exact(self) -> AbstractContextManager:
        """On a GPU float32 means float32: PyTorch's default for convolutions rounds their input to ten bits."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def load_backbone(
    architecture: str = "vgg16",
    weights: str = "imagenet",
    maps: str = "pool5",
    device: torch.device | str = "cpu",
    precision: Precision | Literal["auto"] = "auto",
) -> Backbone:
    """Load a pretrained VGG up to its fourth or fifth pooling layer.

    Args:
        architecture: one of :data:`data_prep.architectures.ARCHITECTURES`.
        weights: see :func:`data_prep.weights.load_weights`.
        maps: ``"pool5"``, the paper's, from 224 x 224 pixels, or ``"pool4"`` from 112 x 112; both are 7 x 7 x 512.
        device: where it runs.
        precision: of its arithmetic. ``"auto"`` is float32 everywhere: maps are stored as float16, and of the types
            that a GPU computes faster in, TF32 has float16's eleven bits before the first sum and bfloat16 eight, so
            that neither keeps maps within float16's rounding through a dozen layers.

    Raises:
        BadInput: unknown architecture or maps, no such weights, or weights of another architecture.
    """
    if maps not in CROP_PIXELS:
        raise BadInput(f"no maps named {maps}; there are {', '.join(CROP_PIXELS)}")
    with torch.device("meta"):  # shapes only
        features = feature_layers(architecture)
    loaded = load_weights(weights, architecture)
    _check_shapes(features.state_dict(), loaded, architecture)
    # A counter of training steps that plays no part here, and that old files lack.
    counters = {name: torch.tensor(0) for name in features.state_dict() if name.endswith("num_batches_tracked")}
    features.load_state_dict({**counters, **loaded.state}, assign=True)
    pools = [place for place, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    features = features[: pools[int(maps.removeprefix("pool")) - 1] + 1]
    if precision == "auto":
        precision = "float32"
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    features = features.eval().requires_grad_(False).to(device, kind, memory_format=torch.channels_last)
    return Backbone(architecture, maps, loaded, features, torch.device(device), precision)


@cache
def _loaded_again(
    architecture: str, source: str, maps: str, device: str, precision: Precision, name: str, sha256: str
) -> Backbone:
    backbone = load_backbone(architecture, source, maps, device, precision)
    if backbone.weights.sha256 != sha256:
        raise BadInput(f"{source}: the weights {name} changed while features were made; start again")
    return backbone


def _check_shapes(expected: dict[str, torch.Tensor], weights: Weights, architecture: str) -> None:
    for name, tensor in expected.items():
        found = weights.state.get(name)
        if name.endswith("num_batches_tracked"):
            continue
        if found is None or found.shape != tensor.shape:
            shape = "absent" if found is None else f"of shape {tuple(found.shape)}"
            raise BadInput(
                f"weights {weights.name}: not those of a {architecture}: features.{name} is {shape} "
                f"and should be {tuple(tensor.shape)}; give --backbone the architecture of the file"
            )
    surplus = sorted(set(weights.state) - set(expected))
    if surplus:
        raise BadInput(
            f"weights {weights.name}: not those of a {architecture}: features.{surplus[0]} has no place in it; "
            "give --backbone the architecture of the file"
        )
