"""Fine-tuning of one fold: its epochs, and its state in a file from which it is resumed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from data_prep.divergence import require_finite
from data_prep.store.store import StoredSequence
from data_prep.training_state import resumed_state, save_state
from face_strnn.training.from_crops.augmented import AugmentedClips
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.from_crops.mixup import Mixture
from face_strnn.training.machine import Machine, kind_of_machine
from face_strnn.training.optimisation import OTHER_FOLDER, dropout_factors, warmup_cosine
from face_strnn.training.stack import Epoch


@dataclass
class FoldProgress:
    """The state of the fine-tuning of one network.

    Attributes:
        fold, seed: which network.
        epochs_done: number of epochs so far.
        history: one entry per epoch so far.
        read: names of the sequences whose crops have been read.
        machines: the kinds of machine that fine-tuned it so far.
    """

    fold: int
    seed: int
    epochs_done: int = 0
    history: list[Epoch] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    machines: list[Machine] = field(default_factory=list)


def finetune_fold(
    network: JointNetwork,
    fold_and_seed: tuple[int, int],
    sequences: Sequence[StoredSequence],
    labels: Sequence[int],
    clips: AugmentedClips,
    state_file: Path,
    progress: Callable[[FoldProgress], None] | None = None,
) -> FoldProgress:
    """Fine-tune a fold's networks to the last epoch, and set the weights to those that are kept.

    Args:
        network: STRNN and backbone with their initial weights, and the settings of fine-tuning.
        fold_and_seed: fold, from 1, and seed; the order of the sequences, the clips, dropout and mixup depend on them.
        sequences: the fold's original training sequences.
        labels: their classes.
        clips: their augmented clips.
        state_file: the state is saved there after every epoch; training resumes from it if it exists.
        progress: called after every epoch.

    Raises:
        BadInput: crops are missing, the state file is damaged, or training diverges. The state file then holds the
            epoch before.
    """
    settings = network.settings
    fold, seed = fold_and_seed
    done = FoldProgress(fold, seed)
    if state_file.is_file():
        _resume(network, done, state_file, _steps_per_epoch(network, sequences))
    device = network.backbone.whole.device
    if (machine := kind_of_machine(network.config, device)) not in done.machines:
        done.machines.append(machine)
    while done.epochs_done < settings.epochs:
        means = _epoch(network, done, sequences, labels, clips)
        done.epochs_done += 1
        done.history.append(Epoch(fold, seed, done.epochs_done, *means))
        require_finite(
            f"fine-tuning, fold {fold}, seed {seed}, epoch {done.epochs_done}",
            settings.rate_words,
            {"loss": [done.history[-1].loss], "parameters": [tensor for _, tensor in network.named()]},
            OTHER_FOLDER,
        )
        save_state(
            state_file,
            network.optimiser,
            tensors={name: tensor.detach() for name, tensor in network.named()},
            average=network.average.state() if network.average else None,
            history=[asdict(epoch) for epoch in done.history],
            read=sorted(done.read),
            machines=done.machines,
        )
        if progress:
            progress(done)
    network.set_kept_weights()
    return done


def _epoch(
    network: JointNetwork,
    done: FoldProgress,
    sequences: Sequence[StoredSequence],
    labels: Sequence[int],
    clips: AugmentedClips,
) -> list[float]:
    """Take the steps of the next epoch; return the means of :meth:`JointNetwork.step` over the sequences."""
    settings, device, epoch = network.settings, network.backbone.whole.device, done.epochs_done
    per_epoch = _steps_per_epoch(network, sequences)
    generator = np.random.default_rng([done.seed, done.fold, epoch])
    order = generator.permutation(len(sequences))
    numbers = generator.integers(settings.variants, size=len(sequences)) if settings.variants else None
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    for number, batch in enumerate(np.array_split(order, per_epoch)):
        step = epoch * per_epoch + number
        inputs = [clips(sequences[n], epoch if numbers is None else int(numbers[n])) for n in batch]
        done.read |= {sequences[n].sequence for n in batch}
        dropout, mixture = None, None
        if settings.dropout:
            shape = len(batch), network.config.network.n_temporal_features
            dropout = dropout_factors((done.seed, done.fold), step, shape, settings.dropout).unsqueeze(0).to(device)
        if settings.mixup:
            mixture = Mixture.draw(settings.mixup, len(batch), f"mixup {done.seed} {done.fold} {epoch} {number}")
        truth = torch.tensor([labels[n] for n in batch], device=device)
        factor = warmup_cosine(step, settings.epochs * per_epoch, settings.warmup)
        sums += len(batch) * network.step(inputs, truth, factor, dropout, mixture)
    return (sums / len(sequences)).tolist()


def _steps_per_epoch(network: JointNetwork, sequences: Sequence[StoredSequence]) -> int:
    return math.ceil(len(sequences) / network.settings.batch_size)


def _resume(network: JointNetwork, done: FoldProgress, path: Path, steps_per_epoch: int) -> None:
    with resumed_state(path, network.optimiser, "delete it, and this fold is fine-tuned anew") as state:
        for name, tensor in network.named():
            tensor.copy_(state["tensors"][name])
            if not tensor.isfinite().all():
                raise ValueError(f"{name} is not finite")
        done.history = TypeAdapter(list[Epoch]).validate_python(state["history"])
        done.epochs_done = len(done.history)
        if network.average:
            network.average.restore(state["average"], done.epochs_done * steps_per_epoch)
        done.read = TypeAdapter(set[str]).validate_python(state["read"])
        done.machines = TypeAdapter(list[Machine]).validate_python(state["machines"])
