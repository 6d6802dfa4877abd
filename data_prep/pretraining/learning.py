"""Learning by steps of Adam, epoch by epoch, with the best epoch kept; a kill loses one epoch at most."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from data_prep.errors import BadInput
from data_prep.pretraining.split_backbone import SplitBackbone
from data_prep.tensor_files import write_tensors

HEAD_EPOCHS = 2
"""Epochs in which the heads alone learn. Random heads would first of all destroy what pretrained maps can do
(Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022)."""

LOWER_RATE = 0.3
"""Rate of each block as a share of that of the block above it."""

WARM_UP = 0.1
"""Share of the steps over which the rates rise; afterwards they fall along a cosine to zero."""


class Task(Protocol):
    """What is learned, and from what."""

    heads: nn.Module
    steps: int
    """Batches of an epoch."""

    def batches(self, epoch: int) -> Iterator[Any]:
        """Give an epoch's batches; the epoch's number and the seed alone decide them."""

    def loss(self, batch: Any, heads_only: bool) -> Tensor:  # noqa: ANN401 a task's own kind of batch
        """Return the loss of a batch; with ``heads_only`` the maps need no gradient."""

    def held_out_loss(self) -> float:
        """Return the loss on what is set aside for choosing the epoch."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes in which the backbone learns, after those of the heads alone.
        rate: Adam's for the uppermost block.
        head_rate: Adam's for the heads.
        patience: epochs without a lower held-out loss after which learning ends.
    """

    epochs: int
    rate: float = 1e-4
    head_rate: float = 3e-4
    patience: int = 5


@dataclass(frozen=True)
class Epoch:
    """What came of an epoch: the mean training loss, and the loss on what was set aside."""

    loss: float
    held_out: float


def learn(
    backbone: SplitBackbone,
    task: Task,
    schedule: Schedule,
    checkpoint: Path,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Epoch]:
    """Teach a backbone in place; it and the heads end with the parameters of the best epoch.

    Args:
        backbone: its upper blocks learn.
        task: gives batches and losses; its heads learn.
        schedule: how long and how fast.
        checkpoint: file that is written after every epoch, and taken up where it is there.
        progress: called with the number of steps done.

    Returns:
        All epochs, those of the heads alone first.

    Raises:
        BadInput: the checkpoint is damaged, or the loss is no number.
    """
    head_epochs = _head_epochs(backbone)
    n_epochs = head_epochs + schedule.epochs
    blocks = list(backbone.blocks())
    rates = [schedule.rate * LOWER_RATE**depth for depth in range(len(blocks))]
    groups = [{"params": block, "lr": rate} for block, rate in zip(blocks, rates, strict=True)]
    optimiser = torch.optim.Adam([*groups, {"params": list(task.heads.parameters()), "lr": schedule.head_rate}])
    modules = {"upper": backbone.upper, "heads": task.heads}
    history, best = _take_up(checkpoint, modules, optimiser)
    for epoch in range(len(history), n_epochs):
        if epoch - _best_epoch(history, head_epochs) > schedule.patience:
            break
        heads_only = epoch < head_epochs
        losses = []
        for step, batch in enumerate(task.batches(epoch)):
            share = _share(epoch, step, task.steps, head_epochs, n_epochs)
            for group, rate in zip(optimiser.param_groups, [*rates, schedule.head_rate], strict=True):
                group["lr"] = rate * share
            optimiser.zero_grad()
            loss = task.loss(batch, heads_only)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            progress(epoch * task.steps + step + 1)
        if not math.isfinite(sum(losses)):
            raise BadInput(f"{checkpoint}: the loss is no number in epoch {epoch + 1}; start again with a lower --rate")
        history.append(Epoch(sum(losses) / len(losses), task.held_out_loss()))
        if epoch == _best_epoch(history, head_epochs):
            best = {
                f"{module}.{name}": tensor.clone()
                for module, layers in modules.items()
                for name, tensor in layers.state_dict().items()
            }
        _keep(checkpoint, modules, optimiser, history, best)
    for module, layers in modules.items():
        layers.load_state_dict(_under(best, module))
    return history


def total_steps(backbone: SplitBackbone, task: Task, schedule: Schedule) -> int:
    """Return how many steps learning takes unless it ends early."""
    return task.steps * (_head_epochs(backbone) + schedule.epochs)


def _head_epochs(backbone: SplitBackbone) -> int:
    """From scratch there is nothing that random heads could destroy."""
    return 0 if backbone.starting is None else HEAD_EPOCHS


def _best_epoch(history: list[Epoch], head_epochs: int) -> int:
    """Of the epochs in which the backbone learned, the first of them where there is none yet."""
    return min(range(head_epochs, len(history)), key=lambda epoch: history[epoch].held_out, default=head_epochs)


def _share(epoch: int, step: int, steps: int, head_epochs: int, n_epochs: int) -> float:
    """Share of the rates: each phase, the heads' own and the common one, rises and falls once."""
    first, last = (0, head_epochs) if epoch < head_epochs else (head_epochs, n_epochs)
    passed = ((epoch - first) * steps + step + 1) / ((last - first) * steps)
    return passed / WARM_UP if passed < WARM_UP else 0.5 * (1 + math.cos(math.pi * (passed - WARM_UP) / (1 - WARM_UP)))


def _keep(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    history: list[Epoch],
    best: Mapping[str, Tensor],
) -> None:
    tensors = {f"best.{name}": tensor for name, tensor in best.items()}
    for module, layers in modules.items():
        tensors |= {f"{module}.{name}": tensor for name, tensor in layers.state_dict().items()}
    for parameter, kept in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{parameter}.{name}": tensor for name, tensor in kept.items()}
    facts = {"history": json.dumps([asdict(epoch) for epoch in history])}
    write_tensors(path, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, facts)


def _take_up(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer
) -> tuple[list[Epoch], dict[str, Tensor]]:
    """Restore modules and optimiser from a checkpoint; return its history and the best epoch's parameters."""
    if not path.is_file():
        return [], {}
    try:
        with safe_open(path, "pt") as file:
            history = [Epoch(**epoch) for epoch in json.loads(file.metadata()["history"])]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no mapping
        for module, layers in modules.items():
            layers.load_state_dict(_under(tensors, module))
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise BadInput(f"{path}: not a whole checkpoint of this network ({error}); remove it") from error
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under(tensors, "optimiser").items():
        parameter, _, quantity = name.partition(".")
        kept.setdefault(int(parameter), {})[quantity] = tensor
    optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})
    return history, _under(tensors, "best")


def _under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
