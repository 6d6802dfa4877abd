"""The thawed part of a backbone in fine-tuning: its first layer, its gradient, and its weights on disk."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from data_prep.backbones.backbone import Backbone
from data_prep.backbones.split import SplitBackbone
from data_prep.device import has_bfloat16
from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors
from face_strnn.config import Finetune, Precision, ThawedPrecision

_PREFIX = "features."
"""Before the names of layers in torchvision's state dicts, which the files here follow."""

BLOCKS: Mapping[Finetune, int | None] = {"last-block": 1, "last-two-blocks": 2, "all": None}
"""How many convolution blocks learn, counted from the maps downwards; None for all."""

_AGAIN = "delete it and run `face-strnn cv` again with the same --out: it resumes"


def thawed_precision(wanted: ThawedPrecision, device: torch.device | str) -> Precision:
    """Return what ``"auto"`` is on this machine and device, see :class:`face_strnn.config.FinetuningConfig`."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if has_bfloat16(torch.device(device)) else "float32"


def split_for_finetuning(backbone: Backbone, what: Finetune, precision: Precision = "float32") -> SplitBackbone:
    """Cut a backbone before the blocks that learn.

    Args:
        backbone: up to the pooling layer of the maps.
        what: one of :data:`BLOCKS`.
        precision: of the convolutions that learn; their weights, and all maps of a test, are float32.

    Raises:
        BadInput: the maps are of two pooling layers, or no such part is known.
    """
    if what not in BLOCKS:
        raise BadInput(f"--finetune {what}: must be one of {', '.join(BLOCKS)}")
    if "+" in backbone.maps:
        raise BadInput(f"--finetune: maps of two layers, {backbone.maps}, cannot be fine-tuned; use maps of one layer")
    return SplitBackbone.of(backbone, BLOCKS[what], precision)


def maps_with_gradient(split: SplitBackbone, inputs: Tensor) -> Tensor:
    """Compute maps through the thawed part, with a gradient.

    Several blocks are checkpointed: the backward pass computes each again, and only the maps between blocks are kept.
    The layers within them would take some 30 MB of memory for every frame of 112 x 112 pixels.

    Args:
        split: the backbone.
        inputs: (n, channels, height, width), float32, on its device.

    Returns:
        float32 (n, h, w, C).
    """
    blocks = split.blocks()
    with split.autocast():
        for block in blocks:
            inputs = checkpoint(block, inputs, use_reentrant=False) if len(blocks) > 1 else block(inputs)
    return inputs.float().permute(0, 2, 3, 1)


def save_thawed(path: Path, split: SplitBackbone, **facts: str) -> None:
    """Write the thawed part's parameters, whole or not at all, with ``facts`` in the file's header."""
    parameters = split.trained.named_parameters()
    write_tensors(path, {f"{_PREFIX}{name}": tensor.detach().cpu().contiguous() for name, tensor in parameters}, facts)


def load_thawed(path: Path, split: SplitBackbone) -> Backbone:
    """Return the whole backbone with the parameters that :func:`save_thawed` wrote.

    Raises:
        BadInput: no such file, damaged, or of another backbone.
    """
    split = split.anew()
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # The statistics of batch normalisation are not trained.
        split.trained.load_state_dict({**dict(split.trained.named_buffers()), **weights})
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise ValueError("not of finite numbers")
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: not the thawed weights of this backbone ({reason}); {_AGAIN}") from error
    return split.rejoined()


def thawed_facts(path: Path) -> dict[str, str]:
    """Return the facts that :func:`save_thawed` wrote into a file's header.

    Raises:
        BadInput: no such file, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: missing or damaged ({error}); {_AGAIN}") from error
