"""Training of a stack of networks over the same maps.

The folds of a cross-validation are networks that differ only in which sequences they are trained on. They are trained
together: each batch is read once, all networks compute it, and each network's loss omits its held-out sequences.
Networks share nothing, so that a fold's result is that of training it alone (up to the rounding of differently shaped
matrix products), which ``tests/face_strnn/training/test_stack.py`` checks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from data_prep.divergence import require_finite
from data_prep.errors import BadInput
from data_prep.training_state import resumed_state, save_state
from face_strnn.config import Config
from face_strnn.models.scan import Scan
from face_strnn.models.strnn import STRNN, MapBatch, initial_parameters, logits
from face_strnn.training.gpu_maps import GpuMaps
from face_strnn.training.machine import Machine, kind_of_machine
from face_strnn.training.optimisation import (
    LOWER_RATE,
    OTHER_FOLDER,
    dropout_factors,
    optimiser_of,
    set_learning_rate,
)
from face_strnn.training.standardisation import Standardisation
from face_strnn.training.step import DirectStep, RecordedStep, StackStep


@dataclass(frozen=True)
class StackedNetwork:
    """One network of a stack.

    Attributes:
        fold: its number, from 1; with ``seed`` it draws the initial parameters.
        seed: the seed.
        train: bool (N,): the samples that it is trained on.
        validation: bool (N,): the samples whose accuracy chooses the epoch that is kept; None keeps the last one.
    """

    fold: int
    seed: int
    train: np.ndarray
    validation: np.ndarray | None = None


@dataclass
class Epoch:
    """The figures of one network in one epoch.

    Attributes:
        fold, seed: which network.
        epoch: number, from 1.
        loss, cross_entropy, train_accuracy: means over the samples that it was trained on in this epoch.
        validation_accuracy, validation_cross_entropy: after the epoch, over the network's validation samples; None
            without any. They choose the epoch that is kept: the highest accuracy, then the lowest cross entropy, then
            the first.
    """

    fold: int
    seed: int
    epoch: int
    loss: float
    cross_entropy: float
    train_accuracy: float
    validation_accuracy: float | None = None
    validation_cross_entropy: float | None = None


@dataclass(frozen=True)
class TrainingSamples:
    """The training samples of a stack.

    Attributes:
        maps: N samples, each (frames, h, w, C), of any floating type.
        labels: int64 (N,).
        moments: (N, 3, C), see :func:`face_strnn.training.samples.channel_moments`.
        sequences: int (N,): which sequence each sample is a variant of, from 0 without gaps. An epoch then uses one
            sample of every sequence, see :func:`draw_one_of_each`; None uses all samples.
        source: what the maps are called in an error, such as the store's folder.
    """

    maps: Sequence[Tensor]
    labels: Tensor
    moments: Tensor
    sequences: np.ndarray | None = None
    source: str = "the maps"

    def drawn(self, seed: int, epoch: int) -> np.ndarray:
        """Return the numbers of the samples of an epoch."""
        if self.sequences is None:
            return np.arange(len(self.maps))
        return draw_one_of_each(self.sequences, seed, epoch)


@dataclass
class Stack:
    """Networks in training.

    Attributes:
        networks: the M networks.
        config: their settings.
        standardisation: per network.
        parameters: for standardised maps, each with a leading dimension M.
        scan: None for that of the configuration's grid.
        history: one entry per network and epoch so far.
        epochs_done: number of epochs so far.
        best: parameters of each network with validation samples at its best epoch.
        best_scores: per network (accuracy, minus cross entropy) there; the first of equals counts.
        machines: the kinds of machine that trained them so far: several where a training was resumed elsewhere.
    """

    networks: Sequence[StackedNetwork]
    config: Config
    standardisation: Standardisation
    parameters: dict[str, Tensor]
    scan: Scan | None = None
    history: list[Epoch] = field(default_factory=list)
    epochs_done: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_scores: list[tuple[float, float]] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)

    @property
    def chooses_epoch(self) -> bool:
        """Whether an epoch is chosen, rather than the last one kept."""
        return self.networks[0].validation is not None

    def models(self) -> list[STRNN]:
        """Return the single networks, on the CPU, for maps as stored: of the chosen epoch, else of the last one."""
        trained = self.best if self.chooses_epoch else self.parameters
        folded = self.standardisation.fold_in({name: tensor.detach() for name, tensor in trained.items()})
        models = []
        for number in range(len(self.networks)):
            model = STRNN(**vars(self.config.network), scan=self.scan)
            model.set_parameters({name: tensor[number].clone().cpu() for name, tensor in folded.items()})
            models.append(model)
        return models


def train(
    networks: Sequence[StackedNetwork],
    samples: TrainingSamples,
    config: Config,
    state_file: Path | None = None,
    progress: Callable[[Stack], None] | None = None,
    device: torch.device | str = "cpu",
    scan: Scan | None = None,
) -> Stack:
    """Train a stack of networks to the last epoch.

    The order of the samples depends only on the epoch, not on seed or fold: all networks of a stack, and a network
    that is trained alone, read them in the same order. If an epoch uses one sample of every sequence, the choice
    depends on epoch and seed, not on the fold.

    Args:
        networks: either all have validation samples, or none has.
        samples: the training and validation samples of all networks.
        config: the settings.
        state_file: the state is saved there after every epoch; training resumes from it if it exists.
        progress: called after every epoch.
        device: where the networks are trained.
        scan: of nodes that form no grid; samples are then (frames, K, C). By default that of the configuration's grid.

    Raises:
        BadInput: a state file that is damaged; maps that are constant in all channels; or training diverges. The state
            file then holds the epoch before.
        ValueError: ``samples.sequences`` for networks of several seeds.
    """
    if samples.sequences is not None and len({network.seed for network in networks}) > 1:
        raise ValueError("networks of several seeds draw different samples and cannot share batches")
    device = torch.device(device)
    settings, stack = config.training, _begin(networks, samples, config, device, scan)
    scan = scan or Scan.of({"grid": config.network.grid})
    optimiser = optimiser_of(stack.parameters, settings)
    if state_file is not None and state_file.is_file():
        _resume(stack, optimiser, state_file)
    if (machine := kind_of_machine(config, device)) not in stack.machines:
        stack.machines.append(machine)
    train_mask = torch.from_numpy(np.stack([network.train for network in networks]))
    sums = torch.zeros(4, len(networks), dtype=torch.float64, device=device)
    stack_step = StackStep(config, stack.parameters, stack.standardisation, optimiser, scan)
    epochs = [_batches(samples.drawn(networks[0].seed, epoch), epoch, config) for epoch in range(settings.epochs)]
    if device.type == "cpu":
        step, reader = DirectStep(stack_step, sums), samples.maps
    else:
        reader = GpuMaps(samples.maps, device)
        most_frames = max(int(reader.n_frames[batch].sum()) for batches in epochs for batch in batches)
        step = RecordedStep(stack_step, sums, settings.batch_size, most_frames, samples.maps[0])
    n_batches = len(epochs[0])
    for epoch in range(stack.epochs_done, settings.epochs):
        sums.zero_()
        for step_number, batch in enumerate(epochs[epoch], epoch * n_batches):
            set_learning_rate(optimiser, step_number, settings.epochs * n_batches, settings)
            # Samples that no network of this stack is trained on are not read, but stay in the order: the samples of a
            # step must not depend on the networks that are trained together.
            read = np.flatnonzero(train_mask[:, batch].any(0).numpy())
            dropout = _dropout(stack, step_number, len(batch), read, device) if settings.dropout else None
            batch = batch[read]
            step([reader[n] for n in batch], samples.labels[batch].to(device), train_mask[:, batch].to(device), dropout)
        stack.epochs_done += 1
        validation = _validate(stack, reader, samples.labels, scan)
        stack.history += _epochs(networks, stack.epochs_done, sums, validation)
        _require_convergence(stack, LOWER_RATE if state_file is None else OTHER_FOLDER)
        if state_file is not None:
            _save(stack, optimiser, state_file)
        if progress:
            progress(stack)
    return stack


def draw_one_of_each(sequences: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Draw one sample of every sequence for an epoch, each variant with the same probability.

    Args:
        sequences: int (N,): which sequence each sample is a variant of, from 0 without gaps.
        seed: of the networks.
        epoch: from 0.

    Returns:
        int (number of sequences,): numbers of samples, in ascending order of sequence.
    """
    by_sequence = np.argsort(sequences, kind="stable")
    n_variants = np.bincount(sequences)
    first = np.cumsum(n_variants) - n_variants
    return by_sequence[first + np.random.default_rng((seed, epoch)).integers(n_variants)]


def _batches(drawn: np.ndarray, epoch: int, config: Config) -> list[np.ndarray]:
    order = np.random.default_rng(epoch).permutation(len(drawn))
    return [drawn[batch] for batch in np.array_split(order, math.ceil(len(drawn) / config.training.batch_size))]


def _dropout(stack: Stack, step: int, n_sequences: int, read: np.ndarray, device: torch.device) -> Tensor:
    """Draw the factors of all networks, (M, sequences that are read, features)."""
    shape, share = (n_sequences, stack.config.network.n_temporal_features), stack.config.training.dropout
    drawn = [dropout_factors((one.seed, one.fold), step, shape, share)[read] for one in stack.networks]
    return torch.stack(drawn).to(device)


def _begin(
    networks: Sequence[StackedNetwork],
    samples: TrainingSamples,
    config: Config,
    device: torch.device,
    scan: Scan | None,
) -> Stack:
    generators = [torch.Generator().manual_seed(1_000_003 * network.seed + network.fold) for network in networks]
    n_directions = scan.n_directions if scan else 4
    drawn = [initial_parameters(config.network, generator, n_directions) for generator in generators]
    parameters = {name: torch.stack([one[name] for one in drawn]).to(device).requires_grad_() for name in drawn[0]}
    train_mask = torch.from_numpy(np.stack([network.train for network in networks]))
    standardisation = Standardisation.fit(samples.moments, train_mask)
    constant = zip(networks, standardisation.is_constant.tolist(), strict=True)
    if folds := dict.fromkeys(str(network.fold) for network, is_constant in constant if is_constant):
        raise BadInput(
            f"{samples.source}: every channel of the maps is constant over the training samples of fold "
            f"{', '.join(folds)}, so that nothing can be learned; check the images and the weights, and make the maps "
            "again"
        )
    stack = Stack(networks, config, standardisation.to(device), parameters, scan)
    if stack.chooses_epoch:
        stack.best = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        stack.best_scores = [(-1.0, -math.inf)] * len(networks)
    return stack


@torch.no_grad()
def _validate(
    stack: Stack, maps: Sequence[Tensor] | GpuMaps, labels: Tensor, scan: Scan
) -> list[tuple[float, float]] | list[tuple[None, None]]:
    """Return accuracies and cross entropies on validation samples; keep the parameters of each network's best epoch."""
    if not stack.chooses_epoch:
        return [(None, None)] * len(stack.networks)
    settings, network = stack.config.training, stack.config.network
    folded = stack.standardisation.fold_in(stack.parameters)
    validation = []
    for number, stacked in enumerate(stack.networks):
        alone = {name: tensor[number : number + 1] for name, tensor in folded.items()}
        numbers = np.flatnonzero(stacked.validation)
        outputs = []
        for batch in np.array_split(numbers, math.ceil(len(numbers) / settings.batch_size)):
            device = alone["spatial.U"].device
            sequences = MapBatch.of([maps[n].to(device) for n in batch], network.length, settings.interpolation)
            outputs.append(logits(alone, sequences, scan, network.activation, settings.precision)[0].cpu())
        predicted, truth = torch.cat(outputs), labels[numbers]
        accuracy = (predicted.argmax(1) == truth).double().mean().item()
        cross_entropy = torch.nn.functional.cross_entropy(predicted, truth).item()
        score = (accuracy, -cross_entropy)
        if score > stack.best_scores[number]:
            stack.best_scores[number] = score
            for name, tensor in stack.parameters.items():
                stack.best[name][number] = tensor[number]
        validation.append((accuracy, cross_entropy))
    return validation


def _epochs(
    networks: Sequence[StackedNetwork],
    epoch: int,
    sums: Tensor,
    validation: Sequence[tuple[float, float]] | Sequence[tuple[None, None]],
) -> list[Epoch]:
    loss, entropy, correct, seen = sums.cpu()
    means = [(total / seen).tolist() for total in (loss, entropy, correct)]
    rows = zip(networks, zip(*means, strict=True), validation, strict=True)
    return [Epoch(network.fold, network.seed, epoch, *trained, *validated) for network, trained, validated in rows]


def _require_convergence(stack: Stack, remedy: str) -> None:
    """Refuse losses of the last epoch and parameters that are not finite, network by network."""
    folded = stack.standardisation.fold_in({name: tensor.detach() for name, tensor in stack.parameters.items()})
    for number, epoch in enumerate(stack.history[-len(stack.networks) :]):
        validated = [] if epoch.validation_cross_entropy is None else [epoch.validation_cross_entropy]
        require_finite(
            f"fold {epoch.fold}, seed {epoch.seed}, epoch {epoch.epoch}",
            stack.config.training.rate_words,
            {"loss": [epoch.loss, *validated], "parameters": [tensor[number] for tensor in folded.values()]},
            remedy,
        )


def _save(stack: Stack, optimiser: torch.optim.Optimizer, path: Path) -> None:
    save_state(
        path,
        optimiser,
        parameters={name: tensor.detach() for name, tensor in stack.parameters.items()},
        best=stack.best,
        best_scores=stack.best_scores,
        history=[asdict(epoch) for epoch in stack.history],
        epochs_done=stack.epochs_done,
        machines=stack.machines,
    )


def _require_epochs(stack: Stack, state: Mapping[str, Any]) -> None:
    """Raise an error where a state's numbers are not those of whole epochs of these networks."""
    done, epochs = state["epochs_done"], stack.config.training.epochs
    if not isinstance(done, int) or not 0 < done <= epochs:
        raise ValueError(f"{done} of {epochs} epochs")
    history = TypeAdapter(list[Epoch]).validate_python(state["history"])
    found = [(one.epoch, one.fold, one.seed) for one in history]
    if sorted(found) != sorted((n + 1, one.fold, one.seed) for n in range(done) for one in stack.networks):
        raise ValueError("a history of other epochs")
    scores = TypeAdapter(list[tuple[float, float]]).validate_python(state["best_scores"])
    if len(scores) != len(stack.best_scores):
        raise ValueError("scores of other networks")


def _resume(stack: Stack, optimiser: torch.optim.Optimizer, path: Path) -> None:
    with resumed_state(path, optimiser, "delete it, and these folds are trained anew") as state:
        _require_epochs(stack, state)
        for kept, tensors in ((state["parameters"], stack.parameters), (state["best"], stack.best)):
            for name, tensor in tensors.items():
                tensor.copy_(kept[name])
        stack.best_scores = state["best_scores"]
        stack.history = [Epoch(**epoch) for epoch in state["history"]]
        stack.epochs_done = state["epochs_done"]
        stack.machines = TypeAdapter(list[Machine]).validate_python(state["machines"])
