"""Learning by steps of Adam, epoch by epoch, with the best epoch kept; a kill loses one epoch at most."""

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
"""Rate of each block as a share of that of the block above it."""

WARM_UP = 0.1
"""Share of the steps over which the rates rise; afterwards they fall along a cosine to zero."""


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

    def held_out_loss(self) -> float:
        """Return the loss on the validation set."""


@dataclass(frozen=True)
class PretrainingOptions:
    """How a backbone is pretrained.

    Attributes:
        epochs: passes in which the backbone learns, after those of the heads alone.
        rate: Adam's for the uppermost block.
        head_rate: Adam's for the heads.
        patience: epochs without a lower held-out loss after which learning ends.
        keep: weight of the mean squared difference to the starting maps, standardised by channel.
        seed: of heads, order and disturbances.
    """

    epochs: int
    rate: float = 1e-4
    head_rate: float = 3e-4
    patience: int = 5
    keep: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """Result of an epoch: the mean training loss, and the validation loss."""

    loss: float
    held_out: float


def learn(
    backbone: SplitBackbone,
    task: Task,
    options: PretrainingOptions,
    checkpoint: Path,
    progress: Progress = lambda *_: None,
) -> list[Epoch]:
    """Train a backbone in place; it and the heads end with the parameters of the best epoch.

    Args:
        backbone: its last blocks learn.
        task: gives batches and losses; its heads learn.
        options: how long and how fast.
        checkpoint: file that is written after every epoch; training resumes from it where it is there.
        progress: told how many steps are done, of how many unless learning ends early, and what each epoch found.

    Returns:
        All epochs, those of the heads alone first.

    Raises:
        BadInput: the checkpoint is damaged, or training diverges. The checkpoint then holds the epoch before.
    """
    # From scratch there is nothing that random heads could destroy.
    head_epochs = 0 if backbone.from_scratch else HEAD_EPOCHS
    n_epochs = head_epochs + options.epochs
    blocks = backbone.blocks()[::-1]
    rates = [options.rate * LOWER_RATE**depth for depth in range(len(blocks))]
    groups = [{"params": list(block.parameters()), "lr": rate} for block, rate in zip(blocks, rates, strict=True)]
    optimiser = torch.optim.Adam([*groups, {"params": list(task.heads.parameters()), "lr": options.head_rate}])
    modules = nn.ModuleDict({"trained": backbone.trained, "heads": task.heads})
    history, best = [], {}
    if checkpoint.is_file():
        with resumed_state(checkpoint, optimiser, "remove it") as state:
            best = state["best"]
            for kept in (
                best or state["modules"],
                state["modules"],
            ):  # the best epoch's is refused where it is no state
                modules.load_state_dict(kept)
            history = TypeAdapter(list[Epoch]).validate_python(state["history"])
    for epoch in range(len(history), n_epochs):
        if epoch - _best_epoch(history, head_epochs) > options.patience:
            break
        heads_only = epoch < head_epochs
        total = torch.zeros((), dtype=torch.float64, device=backbone.whole.device)
        for step, batch in enumerate(task.batches(epoch)):
            share = _share(epoch, step, task.steps, head_epochs, n_epochs)
            for group, rate in zip(optimiser.param_groups, [*rates, options.head_rate], strict=True):
                group["lr"] = rate * share
            optimiser.zero_grad()
            loss = task.loss(batch, heads_only)
            loss.backward()
            optimiser.step()
            total += loss.detach()
            if step + 1 < task.steps:
                progress("learning", epoch * task.steps + step + 1, n_epochs * task.steps)
        history.append(Epoch(float(total) / task.steps, task.held_out_loss()))
        require_finite(
            f"pretraining, seed {options.seed}, epoch {epoch + 1}",
            f"--rate {options.rate:g}",
            {"loss": asdict(history[-1]).values(), "parameters": modules.state_dict().values()},
            "start again with a lower --rate and another --out",
        )
        if epoch == _best_epoch(history, head_epochs):
            best = {name: tensor.clone() for name, tensor in modules.state_dict().items()}
        written = [asdict(epoch) for epoch in history]
        save_state(checkpoint, optimiser, modules=modules.state_dict(), history=written, best=best)
        progress("learning", (epoch + 1) * task.steps, n_epochs * task.steps, _found(history, n_epochs, heads_only))
    modules.load_state_dict(best)
    return history


def _found(history: list[Epoch], n_epochs: int, heads_only: bool) -> str:
    alone = " (heads alone)" if heads_only else ""
    losses = f"loss {history[-1].loss:.3f}, validation loss {history[-1].held_out:.3f}"
    return f"epoch {len(history)} of {n_epochs}{alone}, {losses}"


def _best_epoch(history: list[Epoch], head_epochs: int) -> int:
    """Of the epochs in which the backbone learned, the first of them where there is none yet."""
    return min(range(head_epochs, len(history)), key=lambda epoch: history[epoch].held_out, default=head_epochs)


def _share(epoch: int, step: int, steps: int, head_epochs: int, n_epochs: int) -> float:
    """Share of the rates: each phase, the heads' own and the common one, rises and falls once."""
    first, last = (0, head_epochs) if epoch < head_epochs else (head_epochs, n_epochs)
    passed = ((epoch - first) * steps + step + 1) / ((last - first) * steps)
    return passed / WARM_UP if passed < WARM_UP else 0.5 * (1 + math.cos(math.pi * (passed - WARM_UP) / (1 - WARM_UP)))
