"""Small files about one sequence that are only valid for the images they were made from."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from data_prep.tensor_files import write_tensors


def write_sourced(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]) -> None:
    """Write a file atomically; a missing folder is created."""
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, tensors, facts)


def read_sourced(path: Path, facts: Mapping[str, str]) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """Read a file of :func:`write_sourced`.

    Args:
        path: the file.
        facts: entries that its header must have.

    Returns:
        Its tensors and its header; None if it is absent, damaged, or has another header.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        return None
    return (tensors, header) if facts.items() <= header.items() else None
