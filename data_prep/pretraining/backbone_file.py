"""A backbone on disk: a safetensors file that says which network it is and what it expects of pixels."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from data_prep.tensor_files import write_tensors
from data_prep.weights import Preprocessing


def write_backbone(
    path: Path,
    architecture: str,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    facts: Mapping[str, str],
) -> None:
    """Write a backbone's feature part, whole or not at all; the same content gives the same bytes.

    Args:
        path: the file, ``.safetensors``.
        architecture: one of :data:`data_prep.architectures.ARCHITECTURES`.
        state: tensors in torchvision's naming without the prefix ``features.``, for example ``"0.weight"``.
        preprocessing: what the network expects as its input.
        facts: further strings for the header: where the weights come from, what was measured of them.
    """
    header = {
        **facts,
        "face_strnn": "backbone",
        "architecture": architecture,
        "channels": preprocessing.channels,
        "scale": json.dumps(preprocessing.scale),
        "mean": json.dumps(list(preprocessing.mean)),
        "std": json.dumps(list(preprocessing.std)),
    }
    tensors = {f"features.{name}": tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    write_tensors(path, tensors, header)
