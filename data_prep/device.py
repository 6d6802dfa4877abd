"""The device on which PyTorch computes, and what its processor can do."""

from typing import Literal

import torch

from data_prep.errors import BadInput

BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""A processor's products of bfloat16, by PyTorch's names; without them it converts every number from and to float32."""


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


def bfloat16_instructions() -> tuple[str, ...]:
    """Return those of :data:`BFLOAT16_INSTRUCTIONS` that PyTorch reports of this processor.

    None where PyTorch is too old to say: float32 is never wrong.
    """
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return tuple(name for name in BFLOAT16_INSTRUCTIONS if capabilities.get(name))


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies in bfloat16 itself, so that it is faster than float32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(bfloat16_instructions())
