"""Learning from stored pooling maps: the networks of many folds are trained together, as one stack."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.errors import BadInput
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, checkpoint_paths
from face_strnn.evaluation.folds import Fold
from face_strnn.evaluation.learners.learner import Extent, Progress
from face_strnn.evaluation.settings import RunSettings
from face_strnn.models.scan import Scan
from face_strnn.models.strnn import STRNN
from face_strnn.training.gpu_memory import networks_that_fit
from face_strnn.training.probabilities import probabilities
from face_strnn.training.samples import Samples, channel_moments, names_sha256
from face_strnn.training.stack import Epoch, Stack, StackedNetwork, TrainingSamples, train

NETWORKS_PER_STACK = 10
"""Networks that are trained together on a CPU. Their states take about 30 MB each per batch of 16 sequences."""


class StackedOnMaps:
    """Trains STRNNs on the maps of a store.

    Args:
        settings: of the run.
        samples: the training samples.
        device: where the networks are trained.
    """

    def __init__(self, settings: RunSettings, samples: Samples, device: torch.device | str = "cpu") -> None:
        self._settings, self._samples, self._device = settings, samples, torch.device(device)

    def fit(self, folds: Sequence[Fold], out: Path, progress: Progress | None = None) -> None:
        """Train what is not trained yet; see :class:`face_strnn.evaluation.learners.learner.Learner`."""
        settings, folder = self._settings, out / FOLDER
        networks = [self._network(fold, seed) for seed in settings.all_seeds for fold in folds]
        paths = list(checkpoint_paths(out, settings).values())
        # The samples of an epoch are drawn by seed: networks of another seed would read other maps.
        apart = len(folds) if settings.learn_from == "one" else len(networks)
        stacks = assign_to_stacks(len(networks), self._stack_size(), folder, apart)
        for part, (first, last) in enumerate(stacks, start=1):
            if all(path.is_file() for path in paths[first:last]):
                continue
            state_file = folder / f"networks-{first + 1:02d}-{last:02d}.training"
            watch = _on_stacks(progress, part, len(stacks))
            self._train(networks[first:last], paths[first:last], state_file, watch)
            state_file.unlink()

    def repeat(
        self,
        folds: Sequence[Fold],
        stack: Sequence[tuple[int, int]],
        run: Path,
        out: Path,
        progress: Progress | None = None,
    ) -> None:
        """See :class:`face_strnn.evaluation.learners.learner.Learner`; these networks need nothing of the run."""
        by_number, paths = {fold.number: fold for fold in folds}, checkpoint_paths(out, self._settings)
        networks = [self._network(by_number[fold], seed) for fold, seed in stack]
        self._train(networks, [paths[one] for one in stack], None, _on_stacks(progress, 1, 1))

    def is_fitted(self, network: TrainedNetwork) -> bool:
        """A network is one file, which was loaded whole."""
        return network.path.is_file()

    def probabilities(self, network: TrainedNetwork, samples: Samples) -> np.ndarray:
        """See :class:`face_strnn.evaluation.learners.learner.Learner`."""
        return probabilities(network.model, samples, self._settings.training.interpolation)

    def _train(
        self,
        networks: Sequence[StackedNetwork],
        paths: Sequence[Path],
        state_file: Path | None,
        watch: Callable[[Stack], None] | None,
    ) -> None:
        """Train networks together and write their checkpoints."""
        samples, settings = self._samples, self._settings
        sequences = samples.sequence_numbers if settings.learn_from == "one" else None
        stack = train(
            networks,
            TrainingSamples(samples, samples.labels, self._moments, sequences, str(samples.store.folder)),
            settings.config,
            state_file,
            watch,
            self._device,
            self._scan(),
        )
        for path, network, model in zip(paths, networks, stack.models(), strict=True):
            self._save(path, network, model, stack)

    @cached_property
    def _moments(self) -> Tensor:
        return channel_moments(self._samples)

    def _scan(self) -> Scan | None:
        """The scan of the store's nodes; None for a grid, whose scan follows from the configuration."""
        store = self._samples.store
        nodes = store.recipe.get("nodes", {})
        try:
            return Scan.of(nodes) if "places" in nodes else None
        except BadInput as error:
            raise BadInput(f"{store.folder / store.RECIPE_FILE}: {error}") from error

    def _network(self, fold: Fold, seed: int) -> StackedNetwork:
        validation = None if fold.validation is None else self._mask(fold.validation)
        return StackedNetwork(fold.number, seed, self._mask(fold.train), validation)

    def _mask(self, numbers: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self._samples), bool)
        mask[numbers] = True
        return mask

    def _stack_size(self) -> int:
        if self._device.type == "cpu":
            return NETWORKS_PER_STACK
        config = self._settings.config
        longest = sorted(entry.frames for entry in self._samples.entries)[-config.training.batch_size :]
        return networks_that_fit(config, sum(longest), torch.cuda.mem_get_info(self._device)[0])

    def _save(self, path: Path, network: StackedNetwork, model: STRNN, stack: Stack) -> None:
        settings, samples = self._settings, self._samples
        history = [epoch for epoch in stack.history if (epoch.fold, epoch.seed) == (network.fold, network.seed)]
        validation = () if network.validation is None else samples.subset(np.flatnonzero(network.validation)).names()
        model.save(
            path,
            # What an audit compares with the protocol: the identity of this network and the samples of its training.
            fold=str(network.fold),
            seed=str(network.seed),
            selection=settings.selection,
            epoch=str(_kept_epoch(history)),
            train_sha256=names_sha256(samples.subset(np.flatnonzero(network.train)).names()),
            validation_sha256=names_sha256(validation) if validation else "",
            samples_sha256=settings.features["samples_sha256"],
            history=json.dumps([asdict(epoch) for epoch in history]),
            classes=json.dumps(samples.class_names),
            features=settings.features["fingerprint"],
            data=settings.data,
            interpolation=settings.training.interpolation,
            # What a repetition of the training needs: sums are rounded by stack and machine.
            stack=json.dumps([(one.fold, one.seed) for one in stack.networks]),
            machines=json.dumps(stack.machines),
        )


def assign_to_stacks(n_networks: int, size: int, folder: Path, apart: int) -> list[tuple[int, int]]:
    """Assign networks to stacks of ``size``; stacks whose training has begun stay together.

    Args:
        n_networks: number of networks.
        size: of a stack.
        folder: with the states of stacks whose training has begun.
        apart: no stack extends across a multiple of this number.

    Returns:
        The (first, last + 1) network of each stack, from 0.
    """
    begun = {}
    for file in folder.glob("networks-*.training"):
        first, last = map(int, file.stem.split("-")[1:])
        begun[first - 1] = last
    stacks, first = [], 0
    while first < n_networks:
        following = (first // apart + 1) * apart
        end = min([first + size, n_networks, following, *(other for other in begun if other > first)])
        last = begun.get(first, end)
        stacks.append((first, last))
        first = last
    return stacks


def _on_stacks(progress: Progress | None, part: int, parts: int) -> Callable[[Stack], None] | None:
    if progress is None:
        return None
    return lambda stack: progress(
        "training", stack.history, Extent(stack.epochs_done, stack.config.training.epochs, part, parts)
    )


def _kept_epoch(history: Sequence[Epoch]) -> int:
    if history[-1].validation_accuracy is None:
        return history[-1].epoch
    return max(history, key=lambda epoch: (epoch.validation_accuracy, -(epoch.validation_cross_entropy or 0.0))).epoch
