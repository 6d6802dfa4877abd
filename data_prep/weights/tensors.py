"""Tensors of a file that may be anything, read without running code from it."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from data_prep.errors import BadInput

_REMEDY = (
    "give a state dict saved by safetensors or by torch.save, or a Keras HDF5 file; nothing that needs code to load"
)


@dataclass(frozen=True)
class TensorFile:
    """What a file of weights holds.

    Attributes:
        tensors: by name; of an HDF5 file by the paths of its datasets.
        metadata: strings in the header of a safetensors file.
        is_keras: whether it is an HDF5 file.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_keras: bool = False


def read_tensors(path: Path) -> TensorFile:
    """Read all tensors of a safetensors file, a file of torch.save or an HDF5 file, by its content and not its name.

    Raises:
        BadInput: the file is damaged, would need code to load, or is something else.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if h5py.is_hdf5(path):
            return TensorFile(_hdf5(path), is_keras=True)
        if start[8:] == b"{":
            with safe_open(path, framework="pt") as file:
                return TensorFile({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the bytes of a strange file lead it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError) and "weights" in reason.casefold():
            reason = "it is damaged, or loading it would run code from it"
        raise BadInput(f"{path}: not a whole file of tensors ({reason[:120]}); {_REMEDY}") from error
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(f"{path}: not a state dict; save `model.state_dict()`, not the model or a training checkpoint")
    return TensorFile(content)


def _hdf5(path: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}

    def take(name: str, item: object) -> None:
        # Fully connected layers, with two dimensions, are most of a file with the top, and of no use here.
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.ndim != 2:
            tensors[name] = torch.from_numpy(item[()].astype(np.float32))

    with h5py.File(path) as file:
        file.visititems(take)
    return tensors


def sha256_of(path: Path) -> str:
    """Return a file's checksum in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
