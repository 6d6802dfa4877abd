"""The frozen VGG that turns a face crop into pooling maps."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from data_prep.backbones.architectures import feature_layers
from data_prep.backbones.naming import pooling_indices
from data_prep.backbones.preprocessing import Preprocessing, PreprocessingName
from data_prep.backbones.weights import Weights, load_weights
from data_prep.errors import BadInput

Maps = Literal["pool3", "pool4", "pool5", "pool4+pool5"]
"""Pooling layers whose maps are stored; the channels of two layers are concatenated."""

Grid = Literal[7, 14]
"""Rows, and columns, of the maps."""

PIXELS_PER_CELL = {"pool3": 8, "pool4": 16, "pool5": 32, "pool4+pool5": 32}
"""Maps -> pixels per cell of their grid, along either axis: layer n halves the resolution n times."""

FRAMES_PER_BATCH = 32

BLOCK_ON_CPU = 4
"""Frames per call on a CPU: one thread is as fast on 4 frames as on 32, with an eighth of the activations."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor.

    Attributes:
        architecture: its name, for example ``"vgg16"``.
        maps: ``"pool3"``, ``"pool4"``, ``"pool5"`` or ``"pool4+pool5"``.
        weights: name and checksum of the weights.
        features: the network's layers up to and including the last stored pooling layer, on ``device``, in evaluation
            mode.
        device: device of the network.
        precision: of its arithmetic.
        grid: rows, and columns, of the maps.
    """

    architecture: str
    maps: Maps
    weights: Weights
    features: nn.Sequential
    device: torch.device
    precision: Precision = "float32"
    grid: Grid = 7

    def __reduce__(self) -> tuple:
        """A worker process gets the arguments and loads the network once, instead of 60 MB with every task."""
        how = (self.maps, str(self.device), self.precision, self.grid, self.preprocessing)
        return _loaded_again, ((self.architecture, self.weights.source, *how), self.weights.sha256)

    @property
    def crop_pixels(self) -> int:
        """Side of its input crops in pixels."""
        return self.grid * PIXELS_PER_CELL[self.maps]

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of its input."""
        return self.weights.preprocessing

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Shape of a frame's maps: h, w, channels."""
        return self.grid, self.grid, sum(_channels_at(self.features, index) for index in self._stored)

    @property
    def block(self) -> int:
        """Number of frames per call, if there are enough threads to give each its own call."""
        return BLOCK_ON_CPU if self.device.type == "cpu" else FRAMES_PER_BATCH

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooling maps of face crops.

        With two pooling layers, the finer maps are averaged over the cells of the coarser ones, and their channels come
        first.

        Args:
            images: uint8 (n, side, side, 3), RGB, with the side of :attr:`crop_pixels`.

        Returns:
            float16 (n, *map_shape) on the CPU.

        Raises:
            BadInput: a value exceeds float16, the type of stored maps.
        """
        batches = []
        for batch in images.split(FRAMES_PER_BATCH):
            with self._exact():
                maps = self._pooled(self.preprocessing(batch.to(self.device)).to(self._type))
            # With channels-last memory this is a view: (n, channels, h, w) -> (n, h, w, channels).
            batches.append(maps.permute(0, 2, 3, 1).half().cpu())
        maps = torch.cat(batches).contiguous()
        if not maps.isfinite().all():
            raise BadInput(
                f"weights {self.weights.name}: {self.maps} of {self.architecture} exceed float16's range, 65504; "
                "scale the last layers' weights down, or take others"
            )
        return maps

    def _pooled(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) -> (n, channels, h, w)."""
        if "+" not in self.maps:
            return self.features(images)
        maps, values = [], images
        for index, layer in enumerate(self.features):
            values = layer(values)
            if index in self._stored:
                maps.append(avg_pool2d(values, values.shape[-1] // self.grid))
        return torch.cat(maps, 1)

    @property
    def _stored(self) -> list[int]:
        """Indices of the stored pooling layers among the layers."""
        pools = pooling_indices(self.features)
        return [pools[int(name.removeprefix("pool")) - 1] for name in self.maps.split("+")]

    @property
    def _type(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def _exact(self) -> AbstractContextManager:
        """On a GPU float32 means float32: PyTorch's default for convolutions rounds their input to ten bits."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def load_backbone(
    architecture: str | None = None,
    weights: str = "imagenet",
    maps: Maps = "pool5",
    device: torch.device | str = "cpu",
    precision: Precision | Literal["auto"] = "auto",
    grid: Grid = 7,
    preprocessing: Preprocessing | PreprocessingName | None = None,
) -> Backbone:
    """Load a pretrained VGG up to one of its pooling layers.

    Args:
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`; None for the architecture of the
            weights file, or for vgg16 if published weights exist for several.
        weights, preprocessing: see :func:`data_prep.weights.load_weights`.
        maps: ``"pool5"``, the paper's, from 224 x 224 pixels; ``"pool4"`` from 112 x 112; ``"pool3"`` from 56 x 56;
            ``"pool4+pool5"`` from 224 x 224, with pool4's 14 x 14 averaged two by two.
        device: device of the network.
        precision: of its arithmetic. ``"auto"`` is float32 everywhere: maps are stored as float16, and neither of a
            GPU's faster types, TF32 with eleven significant bits and bfloat16 with eight, keeps maps within float16's
            rounding error through a dozen layers.
        grid: rows, and columns, of the maps: 7, or 14 from twice the pixels.

    Raises:
        BadInput: unknown architecture, maps, grid or weights, or weights of another architecture.
    """
    if maps not in PIXELS_PER_CELL:
        raise BadInput(f"no maps named {maps}; there are {', '.join(PIXELS_PER_CELL)}")
    if grid not in get_args(Grid):
        raise BadInput(f"--grid {grid}: must be one of {', '.join(map(str, get_args(Grid)))}")
    loaded = load_weights(weights, architecture, preprocessing)
    n_blocks = int(maps[-1])
    if loaded.n_blocks is not None and n_blocks > loaded.n_blocks:
        raise BadInput(
            f"weights {loaded.name}: have {loaded.n_blocks} blocks, which end with pool{loaded.n_blocks}; give --maps "
            f"pool{loaded.n_blocks}, or other weights"
        )
    with torch.device("meta"):  # shapes only
        features = feature_layers(loaded.architecture)
    features = features[: pooling_indices(features)[n_blocks - 1] + 1]
    needed = features.state_dict()
    # A counter of training steps, which is unused here and absent from old files.
    counters = {name: torch.tensor(0) for name in needed if name.endswith("num_batches_tracked")}
    state = {name: tensor for name, tensor in loaded.state.items() if name in needed}
    features.load_state_dict({**state, **counters}, assign=True)
    if precision == "auto":
        precision = "float32"
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    features = features.eval().requires_grad_(False).to(device, kind, memory_format=torch.channels_last)
    return Backbone(loaded.architecture, maps, loaded, features, torch.device(device), precision, grid)


def grid_of(maps: Maps, pixels: int) -> Grid:
    """Return the grid of maps that are computed from crops of ``pixels`` x ``pixels``.

    Raises:
        KeyError, ValueError: unknown maps, or no grid fits such crops.
    """
    for grid in get_args(Grid):
        if grid * PIXELS_PER_CELL[maps] == pixels:
            return grid
    raise ValueError(f"no grid of {maps} takes crops of {pixels} pixels")


def _channels_at(features: nn.Sequential, index: int) -> int:
    return [layer.out_channels for layer in features[:index] if isinstance(layer, nn.Conv2d)][-1]


@cache
def _loaded_again(arguments: tuple, sha256: str) -> Backbone:
    """Call :func:`load_backbone`, and check that it loads the same weights as before."""
    backbone = load_backbone(*arguments)
    if backbone.weights.sha256 != sha256:
        raise BadInput(f"{backbone.weights.source}: the weights changed while features were made; start again")
    return backbone
