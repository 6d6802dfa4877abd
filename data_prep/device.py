"""The device on which PyTorch computes."""

from typing import Literal

import torch

from data_prep.errors import BadInput


def compute_device(name: Literal["auto", "cpu", "cuda"] = "auto") -> torch.device:
    """Return the device of a name; ``"auto"`` is a GPU if there is one.

    Raises:
        BadInput: a GPU is requested but absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch finds no GPU on this machine; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
