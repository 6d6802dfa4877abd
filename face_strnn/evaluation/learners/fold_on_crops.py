"""Learning from face crops: each fold's network is fine-tuned together with its own copy of the backbone."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.backbones.recorded import recorded_backbone
from data_prep.errors import BadInput
from data_prep.faces.variants import ORIGINAL
from data_prep.store.crops import require_crops
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, backbone_file, checkpoint_paths
from face_strnn.evaluation.folds import Fold
from face_strnn.evaluation.learners.learner import Extent, Progress
from face_strnn.evaluation.run import FROZEN
from face_strnn.evaluation.settings import RunSettings
from face_strnn.models.strnn import STRNN
from face_strnn.training.from_crops.augmented import AugmentedClips
from face_strnn.training.from_crops.crop_maps import CropMaps
from face_strnn.training.from_crops.fold import FoldProgress, finetune_fold
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.from_crops.thawed import load_thawed, save_thawed, split_for_finetuning
from face_strnn.training.probabilities import probabilities
from face_strnn.training.samples import Samples, channel_moments, names_sha256
from face_strnn.training.standardisation import Standardisation

SCRATCH = "scratch"


class FoldOnCrops:
    """Fine-tunes the networks of a frozen run, in the run's folder ``frozen``, each with the backbone's last layers.

    Args:
        settings: of the run.
        samples: those that the frozen networks were trained on; the store has the crops of the original ones.
        weights: file of the backbone's weights, if those of the features came from a local file.
        device: where the networks are trained.

    Raises:
        BadInput: the store has no crops, its maps were not computed in float32 or are of two pooling layers, or the
            backbone's weights are not available.
    """

    def __init__(
        self, settings: RunSettings, samples: Samples, weights: str | None, device: torch.device | str = "cpu"
    ) -> None:
        store = samples.store
        require_crops(store, samples.originals().entries)
        if "precision" in store.recipe:
            precision = store.recipe["precision"]
            raise BadInput(f"{store.folder}: its maps were computed in {precision}; --finetune needs float32")
        backbone = recorded_backbone(store.recipe, store.folder, weights, device)
        self._settings, self._samples = settings, samples
        self._split = split_for_finetuning(backbone, settings.finetune, settings.finetuning.precision)

    def fit(self, folds: Sequence[Fold], out: Path, progress: Progress | None = None) -> None:
        """Fine-tune what is not fine-tuned yet; see :class:`face_strnn.evaluation.learners.learner.Learner`."""
        by_number = {fold.number: fold for fold in folds}
        clips: AugmentedClips | None = None
        for (number, seed), path in checkpoint_paths(out, self._settings).items():
            if path.is_file() and backbone_file(path).is_file():
                continue
            clips = clips or self._clips(out)
            self._finetune((by_number[number], seed), _start_of(out, path), path, clips, progress)
        shutil.rmtree(out / SCRATCH, ignore_errors=True)

    def repeat(
        self,
        folds: Sequence[Fold],
        stack: Sequence[tuple[int, int]],
        run: Path,
        out: Path,
        progress: Progress | None = None,
    ) -> None:
        """See :class:`face_strnn.evaluation.learners.learner.Learner`; starts from the run's own frozen networks."""
        by_number, clips = {fold.number: fold for fold in folds}, self._clips(out)
        paths = checkpoint_paths(out, self._settings)
        for number, seed in stack:
            path = paths[number, seed]
            self._finetune((by_number[number], seed), _start_of(run, path), path, clips, progress)

    def is_fitted(self, network: TrainedNetwork) -> bool:
        """A network is two files: the STRNN, which was loaded whole, and its backbone's trained weights."""
        if not backbone_file(network.path).is_file():
            return False
        load_thawed(backbone_file(network.path), self._split)
        return True

    def probabilities(self, network: TrainedNetwork, samples: Samples) -> np.ndarray:
        """See :class:`face_strnn.evaluation.learners.learner.Learner`; all variants are cut from the stored crops."""
        maps = CropMaps(samples.store, samples.entries, load_thawed(backbone_file(network.path), self._split))
        return probabilities(network.model, maps, self._settings.training.interpolation)

    def _finetune(
        self,
        fold_and_seed: tuple[Fold, int],
        start_file: Path,
        path: Path,
        clips: AugmentedClips,
        progress: Progress | None,
    ) -> None:
        settings, samples, (fold, seed) = self._settings, self._samples, fold_and_seed
        start = STRNN.load(start_file)
        network = JointNetwork(start, self._standardisation(fold), self._split, settings.config, settings.finetuning)
        originals = samples.subset(fold.train).originals()
        state_file = path.with_suffix(".finetuning")
        paths = list(checkpoint_paths(path.parent.parent, settings).values())

        def watch(done: FoldProgress) -> None:
            if progress:
                extent = Extent(done.epochs_done, settings.finetuning.epochs, paths.index(path) + 1, len(paths))
                progress("fine-tuning", done.history, extent)

        done = finetune_fold(
            network,
            (fold.number, seed),
            originals.entries,
            originals.labels.tolist(),
            clips,
            state_file,
            watch,
        )
        save_thawed(
            backbone_file(path),
            network.backbone,
            finetune=settings.finetune,
            features=samples.store.fingerprint,
            weights_sha256=self._split.whole.weights.sha256,
            fold=str(fold.number),
            seed=str(seed),
            # What an audit compares with the protocol: the sequences whose crops were read.
            read_sha256=names_sha256((name, ORIGINAL) for name in done.read),
            start_sha256=sha256(start_file.read_bytes()).hexdigest(),
        )
        own = {"history": [asdict(epoch) for epoch in done.history], "stack": [(fold.number, seed)]}
        own = {name: json.dumps(value) for name, value in (own | {"machines": done.machines}).items()}
        network.model().save(path, **start.facts | {"epoch": str(done.epochs_done), **own})
        state_file.unlink(missing_ok=True)

    @cached_property
    def _moments(self) -> Tensor:
        return channel_moments(self._samples)

    def _standardisation(self, fold: Fold) -> Standardisation:
        """The standardisation of the fold's training on frozen maps, fitted to the same samples."""
        train = torch.zeros(1, len(self._samples), dtype=torch.bool)
        train[0, fold.train] = True
        return Standardisation.fit(self._moments, train)

    def _clips(self, out: Path) -> AugmentedClips:
        finetuning = self._settings.finetuning
        scratch = out / SCRATCH if finetuning.variants else None
        return AugmentedClips(self._samples.store, self._split, finetuning.frames, scratch)


def _start_of(run: Path, path: Path) -> Path:
    """The checkpoint of a run's frozen network from which the one of this name starts."""
    return run / FROZEN / FOLDER / path.name
