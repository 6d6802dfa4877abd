"""Fine-tuning of one fold: its epochs, and its state in a file from which it is taken up."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from data_prep.errors import BadInput
from data_prep.store.store import StoredSequence
from data_prep.tensor_files import write_tensors
from face_strnn.config import Config, FinetuningConfig
from face_strnn.training.from_crops.augmented import Variants
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.optimisation import dropout_factors, learning_rate
from face_strnn.training.stack import Epoch


@dataclass
class FoldProgress:
    """How far the fine-tuning of one network has come.

    Attributes:
        fold, seed: which network.
        epochs_done: number of epochs so far.
        history: one entry per epoch.
        read: names of the sequences whose crops it has read.
    """

    fold: int
    seed: int
    epochs_done: int = 0
    history: list[Epoch] = field(default_factory=list)
    read: set[str] = field(default_factory=set)


def finetune_fold(
    network: JointNetwork,
    identity: tuple[int, int],
    taught: Sequence[StoredSequence],
    labels: Sequence[int],
    variants: Variants,
    config: Config,
    settings: FinetuningConfig,
    state_file: Path,
    progress: Callable[[FoldProgress], None] | None = None,
) -> FoldProgress:
    """Train a fold's networks on to the last epoch, and let the result count by its share.

    Args:
        network: both, as they are before.
        identity: (fold from 1, seed); the order of the sequences, the variants and dropout are drawn from it.
        taught: the fold's training sequences, unrotated.
        labels: their classes.
        variants: where their crops come from.
        config: the settings of the STRNN and of its training.
        settings: of fine-tuning.
        state_file: where the state is kept after every epoch; a state that is there is taken up.
        progress: called after every epoch.

    Raises:
        BadInput: crops are missing, or the state file is damaged.
    """
    fold, seed = identity
    done = FoldProgress(fold, seed)
    if state_file.is_file():
        _take_up(network, done, state_file)
    device = next(network.thawed.parameters()).device
    schedule = replace(config.training, learning_rate=1.0, schedule="cosine", warmup=settings.warmup)
    dropping = replace(config, training=replace(config.training, dropout=settings.dropout))
    per_epoch = math.ceil(len(taught) / settings.batch_size)
    while done.epochs_done < settings.epochs:
        drawn = np.random.default_rng([seed, fold, done.epochs_done])
        order = drawn.permutation(len(taught))
        numbers = drawn.integers(settings.variants, size=len(taught)) if settings.variants else None
        sums = np.zeros(3)
        for place, batch in enumerate(np.array_split(order, per_epoch)):
            step = done.epochs_done * per_epoch + place
            inputs = [variants(taught[n], done.epochs_done if numbers is None else int(numbers[n])) for n in batch]
            done.read |= {taught[n].sequence for n in batch}
            dropout = None
            if settings.dropout:
                dropout = dropout_factors((seed, fold), step, len(batch), dropping).unsqueeze(0).to(device)
            truth = torch.tensor([labels[n] for n in batch], device=device)
            factor = learning_rate(step, settings.epochs * per_epoch, schedule)
            sums += len(batch) * np.array(network.step(inputs, truth, factor, dropout))
        done.epochs_done += 1
        done.history.append(Epoch(fold, seed, done.epochs_done, *(sums / len(taught)).tolist()))
        _keep(network, done, state_file)
        if progress:
            progress(done)
    network.move_to_share()
    return done


def _keep(network: JointNetwork, done: FoldProgress, path: Path) -> None:
    """Write everything that the next epochs depend on, whole or not at all."""
    tensors = {}
    for name, tensor in network.named():
        tensors[f"value/{name}"] = tensor.detach().cpu().contiguous()
        for key, value in network.optimiser.state[tensor].items():
            tensors[f"{key}/{name}"] = value.cpu().contiguous()
    header = {
        "epochs_done": str(done.epochs_done),
        "history": json.dumps([asdict(epoch) for epoch in done.history]),
        "read": json.dumps(sorted(done.read)),
    }
    write_tensors(path, tensors, header)


def _take_up(network: JointNetwork, done: FoldProgress, path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            kept = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        done.epochs_done = int(header["epochs_done"])
        done.history = [Epoch(**epoch) for epoch in json.loads(header["history"])]
        done.read = set(json.loads(header["read"]))
        for name, tensor in network.named():
            network.set_tensor(name, kept[f"value/{name}"])
            # In the memory order of the weights: sums over another order may be rounded differently.
            averages = {key: torch.empty_like(tensor).copy_(kept[f"{key}/{name}"]) for key in ("exp_avg", "exp_avg_sq")}
            network.optimiser.state[tensor] = {"step": kept[f"step/{name}"], **averages}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path}: damaged ({error}); delete it, and this fold is fine-tuned anew") from error
