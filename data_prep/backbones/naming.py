"""The names that tensors of a VGG's feature part have in files, and which network they make up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from data_prep.backbones.architectures import ARCHITECTURES, feature_layers
from data_prep.backbones.preprocessing import PreprocessingName

SHOWN = 4
"""So many tensors of a file that fits nothing are shown in the error."""


@dataclass(frozen=True)
class Naming:
    """A way in which files name the tensors of a VGG.

    Attributes:
        description: what such a file is, for people.
        first: what its first tensor is called.
        pattern: of the names of its convolutions, with the groups ``block`` and ``layer`` from 1, and ``kind``, weight
            or bias; or, in torchvision's naming, with the group ``place``.
        preprocessing: what such networks were trained with, as far as the naming tells.
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
        "torchvision's naming", "features.0.weight", re.compile(r"(?:features\.)?(?P<place>\d+\.\w+)"), "imagenet"
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
        known_as: the file's name of each.
    """

    naming: Naming
    state: Mapping[str, Tensor]
    known_as: Mapping[str, str]


def recognised(tensors: Mapping[str, Tensor], is_keras: bool) -> Named | None:
    """Return a file's convolutions under torchvision's names, or None where no naming fits.

    What else is in the file, such as fully connected layers, is left out.

    Args:
        tensors: by their names in the file; for Keras the paths of its datasets.
        is_keras: whether they are of Keras.
    """
    for naming in NAMINGS:
        if naming.is_keras != is_keras:
            continue
        found = {name: match for name in tensors if (match := naming.pattern.fullmatch(name))}
        if not found:
            continue
        if "place" in naming.pattern.groupindex:
            known_as = {match["place"]: name for name, match in found.items()}
        else:
            known_as = _in_places(found)
        state = {place: tensors[name] for place, name in known_as.items()}
        if is_keras:
            state = {place: _turned(tensor) for place, tensor in state.items()}
        return Named(naming, state, known_as)
    return None


def _in_places(found: Mapping[str, re.Match[str]]) -> dict[str, str]:
    """Torchvision's names: a convolution and its ReLU take two places, the pooling layer after a block one."""
    layers = sorted({(int(match["block"]), int(match["layer"])) for match in found.values()})
    place_of = {layer: 2 * number + layer[0] - 1 for number, layer in enumerate(layers)}
    known_as = {}
    for name, match in found.items():
        kind = "weight" if match["kind"] in ("weight", "kernel", "W") else "bias"
        known_as[f"{place_of[int(match['block']), int(match['layer'])]}.{kind}"] = name
    return known_as


def _turned(tensor: Tensor) -> Tensor:
    """(height, width, in, out) -> (out, in, height, width)."""
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.dim() == 4 else tensor


@cache
def shapes_of(architecture: str) -> dict[str, tuple[int, ...]]:
    """Return name and shape of what a network's feature part learned, without the prefix ``features.``."""
    with torch.device("meta"):
        state = feature_layers(architecture).state_dict()
    # num_batches_tracked is a counter of training steps that plays no part here, and that old files lack.
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def differences(state: Mapping[str, Tensor], architecture: str, known_as: Mapping[str, str]) -> list[str]:
    """Say of each tensor that is not an architecture's what it is and should be; nothing where all are."""
    expected = shapes_of(architecture)
    said = []
    for name, shape in expected.items():
        found = state.get(name)
        if found is None:
            said.append(f"features.{name} is absent and should be {shape}")
        elif tuple(found.shape) != shape:
            said.append(f"{known_as.get(name, name)} is of shape {tuple(found.shape)} and should be {shape}")
    surplus = [name for name in state if name not in expected and not name.endswith("num_batches_tracked")]
    return said + [f"{known_as.get(name, name)} has no place in it" for name in surplus]


def nearest_architecture(state: Mapping[str, Tensor]) -> str:
    """Return the architecture from which the tensors differ least; exactly theirs where they are of one."""
    return min(ARCHITECTURES, key=lambda architecture: len(differences(state, architecture, {})))


def listed(tensors: Mapping[str, Tensor]) -> str:
    """Name the first tensors of a file with their shapes, for an error."""
    shown = [f"{name[:60]} {tuple(tensor.shape)}" for name, tensor in list(tensors.items())[:SHOWN]]
    more = f" and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else ""
    return (", ".join(shown) + more) or "no tensors"
