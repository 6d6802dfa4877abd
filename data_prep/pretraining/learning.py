"""Learning by steps of AdamW under one cycle of the rates; a kill loses one epoch at most."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from data_prep.backbones.split import SplitBackbone
from data_prep.divergence import require_finite
from data_prep.training_state import resumed_state, save_state

HEAD_EPOCHS = 2
"""Epochs in which the heads alone learn. Random heads would first of all destroy what pretrained maps can do
(Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022)."""

LOWER_RATE = 0.3
"""Rate of each block as a share of that of the block above it, where pretrained blocks learn on."""

WARM_UP = 0.1
"""Share of the steps over which the rates rise; afterwards they fall along a cosine to zero."""

WEIGHT_DECAY = 0.05
"""Of convolutions and heads; neither biases nor batch norm decay."""


class Progress(Protocol):
    """Told how far a pretraining is."""

    def __call__(self, stage: str, done: int, whole: int, note: str = "") -> None:
        """Take what is being done, how much of it is done, how much there is, and what an epoch has found."""


class Task(Protocol):
    """A training task: batches and losses."""

    heads: nn.Module
    steps: int
    """Batches of an epoch."""

    def batches(self, epoch: int) -> Iterator[Any]:
        """Give an epoch's batches; the epoch's number and the seed alone decide them."""

    def loss(self, batch: Any, heads_only: bool) -> Tensor:  # noqa: ANN401 a task's own kind of batch
        """Return the loss of a batch; with ``heads_only`` the maps need no gradient."""

    def validation_loss(self, epoch: int) -> float:
        """Return the loss on the validation set, under the conditions of an epoch."""


@dataclass(frozen=True)
class PretrainingOptions:
    """How a backbone is pretrained.

    Attributes:
        epochs: passes in which the backbone learns, after those of the heads alone.
        rate: AdamW's highest for the uppermost block; from scratch for every block.
        head_rate: AdamW's highest for the heads.
        keep: weight of the mean squared difference to the starting maps, standardised by channel.
        seed: of heads, order and disturbances.
    """

    epochs: int
    rate: float = 1e-4
    head_rate: float = 3e-4
    keep: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """Result of an epoch: the mean training loss, and the validation loss."""

    loss: float
    validation_loss: float


def head_epochs(backbone: SplitBackbone) -> int:
    """Return the number of epochs of the heads alone: from scratch there is nothing that random heads could destroy."""
    return 0 if backbone.from_scratch else HEAD_EPOCHS


def learn(
    backbone: SplitBackbone,
    task: Task,
    options: PretrainingOptions,
    checkpoint: Path,
    progress: Progress = lambda *_: None,
) -> list[Epoch]:
    """Train a backbone in place; it and the heads end with the parameters of the last epoch.

    Args:
        backbone: its last blocks learn.
        task: gives batches and losses; its heads learn.
        options: how long and how fast.
        checkpoint: file that is written after every epoch; training resumes from it where it is there.
        progress: told how many steps are done, of how many, and what each epoch found.

    Returns:
        All epochs, those of the heads alone first.

    Raises:
        BadInput: the checkpoint is damaged, or training diverges. The checkpoint then holds the epoch before.
    """
    n_alone = head_epochs(backbone)
    n_epochs = n_alone + options.epochs
    optimiser = torch.optim.AdamW(_groups(backbone, task.heads, options), weight_decay=0.0)
    rates = [group["lr"] for group in optimiser.param_groups]
    modules = nn.ModuleDict({"trained": backbone.trained, "heads": task.heads})
    history: list[Epoch] = []
    if checkpoint.is_file():
        with resumed_state(checkpoint, optimiser, "remove it") as state:
            modules.load_state_dict(state["modules"])
            history = TypeAdapter(list[Epoch]).validate_python(state["history"])
    for epoch in range(len(history), n_epochs):
        alone = epoch < n_alone
        total = torch.zeros((), dtype=torch.float64, device=backbone.whole.device)
        for step, batch in enumerate(task.batches(epoch)):
            share = _share(epoch, step, task.steps, n_alone, n_epochs)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share
            optimiser.zero_grad()
            loss = task.loss(batch, alone)
            loss.backward()
            optimiser.step()
            total += loss.detach()
            if step + 1 < task.steps:
                progress("learning", epoch * task.steps + step + 1, n_epochs * task.steps)
        history.append(Epoch(float(total) / task.steps, task.validation_loss(epoch)))
        require_finite(
            f"pretraining, seed {options.seed}, epoch {epoch + 1}",
            f"--rate {options.rate:g}",
            {"loss": asdict(history[-1]).values(), "parameters": modules.state_dict().values()},
            "start again with a lower --rate and another --out",
        )
        save_state(checkpoint, optimiser, modules=modules.state_dict(), history=[asdict(one) for one in history])
        progress("learning", (epoch + 1) * task.steps, n_epochs * task.steps, _found(history, n_epochs, alone))
    return history


def _groups(backbone: SplitBackbone, heads: nn.Module, options: PretrainingOptions) -> list[dict[str, Any]]:
    """The optimiser's groups: for each block, from the uppermost down, and for the heads, what decays and what not."""
    falloff = 1.0 if backbone.from_scratch else LOWER_RATE
    rates = [(block, options.rate * falloff**depth) for depth, block in enumerate(backbone.blocks()[::-1])]
    groups = []
    for module, rate in [*rates, (heads, options.head_rate)]:
        parameters = list(module.parameters())
        decayed = [parameter for parameter in parameters if parameter.dim() > 1]
        others = [parameter for parameter in parameters if parameter.dim() <= 1]
        groups += [{"params": decayed, "lr": rate, "weight_decay": WEIGHT_DECAY}, {"params": others, "lr": rate}]
    return groups


def _found(history: list[Epoch], n_epochs: int, heads_only: bool) -> str:
    alone = " (heads alone)" if heads_only else ""
    losses = f"loss {history[-1].loss:.3f}, validation loss {history[-1].validation_loss:.3f}"
    return f"epoch {len(history)} of {n_epochs}{alone}, {losses}"


def _share(epoch: int, step: int, steps: int, n_alone: int, n_epochs: int) -> float:
    """Share of the rates: each phase, the heads' own and the common one, rises and falls once."""
    first, last = (0, n_alone) if epoch < n_alone else (n_alone, n_epochs)
    passed = ((epoch - first) * steps + step + 1) / ((last - first) * steps)
    return passed / WARM_UP if passed < WARM_UP else 0.5 * (1 + math.cos(math.pi * (passed - WARM_UP) / (1 - WARM_UP)))
