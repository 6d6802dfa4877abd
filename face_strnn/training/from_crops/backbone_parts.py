"""The backbone in two parts: what stays frozen, and what is thawed and has weights of its own in every fold."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from data_prep.backbones.backbone import Backbone, pooling_places
from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors
from face_strnn.config import Finetune

_PREFIX = "features."
"""Before the names of layers in torchvision's state dicts, which the files here follow."""


@dataclass(frozen=True)
class BackboneParts:
    """A backbone, cut where thawing begins.

    Attributes:
        whole: as it was loaded.
        n_frozen: number of its first layers that stay frozen; those after them are thawed.
    """

    whole: Backbone
    n_frozen: int

    @classmethod
    def of(cls, backbone: Backbone, what: Finetune) -> "BackboneParts":
        """Cut a backbone before the last block of its maps' pooling layer, or before its first layer.

        Args:
            backbone: up to the pooling layer whose maps are taken.
            what: ``"last-block"`` or ``"all"``.

        Raises:
            BadInput: the maps are of two pooling layers.
        """
        if "+" in backbone.maps:
            raise BadInput(f"--finetune: maps of two layers, {backbone.maps}, cannot be fine-tuned; take those of one")
        pools = pooling_places(backbone.features)
        return cls(backbone, pools[-2] + 1 if what == "last-block" else 0)

    def frozen(self) -> Backbone:
        """Return the frozen part: from crops to its maps, with the range and type of stored ones."""
        return self._with(self.whole.features[: self.n_frozen])

    def thawed(self) -> nn.Sequential:
        """Return a copy of the other part, to be trained.

        It is in evaluation mode: batch norm keeps the statistics that it has.
        """
        return deepcopy(self.whole.features[self.n_frozen :]).requires_grad_(True)

    def rejoined(self, thawed: nn.Sequential) -> Backbone:
        """Return the whole backbone with a copy of a thawed part."""
        copied = deepcopy(thawed).requires_grad_(False)
        return self._with(nn.Sequential(*self.whole.features[: self.n_frozen], *copied).eval())

    def load(self, path: Path) -> Backbone:
        """Return the whole backbone with the weights that :func:`save_thawed` wrote.

        Raises:
            BadInput: no such file, damaged, or of another backbone.
        """
        thawed = self.thawed()
        try:
            with safe_open(path, framework="pt") as file:
                found = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            set_weights(thawed, found)
        except (SafetensorError, OSError, KeyError, RuntimeError) as error:
            raise BadInput(f"{path}: not the thawed weights of this backbone ({error}); {_AGAIN}") from error
        return self.rejoined(thawed)

    def _with(self, features: nn.Sequential) -> Backbone:
        return _Changed(**{**vars(self.whole), "features": features})


class _Changed(Backbone):
    """A backbone with other layers than its weights' file gives."""

    def __reduce__(self) -> NoReturn:
        """Another process would load that file, and compute other maps."""
        raise TypeError("a part of a backbone, or a fine-tuned one, cannot be handed to another process")


_AGAIN = "delete it and run `face-strnn cv` again with the same --out: it resumes"


def weights_of(thawed: nn.Sequential) -> dict[str, Tensor]:
    """Return a thawed part's parameters by name; statistics of batch norm, which stay, are not among them."""
    return {name: parameter.detach() for name, parameter in thawed.named_parameters()}


@torch.no_grad()
def set_weights(thawed: nn.Sequential, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a thawed part, in place.

    Raises:
        KeyError: names are missing or too many.
        RuntimeError: a tensor is of another shape.
    """
    wanted = dict(thawed.named_parameters())
    if wanted.keys() != weights.keys():
        raise KeyError(f"{', '.join(sorted(wanted.keys() ^ weights.keys()))} on one side alone")
    for name, parameter in wanted.items():
        if parameter.shape != weights[name].shape:
            raise RuntimeError(f"{name} is {tuple(weights[name].shape)} and not {tuple(parameter.shape)}")
        parameter.copy_(weights[name])


def save_thawed(path: Path, weights: Mapping[str, Tensor], **facts: str) -> None:
    """Write a thawed part's weights, whole or not at all; ``facts`` stand in the file's header."""
    tensors = {f"{_PREFIX}{name}": tensor.cpu().contiguous() for name, tensor in weights.items()}
    write_tensors(path, tensors, facts)


def thawed_facts(path: Path) -> dict[str, str]:
    """Return what the header of a file says that :func:`save_thawed` wrote.

    Raises:
        BadInput: no such file, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: missing or damaged ({error}); {_AGAIN}") from error


def maps_with_gradient(thawed: nn.Sequential, inputs: Tensor) -> Tensor:
    """Compute maps through a thawed part, so that a gradient can flow back.

    Of several blocks each is computed again on the way back and only what lies between blocks is kept: the layers
    within them would take some 30 MB of memory for every frame of 112 x 112 pixels. On a GPU the arithmetic is
    bfloat16, the weights stay float32.

    Args:
        thawed: the part.
        inputs: (n, channels, height, width), float32, on its device.

    Returns:
        float32 (n, h, w, C).
    """
    blocks = _blocks(thawed)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.device.type == "cuda"):
        for block in blocks:
            inputs = checkpoint(block, inputs, use_reentrant=False) if len(blocks) > 1 else block(inputs)
    return inputs.float().permute(0, 2, 3, 1)


def _blocks(layers: nn.Sequential) -> list[nn.Sequential]:
    """Cut behind every pooling layer."""
    ends = [place + 1 for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    return [layers[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
