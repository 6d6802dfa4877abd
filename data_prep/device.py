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


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies in bfloat16 itself, so that it is faster than float32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of PyTorch cannot tell; float32 is never wrong.
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and any(known.get(name) for name in ("amx_bf16", "avx512_bf16"))
