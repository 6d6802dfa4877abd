"""Names of a VGG's convolution tensors in files, and recognition of the network they belong to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from data_prep.backbones.architectures import ARCHITECTURES, feature_layers
from data_prep.backbones.preprocessing import PreprocessingName

SHOWN = 4
"""Number of tensors in the error about an unrecognised file."""


@dataclass(frozen=True)
class Naming:
    """A naming scheme for the tensors of a VGG.

    Attributes:
        description: of such a file, for messages.
        first: name of its first tensor.
        pattern: of the names of its convolutions, with the groups ``block`` and ``layer`` from 1, and ``kind``, weight
            or bias; or, in torchvision's naming, with the group ``tensor``.
        preprocessing: that of such networks, if the naming determines it.
        is_keras: whether it is an HDF5 file of Keras, whose kernels are (height, width, in, out).
    """

    description: str
    first: str
    pattern: re.Pattern[str]
    preprocessing: PreprocessingName
    is_keras: bool = False


_KIND = r"(?P<kind>weight|bias)"
_IN_KERAS = r"(?:.*/)?(?P<name>{name})(?:/.*)?/(?:(?P=name)(?:_\d+)?[_/])?(?P<kind>kernel|bias|W|b)(?:_\d+)?(?::0)?"

NAMINGS = (
    Naming(
        "torchvision's naming", "features.0.weight", re.compile(r"(?:features\.)?(?P<tensor>\d+\.\w+)"), "imagenet"
    ),
    Naming(
        "VGG-Face converted from MatConvNet", "conv1_1.weight",
        re.compile(rf"conv(?P<block>\d)_(?P<layer>\d)\.{_KIND}"), "vggface",
    ),
    Naming(
        "VGG-Face converted from Torch 7 or Caffe", "conv_1_1.weight",
        re.compile(rf"conv_(?P<block>\d)_(?P<layer>\d)\.{_KIND}"), "vggface-bgr",
    ),
    Naming(
        "VGG-Face of Keras", "conv1_1/kernel",
        re.compile(_IN_KERAS.format(name=r"conv(?P<block>\d)_(?P<layer>\d)")), "vggface-bgr", is_keras=True,
    ),
    Naming(
        "Keras's VGG of ImageNet", "block1_conv1/kernel",
        re.compile(_IN_KERAS.format(name=r"block(?P<block>\d)_conv(?P<layer>\d)")), "caffe", is_keras=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """Tensors whose naming was recognised.

    Attributes:
        naming: how the file names them.
        state: in torchvision's naming without the prefix ``features.``, for example ``"0.weight"``.
        known_as: name of each tensor in the file.
    """

    naming: Naming
    state: Mapping[str, Tensor]
    known_as: Mapping[str, str]


def recognised(tensors: Mapping[str, Tensor], is_keras: bool) -> Named | None:
    """Return a file's convolutions under torchvision's names, or None if no naming scheme fits.

    Other tensors, such as those of fully connected layers, are omitted.

    Args:
        tensors: by their names in the file; for Keras the paths of its datasets.
        is_keras: whether the file is from Keras.
    """
    for naming in NAMINGS:
        if naming.is_keras != is_keras:
            continue
        found = {name: match for name in tensors if (match := naming.pattern.fullmatch(name))}
        if not found:
            continue
        if "tensor" in naming.pattern.groupindex:
            known_as = {match["tensor"]: name for name, match in found.items()}
        else:
            known_as = _torchvision_names(found)
        state = {name: tensors[name_in_file] for name, name_in_file in known_as.items()}
        if is_keras:
            state = {name: _transposed(tensor) for name, tensor in state.items()}
        return Named(naming, state, known_as)
    return None


def _torchvision_names(found: Mapping[str, re.Match[str]]) -> dict[str, str]:
    """Torchvision's names -> the file's: a convolution and its ReLU take two indices, a pooling layer one."""
    layers = sorted({(int(match["block"]), int(match["layer"])) for match in found.values()})
    index_of = {layer: 2 * number + layer[0] - 1 for number, layer in enumerate(layers)}
    known_as = {}
    for name, match in found.items():
        kind = "weight" if match["kind"] in ("weight", "kernel", "W") else "bias"
        known_as[f"{index_of[int(match['block']), int(match['layer'])]}.{kind}"] = name
    return known_as


def _transposed(tensor: Tensor) -> Tensor:
    """(height, width, in, out) -> (out, in, height, width)."""
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.dim() == 4 else tensor


@cache
def shapes_of(architecture: str, n_blocks: int | None = None) -> dict[str, tuple[int, ...]]:
    """Return names, without the prefix ``features.``, and shapes of the trained tensors of a network's feature part.

    Args:
        architecture: the network.
        n_blocks: how many of its convolution blocks; None for all.
    """
    with torch.device("meta"):
        layers = feature_layers(architecture)
    if n_blocks is not None:
        layers = layers[: pooling_indices(layers)[n_blocks - 1]]
    state = layers.state_dict()
    # num_batches_tracked is a counter of training steps, which is unused here and absent from old files.
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def pooling_indices(features: nn.Sequential) -> list[int]:
    """Return the indices of the pooling layers among a network's layers."""
    return [index for index, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]


@cache
def pool_channels(architecture: str) -> dict[str, int]:
    """Return the channels of each pooling layer's maps: pool1 to pool5."""
    with torch.device("meta"):
        layers = feature_layers(architecture)
    return {
        f"pool{number}": next(layer.out_channels for layer in reversed(layers[:end]) if isinstance(layer, nn.Conv2d))
        for number, end in enumerate(pooling_indices(layers), start=1)
    }


def differences(
    state: Mapping[str, Tensor], architecture: str, known_as: Mapping[str, str], n_blocks: int | None = None
) -> list[str]:
    """Describe each tensor that differs from an architecture's, or from its first blocks': what it is and should be."""
    expected = shapes_of(architecture, n_blocks)
    wrong = []
    for name, shape in expected.items():
        tensor = state.get(name)
        if tensor is None:
            wrong.append(f"features.{name} is absent and should be {shape}")
        elif tuple(tensor.shape) != shape:
            wrong.append(f"{known_as.get(name, name)} is of shape {tuple(tensor.shape)} and should be {shape}")
    surplus = [name for name in state if name not in expected and not name.endswith("num_batches_tracked")]
    return wrong + [f"{known_as.get(name, name)} has no place in it" for name in surplus]


def nearest_architecture(state: Mapping[str, Tensor]) -> str:
    """Return the architecture with the fewest differences from the tensors; their own if they belong to one."""
    return min(ARCHITECTURES, key=lambda architecture: len(differences(state, architecture, {})))


def listed(tensors: Mapping[str, Tensor]) -> str:
    """Return the names and shapes of a file's first tensors, for an error message."""
    shown = [f"{name[:60]} {tuple(tensor.shape)}" for name, tensor in list(tensors.items())[:SHOWN]]
    more = f" and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else ""
    return (", ".join(shown) + more) or "no tensors"
