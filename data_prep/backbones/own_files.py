"""The project's own weights files: safetensors in torchvision's naming, described by their header."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from data_prep.backbones.naming import differences
from data_prep.backbones.preprocessing import Preprocessing
from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors

_PREFIX = "features."
_KIND = "backbone"
_RESERVED = ("face_strnn", "architecture", "channels", "scale", "mean", "std")


def write_backbone(
    path: Path, architecture: str, state: Mapping[str, Tensor], preprocessing: Preprocessing, facts: Mapping[str, str]
) -> None:
    """Write the weights of a network's feature part atomically; equal content gives equal bytes.

    The header has ``face_strnn`` = ``"backbone"``, ``architecture``, ``channels``, and as JSON ``scale``, ``mean`` and
    ``std``, beside the facts.

    Args:
        path: the file.
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`.
        state: the state dict of ``feature_layers(architecture)``, with or without the prefix ``features.``.
        preprocessing: of the network's training images.
        facts: further information, such as the data and the settings of its training.

    Raises:
        ValueError: the tensors do not fit the architecture, or a fact has one of the names above.
    """
    if taken := set(facts) & set(_RESERVED):
        raise ValueError(f"{path}: the facts {sorted(taken)} have names that the file itself uses")
    learned = {
        name.removeprefix(_PREFIX): tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    if wrong := differences(learned, architecture, {}):
        raise ValueError(f"{path}: not a {architecture}: {wrong[0]}")
    header = {
        **facts,
        "face_strnn": _KIND,
        "architecture": architecture,
        "channels": preprocessing.channels,
        "scale": json.dumps(preprocessing.scale),
        "mean": json.dumps(preprocessing.mean),
        "std": json.dumps(preprocessing.std),
    }
    write_tensors(path, {f"{_PREFIX}{name}": tensor for name, tensor in learned.items()}, header)


def is_own(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors header was written by :func:`write_backbone`."""
    return metadata.get("face_strnn") == _KIND


def read_header(path: Path, metadata: Mapping[str, str]) -> tuple[str, Preprocessing, dict[str, str]]:
    """Return architecture, preprocessing and facts of a header that :func:`write_backbone` wrote.

    Raises:
        BadInput: that function did not write it.
    """
    try:
        numbers = [json.loads(metadata[name]) for name in ("scale", "mean", "std")]
        preprocessing = Preprocessing.of_json([metadata["channels"], *numbers])
        architecture = metadata["architecture"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: its header does not say what its backbone takes ({error}); make the file again, or take a copy "
            "that was not edited"
        ) from error
    return architecture, preprocessing, {name: text for name, text in metadata.items() if name not in _RESERVED}
