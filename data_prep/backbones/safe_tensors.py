"""Reading tensors from untrusted files, without running code from them."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.torch_files import load_torch_file

_REMEDY = (
    "give a state dict saved by safetensors or by torch.save, or a Keras HDF5 file; nothing that needs code to load"
)

_LARGEST = 2**28
"""Most values of an HDF5 file's tensors together: nearly twice those of a VGG19 with its fully connected layers, which
some files contain as convolutions. They are 1 GiB in float32."""


@dataclass(frozen=True)
class TensorFile:
    """Content of a weights file.

    Attributes:
        tensors: by name; for an HDF5 file, by the paths of its datasets.
        metadata: that of a safetensors header.
        is_keras: whether it is an HDF5 file.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_keras: bool = False


def read_tensors(path: Path) -> TensorFile:
    """Read all tensors of a safetensors file, a file of torch.save or an HDF5 file, as recognised by its content.

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
        with warnings.catch_warnings():  # the errors below report the same about unusual files
            warnings.simplefilter("ignore")
            content = load_torch_file(path)
    except Exception as error:  # torch.load raises exceptions of many types for unusual files
        raise BadInput(f"{path}: not a whole file of tensors ({_reason(error)}); {_REMEDY}") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise BadInput(f"{path}: not a state dict; save `model.state_dict()`, not the model or a training checkpoint")
    return TensorFile(content)


def _reason(error: Exception) -> str:
    """The reason why a file cannot be read, if the library that read it gives one."""
    message = str(error).splitlines()[0] if str(error) else ""
    if "TorchScript" in message:
        return "it is a TorchScript program, and loading it would run its code"
    if isinstance(error, EOFError):
        return "it is empty or cut short"
    # Other exceptions of unpickling come from bytes that are not tensors, and tell a user nothing.
    known = isinstance(error, OSError | RuntimeError | MemoryError | ValueError | SafetensorError)
    return message[:160] if known and message else "it is damaged, or loading it would run code from it"


def _hdf5(path: Path) -> dict[str, Tensor]:
    kept: dict[str, h5py.Dataset] = {}

    def keep(name: str, item: object) -> None:
        # Fully connected layers, with two dimensions, are most of a file with the top, and unused here.
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.ndim not in (0, 2):
            kept[name] = item

    with h5py.File(path) as file:
        file.visititems(keep)
        n_values = 0
        for name, item in kept.items():
            if item.external or item.is_virtual:
                raise ValueError(f"{name[:60]} lies in another file")
            # A compressed chunk may expand to any size, also beyond the shape that the file states.
            if item.id.get_create_plist().get_nfilters():
                raise ValueError(f"{name[:60]} is compressed; `h5repack -f NONE` writes it plainly, as Keras does")
            # A terabyte that was never written takes a few bytes of the file.
            n_values += item.size
            if n_values > _LARGEST:
                raise ValueError(f"with {name[:60]} of shape {item.shape} it holds more values than any VGG has")
        return {name: torch.from_numpy(item[()].astype(np.float32)) for name, item in kept.items()}


def sha256_of(path: Path) -> str:
    """Return a file's checksum in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
