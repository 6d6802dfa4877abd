"""Networks of a run trained again from its features, and held against its checkpoints."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from scipy.stats import binomtest

from face_strnn.audit.findings import Remark, ranges, some
from face_strnn.audit.run_files import Declared, RunFiles
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, backbone_file, checkpoint_paths
from face_strnn.evaluation.folds import Fold
from face_strnn.evaluation.learners.learner import Learner
from face_strnn.evaluation.run import FROZEN
from face_strnn.training.machine import Machine, kind_of_machine

MEAN_DISTANCE = 0.25
"""How far the probabilities of a training on another kind of machine may be from the checkpoint's: the mean total
variation distance over the test sequences, to which :data:`DISTANCE_OF_FEW` is added for few of them.

Training amplifies rounding, the more the longer it is and the less sure the network. Measured between the compiled
kernel and PyTorch's operations, each with 1 and with 2 threads: with random maps of 24 sequences, a tiny network and 5
epochs at most 0.000001. With ``face-strnn synth --subjects 20``, pool4 maps of ``hed``, 61 sequences in 10 folds, and
``best``: 0.12 to 0.19, up to 0.41 in a fold; 8 to 15 of 61 predictions differed, and 44 to 46 were right. On one kind
of machine not a bit differed, with the number of threads that trained.

Fine-tuning in bfloat16 is repeated in bfloat16, which every processor can compute; a checkpoint names the processor's
instructions for it. Two machines differ less in one precision than one machine between bfloat16 and float32, which the
row ``float32`` of ``benchmarks/finetuning.py`` measures.
"""

DISTANCE_OF_FEW = 0.5
"""Divided by the root of the number of test sequences: three times the spread of one sequence's distance, 0.15."""

DIFFERING = 0.25
"""The same for the share of predictions that differ, to which 1 is added, divided by the root of the number."""

EXCESS_P = 0.001
"""Smallest p of the one-sided sign test whether the checkpoints are right where the repetition is wrong more often than
the reverse. Rounding changes predictions either way; test subjects in the training only one way."""

MOST_THREADS = 256
"""A header that names more is not followed."""


@dataclass
class _Elsewhere:
    """What networks say to their test sequences that were trained again on another kind of machine.

    Attributes:
        rows: of each network, columns ``distance``, ``right``, ``right_again``, ``differs``.
        kinds: what differs between the machines.
        networks: (fold, seed) of these networks.
    """

    rows: list[pd.DataFrame] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    networks: set[tuple[int, int]] = field(default_factory=set)

    def compare(self, was: np.ndarray, now: np.ndarray, labels: np.ndarray) -> None:
        """Add the probabilities (N, classes) of a checkpoint and of its repetition for N test sequences."""
        right, right_again = was.argmax(1) == labels, now.argmax(1) == labels
        distance, differs = np.abs(was - now).sum(1) / 2, was.argmax(1) != now.argmax(1)
        columns = {"distance": distance, "right": right, "right_again": right_again, "differs": differs}
        self.rows.append(pd.DataFrame(columns))

    def judged(self, what: str) -> str:
        """Return what was found, as a remark where it is within the tolerance."""
        table = pd.concat(self.rows, ignore_index=True)
        n, mean, share = len(table), table["distance"].mean(), table["differs"].mean()
        lost, won = (table["right"] & ~table["right_again"]).sum(), (table["right_again"] & ~table["right"]).sum()
        p = binomtest(int(lost), int(lost + won), alternative="greater").pvalue if lost + won else 1.0
        text = (
            f"{what} trained again on another kind of machine ({', '.join(sorted(self.kinds))}): probabilities differ "
            f"by {mean:.3f} on average and {table['differs'].sum()} of {n} predictions, {lost} right only in the "
            f"checkpoints, {won} only in the repetition"
        )
        # Written so that NaN is outside.
        is_near = mean <= MEAN_DISTANCE + DISTANCE_OF_FEW / n**0.5 and share <= DIFFERING + 1 / n**0.5
        if is_near and p >= EXCESS_P:
            return Remark(f"{text}: within the tolerance")
        return f"{text}: more than rounding explains"


def repeated(files: RunFiles) -> Iterator[str]:
    """Train folds again from the features; yield what of the checkpoints does not come out, and remarks on what does.

    Networks are trained in the stacks that their checkpoints name, so that all networks of these are compared. On the
    kind of machine that a checkpoint names, its parameters must come out bit for bit.

    Raises:
        NotCheckable: the features, the crops or the backbone's weights are not at hand.
        Declared: not every network was trained again on the kind of machine that its checkpoint names.
    """
    own = {(network.fold, network.seed): network for network in files.networks}
    chosen = [one for one in own.values() if one.fold in files.repetition.folds]
    folds, elsewhere, equal, compared = files.sample_folds, _Elsewhere(), set(), set()
    if not all(is_stack(one, own) for one in chosen):
        return  # a finding of its own
    for stack in dict.fromkeys(tuple(one.stack) for one in chosen):
        named = [own[key] for key in stack if own[key].stack == list(stack)]
        with TemporaryDirectory(prefix="face-strnn-") as folder, _threads_of(named[0]):
            device = _device_of(named[0])
            learner, here = files.learner(device), kind_of_machine(files.settings.config, device)
            compared |= {(network.fold, network.seed) for network in named}
            for network, again in _trained_again(files, learner, (folds, stack, named), Path(folder)):
                if network.machines == [here] and here["device"].startswith("cpu"):
                    differences = list(_differences(network, again))
                    yield from differences
                    equal |= set() if differences else {(network.fold, network.seed)}
                    continue
                elsewhere.kinds |= set(_other_kind(network.machines, here))
                elsewhere.networks.add((network.fold, network.seed))
                tested = files.samples.subset(folds[network.fold - 1].test)
                probabilities = (learner.probabilities(one, tested) for one in (network, again))
                elsewhere.compare(*probabilities, tested.labels.numpy())
    if equal:
        yield Remark(f"{_in_words(equal, files)} trained again, bit-equal")
    if elsewhere.rows:
        yield elsewhere.judged(_in_words(elsewhere.networks, files))
    if files.settings.is_finetuned:
        yield Remark(f"fine-tuning began with the networks of {FROZEN}/, a run whose own audit repeats their training")
    # A tolerance does not show it, and a header can name any machine.
    declared = ["only the machine that a checkpoint names can show it bit for bit"] if elsewhere.rows else []
    if others := own.keys() - compared:
        declared.append(f"{_in_words(others, files)} as their checkpoints declare")
    if declared:
        raise Declared("; ".join(declared))


def is_stack(network: TrainedNetwork, known: Collection[tuple[int, int]]) -> bool:
    """Whether the networks that a header names as trained together are itself and others of its run, each once."""
    named = set(network.stack)
    return (network.fold, network.seed) in named and len(named) == len(network.stack) and named <= set(known)


def _trained_again(
    files: RunFiles,
    learner: Learner,
    what: tuple[Sequence[Fold], Sequence[tuple[int, int]], Sequence[TrainedNetwork]],
    out: Path,
) -> Iterator[tuple[TrainedNetwork, TrainedNetwork]]:
    """Train a stack again into an empty folder; yield those of its networks that name it, and each one's repetition."""
    folds, stack, named = what
    (out / FOLDER).mkdir()
    learner.repeat(folds, stack, files.run.folder, out, files.repetition.progress)
    paths = checkpoint_paths(out, files.settings)
    for network in named:
        yield network, TrainedNetwork.load(paths[network.fold, network.seed], network.fold, network.seed)


def _device_of(network: TrainedNetwork) -> str:
    """The kind of device that trained a network, where there is one here."""
    was_gpu = all(machine.get("device", "").startswith("cuda") for machine in network.machines)
    return "cuda" if was_gpu and torch.cuda.is_available() else "cpu"


@contextmanager
def _threads_of(network: TrainedNetwork) -> Iterator[None]:
    """Compute with as many threads as trained a network: their number decides how sums are rounded."""
    before = torch.get_num_threads()
    named = {machine.get("threads", "") for machine in network.machines}
    wanted = named.pop() if len(named) == 1 else ""
    if wanted.isdecimal() and 0 < int(wanted) <= MOST_THREADS:
        torch.set_num_threads(int(wanted))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _differences(network: TrainedNetwork, again: TrainedNetwork) -> Iterator[str]:
    """Yield where a network that was trained again on the same kind of machine is not the checkpoint."""
    pairs = [(dict(network.model.named_parameters()), dict(again.model.named_parameters()))]
    backbones = [backbone_file(one.path) for one in (network, again)]
    if backbones[1].is_file():
        pairs.append(tuple(map(load_file, backbones)))
    differing = [name for was, now in pairs for name in now if name not in was or not torch.equal(was[name], now[name])]
    facts = [one.model.facts for one in (network, again)]
    differing += [name for name in ("history", "epoch") if facts[0][name] != facts[1][name]]
    if differing:
        yield f"{network.name}: other {some(differing)} than training again on its fold's training samples gives"


def _other_kind(machines: Sequence[Machine], here: Machine) -> Iterator[str]:
    """Yield in what the machines of a training are of another kind than this one."""
    if len(machines) != 1:
        yield "it was resumed on another"
    for machine in machines:
        yield from (
            f"{name} {machine.get(name)}, here {value}" for name, value in here.items() if machine.get(name) != value
        )
    if here["device"].startswith("cuda"):
        yield "a GPU sums in no fixed order"


def _in_words(networks: Collection[tuple[int, int]], files: RunFiles) -> str:
    """For example ``"folds 1 to 10"``, or with several seeds ``"folds 1 to 10 (seed 0), fold 3 (seed 1)"``."""
    texts = []
    for seed in files.settings.all_seeds:
        folds = [fold for fold, other in networks if other == seed]
        if folds:
            of_seed = f" (seed {seed})" if files.settings.seeds > 1 else ""
            texts.append(f"fold{'s' * (len(folds) > 1)} {ranges(folds)}{of_seed}")
    return ", ".join(texts)
