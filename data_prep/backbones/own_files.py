"""The project's own weights files: safetensors in torchvision's naming, described by their header."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from torch import Tensor

from data_prep.backbones.architectures import ARCHITECTURES
from data_prep.backbones.head import Head
from data_prep.backbones.naming import differences, pool_channels
from data_prep.backbones.preprocessing import Preprocessing
from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors

_PREFIX = "features."
_KIND = "backbone"
_RESERVED = ("face_strnn", "architecture", "channels", "scale", "mean", "std", "blocks", "head")
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"


class _HeadFacts(BaseModel):
    classes: tuple[str, ...]
    maps: str


@dataclass(frozen=True)
class Described:
    """What the header of one of the project's own files says.

    Attributes:
        architecture: of the network.
        preprocessing: of its input.
        n_blocks: number of convolution blocks in the file; None for all.
        head: classes and pooling layer of the classifier that the file holds; None where it holds none.
        facts: further information.
    """

    architecture: str
    preprocessing: Preprocessing
    n_blocks: int | None
    head: tuple[tuple[str, ...], str] | None
    facts: dict[str, str]


def write_backbone(
    path: Path,
    architecture: str,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    facts: Mapping[str, str],
    n_blocks: int | None = None,
    head: Head | None = None,
) -> None:
    """Write the weights of a network's feature part atomically; equal content gives equal bytes.

    The header has ``face_strnn`` = ``"backbone"``, ``architecture``, ``channels``, and as JSON ``scale``, ``mean`` and
    ``std``, where given ``blocks`` and ``head``, beside the facts.

    Args:
        path: the file.
        architecture: one of :data:`data_prep.backbones.architectures.ARCHITECTURES`.
        state: the state dict of ``feature_layers(architecture)``, with or without the prefix ``features.``.
        preprocessing: of the network's training images.
        facts: further information, such as the data and the settings of its training.
        n_blocks: number of convolution blocks in ``state``, from the input upwards; None for all.
        head: a classifier of single frames on its maps; None for none.

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
    if wrong := differences(learned, architecture, {}, n_blocks):
        raise ValueError(f"{path}: not a {architecture}: {wrong[0]}")
    if head and (misfit := head.misfit(architecture)):
        raise ValueError(f"{path}: the head: {misfit}")
    tensors = {f"{_PREFIX}{name}": tensor for name, tensor in learned.items()}
    header = {
        **facts,
        "face_strnn": _KIND,
        "architecture": architecture,
        "channels": preprocessing.channels,
        "scale": json.dumps(preprocessing.scale),
        "mean": json.dumps(preprocessing.mean),
        "std": json.dumps(preprocessing.std),
    }
    if n_blocks is not None:
        header["blocks"] = json.dumps(n_blocks)
    if head:
        header["head"] = json.dumps({"classes": head.classes, "maps": head.maps})
        tensors |= {HEAD_WEIGHT: head.weight.detach().cpu(), HEAD_BIAS: head.bias.detach().cpu()}
    write_tensors(path, tensors, header)


def is_own(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors header was written by :func:`write_backbone`."""
    return metadata.get("face_strnn") == _KIND


def read_header(path: Path, metadata: Mapping[str, str]) -> Described:
    """Return what a header says that :func:`write_backbone` wrote.

    Raises:
        BadInput: that function did not write it.
    """
    try:
        numbers = [json.loads(metadata[name]) for name in ("scale", "mean", "std")]
        preprocessing = Preprocessing.of_json([metadata["channels"], *numbers])
        architecture = metadata["architecture"]
        n_blocks = None
        if "blocks" in metadata:
            n_blocks = json.loads(metadata["blocks"])
            if n_blocks not in range(1, 1 + len(pool_channels(ARCHITECTURES[0]))):
                raise ValueError(f"{n_blocks} blocks")
        head = None
        if "head" in metadata:
            told = _HeadFacts.model_validate_json(metadata["head"])
            head = told.classes, told.maps
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: its header does not say what its backbone takes ({error}); make the file again, or take a copy "
            "that was not edited"
        ) from error
    facts = {name: text for name, text in metadata.items() if name not in _RESERVED}
    return Described(architecture, preprocessing, n_blocks, head, facts)
