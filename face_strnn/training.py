"""Training of a stack of networks over the same maps.

The folds of a cross-validation are networks that differ only in which sequences they are taught. They are trained
together: each batch is read once, all networks compute it, and each network's loss leaves out what it must not see.
Nothing is shared between networks, so that a fold's result is that of training it alone (up to the rounding of
differently shaped matrix products); ``tests/test_training.py`` holds this.
"""

import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors
from face_strnn.config import Config
from face_strnn.loss import mean_cross_entropy, sparsity_penalty
from face_strnn.network import STRNN, MapBatch, Parameters, initial_parameters, logits
from face_strnn.scan import Scan
from face_strnn.spatial_compiled import Workspace

UNDECAYED = ("spatial.b", "spatial.G", "temporal.b", "temporal.G")


@dataclass(frozen=True)
class Member:
    """One network of a stack.

    Attributes:
        fold: its number, from 1; with ``seed`` it draws the initial parameters.
        seed: the seed.
        taught: bool (N,): the samples that it may learn from.
        watched: bool (N,): the samples whose accuracy chooses the epoch that is kept; None keeps the last one.
    """

    fold: int
    seed: int
    taught: np.ndarray
    watched: np.ndarray | None = None


@dataclass
class Standardisation:
    """Mean and standard deviation of every channel over a network's own training samples.

    It is fitted per network, so that no held-out subject's maps enter it, and it is folded into U and b: a saved model
    takes maps as they are stored, exactly as equation (1) has it.

    Attributes:
        mean, std: (M, C).
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, moments: Tensor, taught: Tensor) -> "Standardisation":
        """Fit to (N, 3, C) moments (see :func:`face_strnn.samples.channel_moments`) under an (M, N) mask."""
        count, total, squares = torch.einsum("mn,nqc->qmc", taught.double(), moments)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        # A channel that hardly ever answers would be blown up to the size of the others.
        return cls(mean.float(), torch.maximum(std, 0.1 * std.mean(1, keepdim=True)).float())

    def fold_in(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return parameters for maps as stored, from parameters for standardised maps."""
        U = parameters["spatial.U"] / self.std[:, None, None, :]
        b = parameters["spatial.b"] - (U @ self.mean[:, None, :, None]).squeeze(-1)
        return {**parameters, "spatial.U": U, "spatial.b": b}


@dataclass
class Epoch:
    """What one network did in one epoch.

    Attributes:
        fold, seed: which network.
        epoch: number, from 1.
        loss, cross_entropy, train_accuracy: means over the samples that it was taught.
        watched_accuracy, watched_cross_entropy: after the epoch, over the samples that it is watched on; None where
            there are none. They choose the epoch that is kept: the highest accuracy, among equals the lowest cross
            entropy, among equals the first.
    """

    fold: int
    seed: int
    epoch: int
    loss: float
    cross_entropy: float
    train_accuracy: float
    watched_accuracy: float | None = None
    watched_cross_entropy: float | None = None


@dataclass
class Stack:
    """Networks in training.

    Attributes:
        members: the M networks.
        config: their settings.
        standardisation: per network.
        parameters: for standardised maps, each with a leading dimension M.
        history: one entry per network and epoch so far.
        epochs_done: number of epochs so far.
        best: parameters of each watched network at its best epoch.
        best_scores: per network (accuracy, minus cross entropy) there; the first of equals counts.
    """

    members: Sequence[Member]
    config: Config
    standardisation: Standardisation
    parameters: dict[str, Tensor]
    history: list[Epoch] = field(default_factory=list)
    epochs_done: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_scores: list[tuple[float, float]] = field(default_factory=list)

    @property
    def watches(self) -> bool:
        """Whether an epoch is chosen, rather than the last one kept."""
        return self.members[0].watched is not None

    def models(self) -> list[STRNN]:
        """Return the networks one by one, on the CPU, for maps as stored: of the chosen epoch, else of the last one."""
        trained = self.best if self.watches else self.parameters
        folded = self.standardisation.fold_in({name: tensor.detach() for name, tensor in trained.items()})
        models = []
        for number in range(len(self.members)):
            model = STRNN(**vars(self.config.network))
            model.set_parameters({name: tensor[number].clone().cpu() for name, tensor in folded.items()})
            models.append(model)
        return models


def train(
    members: Sequence[Member],
    maps: Sequence[Tensor],
    labels: Tensor,
    moments: Tensor,
    config: Config,
    state_file: Path | None = None,
    progress: Callable[[Stack], None] | None = None,
    device: torch.device | str = "cpu",
) -> Stack:
    """Train a stack of networks to the last epoch.

    The order of the samples depends on the epoch alone, not on seed or fold: all networks of a stack, and a network
    that is trained alone, read them in the same order.

    Args:
        members: the networks; all are watched or none.
        maps: N samples, each (frames, h, w, C), of any floating type.
        labels: int64 (N,).
        moments: (N, 3, C), see :func:`face_strnn.samples.channel_moments`.
        config: the settings.
        state_file: where the state is kept after every epoch; a state that is there is taken up.
        progress: called after every epoch.
        device: where the networks are trained.

    Raises:
        BadInput: a state file that is damaged.
    """
    device = torch.device(device)
    stack = _begin(members, moments, config, device)
    optimiser = _optimiser(stack)
    if state_file is not None and state_file.is_file():
        _take_up(stack, optimiser, state_file)
    scan, workspace = Scan.grid(*config.network.grid), Workspace()
    taught = torch.from_numpy(np.stack([member.taught for member in members]))
    n_batches = math.ceil(len(maps) / config.training.batch_size)
    while stack.epochs_done < config.training.epochs:
        order = np.random.default_rng(stack.epochs_done).permutation(len(maps))
        tally = _Tally(len(members), device)
        for number, batch in enumerate(np.array_split(order, n_batches)):
            step = stack.epochs_done * n_batches + number
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(step, config.training.epochs * n_batches, config)
            # What no network of this stack is taught is not read, and yet keeps its place in the order: which samples
            # share a step must not depend on which networks are trained together.
            batch = batch[taught[:, batch].any(0).numpy()]
            sequences = [_on(device, maps[n]) for n in batch]
            truth, of_batch = labels[batch].to(device), taught[:, batch].to(device)
            _step(stack, optimiser, sequences, truth, of_batch, scan, workspace, tally)
        stack.epochs_done += 1
        watched = _watch(stack, maps, labels, scan, device)
        stack.history += tally.epochs(members, stack.epochs_done, watched)
        if state_file is not None:
            _keep(stack, optimiser, state_file)
        if progress:
            progress(stack)
    return stack


def _begin(members: Sequence[Member], moments: Tensor, config: Config, device: torch.device) -> Stack:
    drawn = [
        initial_parameters(config.network, torch.Generator().manual_seed(1_000_003 * member.seed + member.fold))
        for member in members
    ]
    parameters = {name: torch.stack([one[name] for one in drawn]).to(device).requires_grad_() for name in drawn[0]}
    taught = torch.from_numpy(np.stack([member.taught for member in members]))
    fitted = Standardisation.fit(moments, taught)
    stack = Stack(members, config, Standardisation(fitted.mean.to(device), fitted.std.to(device)), parameters)
    if stack.watches:
        stack.best = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        stack.best_scores = [(-1.0, -math.inf)] * len(members)
    return stack


def _optimiser(stack: Stack) -> torch.optim.Optimizer:
    decayed = [tensor for name, tensor in stack.parameters.items() if name not in UNDECAYED]
    undecayed = [stack.parameters[name] for name in UNDECAYED]
    settings = stack.config.training
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _on(device: torch.device, maps: Tensor) -> Tensor:
    """Copy to a GPU without waiting, from pinned memory; on the CPU leave the mapped file as it is."""
    return maps.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else maps


def _step(
    stack: Stack,
    optimiser: torch.optim.Optimizer,
    sequences: Sequence[Tensor],
    labels: Tensor,
    taught: Tensor,
    scan: Scan,
    workspace: Workspace,
    tally: "_Tally",
) -> None:
    settings, network = stack.config.training, stack.config.network
    if sequences:
        batch = MapBatch.of(sequences, network.length, settings.interpolation)
        folded = stack.standardisation.fold_in(stack.parameters)
        outputs = logits(folded, batch, scan, network.activation, settings.precision, workspace)
    else:
        outputs = torch.zeros(len(stack.members), 0, network.n_classes, device=labels.device)
    entropies = mean_cross_entropy(outputs, labels, taught, settings.label_smoothing)
    losses = entropies + sparsity_penalty(stack.parameters, settings.lambda1, settings.lambda2)
    optimiser.zero_grad(set_to_none=True)
    # The sum over networks gives each network the gradient of its own loss.
    losses.sum().backward()
    for parameter in stack.parameters.values():
        if parameter.grad is None:  # no sequences: the optimiser's momentum moves on all the same
            parameter.grad = torch.zeros_like(parameter)
    _clip(stack.parameters.values(), settings.gradient_clip)
    optimiser.step()
    tally.add(losses.detach(), entropies.detach(), (outputs.argmax(2) == labels) & taught, taught)


def _clip(parameters: Collection[Tensor], longest: float) -> None:
    """Shorten each network's gradient, over all its parameters together, to ``longest``."""
    squares = sum(parameter.grad.flatten(1).square().sum(1) for parameter in parameters)
    factors = (longest / squares.sqrt().clamp(min=1e-12)).clamp(max=1)
    for parameter in parameters:
        parameter.grad.mul_(factors.view(-1, *[1] * (parameter.dim() - 1)))


def _learning_rate(step: int, n_steps: int, config: Config) -> float:
    highest, rise = config.training.learning_rate, config.training.warmup * n_steps
    if step < rise:
        return highest * (step + 1) / (rise + 1)
    if config.training.schedule == "constant":
        return highest
    return highest * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, n_steps - rise)))


@torch.no_grad()
def _watch(
    stack: Stack, maps: Sequence[Tensor], labels: Tensor, scan: Scan, device: torch.device
) -> list[tuple[float, float]] | list[tuple[None, None]]:
    """Return watched accuracies and cross entropies after an epoch; keep the parameters of networks at their best."""
    if not stack.watches:
        return [(None, None)] * len(stack.members)
    settings, network = stack.config.training, stack.config.network
    folded = stack.standardisation.fold_in(stack.parameters)
    watched = []
    for number, member in enumerate(stack.members):
        alone = {name: tensor[number : number + 1] for name, tensor in folded.items()}
        numbers = np.flatnonzero(member.watched)
        outputs = []
        for batch in np.array_split(numbers, math.ceil(len(numbers) / settings.batch_size)):
            sequences = MapBatch.of([_on(device, maps[n]) for n in batch], network.length, settings.interpolation)
            outputs.append(logits(alone, sequences, scan, network.activation, settings.precision)[0].cpu())
        answers, truth = torch.cat(outputs), labels[numbers]
        accuracy = (answers.argmax(1) == truth).double().mean().item()
        cross_entropy = torch.nn.functional.cross_entropy(answers, truth).item()
        score = (accuracy, -cross_entropy)
        if score > tuple(stack.best_scores[number]):
            stack.best_scores[number] = score
            for name, tensor in stack.parameters.items():
                stack.best[name][number] = tensor[number]
        watched.append((accuracy, cross_entropy))
    return watched


class _Tally:
    """Sums over one epoch, per network."""

    def __init__(self, n_members: int, device: torch.device) -> None:
        self.loss, self.entropy, self.correct, self.seen = torch.zeros(4, n_members, dtype=torch.float64, device=device)

    def add(self, losses: Tensor, entropies: Tensor, correct: Tensor, taught: Tensor) -> None:
        n_taught = taught.sum(1)
        self.loss += losses * n_taught
        self.entropy += entropies * n_taught
        self.correct += correct.sum(1)
        self.seen += n_taught

    def epochs(
        self,
        members: Sequence[Member],
        epoch: int,
        watched: Sequence[tuple[float, float]] | Sequence[tuple[None, None]],
    ) -> list[Epoch]:
        means = [(total / self.seen).tolist() for total in (self.loss, self.entropy, self.correct)]
        rows = zip(members, zip(*means, strict=True), watched, strict=True)
        return [Epoch(member.fold, member.seed, epoch, *taught, *after) for member, taught, after in rows]


def _keep(stack: Stack, optimiser: torch.optim.Optimizer, path: Path) -> None:
    tensors = {f"parameter/{name}": tensor.detach() for name, tensor in stack.parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in stack.best.items()}
    for name, tensor in stack.parameters.items():
        for key, value in optimiser.state[tensor].items():
            tensors[f"optimiser/{key}/{name}"] = value
    header = {
        "epochs_done": str(stack.epochs_done),
        "history": json.dumps([vars(epoch) for epoch in stack.history]),
        "best_scores": json.dumps(stack.best_scores),
    }
    write_tensors(path, tensors, header)


def _take_up(stack: Stack, optimiser: torch.optim.Optimizer, path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            kept = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        stack.epochs_done = int(header["epochs_done"])
        stack.history = [Epoch(**epoch) for epoch in json.loads(header["history"])]
        stack.best_scores = [tuple(score) for score in json.loads(header["best_scores"])]
        with torch.no_grad():
            for name, tensor in stack.parameters.items():
                tensor.copy_(kept[f"parameter/{name}"])
            for name, tensor in stack.best.items():
                tensor.copy_(kept[f"best/{name}"])
        for name, tensor in stack.parameters.items():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = kept[f"optimiser/{key}/{name}"]
                optimiser.state[tensor][key] = value if key == "step" else value.to(tensor.device)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path}: damaged ({error}); delete it, and these folds are trained anew") from error
