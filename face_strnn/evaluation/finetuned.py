"""Cross-validation with fine-tuning: a run of frozen networks, and from each of them one that is trained on.

The frozen networks are a run of their own in the folder ``frozen`` of the run folder: what fine-tuning starts from, and
what it is compared with. Folds are fine-tuned one after another, for each has a backbone of its own.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

from data_prep.atomic_files import write_text_whole
from data_prep.backbones.recorded import recorded_backbone
from data_prep.errors import BadInput
from data_prep.faces.variants import ORIGINAL
from data_prep.store.crops import require_crops
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Augmentation, Config, Finetune, FinetuningConfig, Protocol
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.run_folder import (
    FROZEN,
    backbone_file,
    checkpoint_name,
    read_settings,
    read_summary,
    read_table,
    take_folder,
)
from face_strnn.evaluation.significance import beside_frozen
from face_strnn.models.strnn import STRNN
from face_strnn.training.from_crops.answers import answers
from face_strnn.training.from_crops.augmented import Variants
from face_strnn.training.from_crops.backbone_parts import BackboneParts, save_thawed
from face_strnn.training.from_crops.fold import FoldProgress, finetune_fold
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.samples import Samples, channel_moments, names_sha256
from face_strnn.training.stack import Stack
from face_strnn.training.standardisation import Standardisation

SCRATCH = "scratch"


@dataclass(frozen=True)
class Finetuning:
    """What is fine-tuned, how, and with which weights of the backbone.

    Attributes:
        what: ``"last-block"`` or ``"all"``.
        settings: how.
        weights: the backbone's weights where the features' came from a local file.
    """

    what: Finetune
    settings: FinetuningConfig
    weights: str | None = None


def finetuned_cross_validation(
    store: FeatureStore,
    out: Path,
    config: Config,
    finetuning: Finetuning,
    protocol: Protocol = "interleaved",
    n_folds: int = 10,
    seed: int = 0,
    n_seeds: int = 1,
    device: torch.device | str = "cpu",
    command: str = "",
    progress: Callable[[Stack], None] | None = None,
    watch: Callable[[FoldProgress, int], None] | None = None,
    augmentation: Augmentation = "all",
) -> dict[str, Any]:
    """Train one STRNN per fold and seed on frozen maps, train each on with its backbone, test, write the run folder.

    The last epoch counts, of both trainings. A run that was interrupted is taken up where it stopped: finished
    networks are kept, and one in training goes on after the last epoch that it finished.

    Args:
        store: the features, with the face crops.
        out: the run folder; made where it is missing.
        config: the settings of the STRNN and of its training.
        finetuning: what is trained on, and how.
        protocol, n_folds, seed, n_seeds, device, command, augmentation: see
            :func:`face_strnn.evaluation.crossval.cross_validate`.
        progress: called after every epoch of a stack of frozen folds.
        watch: called after every epoch of fine-tuning with how far the network is, and how many networks there are.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        BadInput: as :func:`face_strnn.evaluation.crossval.cross_validate`; the store has no crops, its maps are not of
            float32 arithmetic or are of two pooling layers, or the backbone's weights are not at hand.
    """
    started = time.perf_counter()
    samples = Samples.of(store).learned_with(augmentation)
    entries = {samples.entries[n].sequence: samples.entries[n] for n in samples.unrotated}
    require_crops(store, list(entries.values()))
    if "precision" in store.recipe:
        raise BadInput(f"{store.folder}: its maps are of {store.recipe['precision']}; --finetune takes float32's")
    backbone = recorded_backbone(store.recipe, store.folder, finetuning.weights, device)
    parts = BackboneParts.of(backbone, finetuning.what)
    own = {"finetune": finetuning.what, "finetuning": asdict(finetuning.settings)}
    _take_folder(out, own)
    frozen = out / FROZEN
    frozen_summary = cross_validate(
        store, frozen, config, protocol, n_folds, "last", seed, n_seeds, device, command, progress, augmentation
    )
    write_text_whole(
        out / "config.yaml", yaml.safe_dump(json.loads(json.dumps(read_settings(frozen) | own)), sort_keys=False)
    )
    write_text_whole(out / "folds.csv", (frozen / "folds.csv").read_text(encoding="utf-8"))
    (out / "checkpoints").mkdir(exist_ok=True)
    work = _Work(samples, entries, out, config, finetuning, parts, seed)
    identities = [(fold + 1, one) for one in range(seed, seed + n_seeds) for fold in range(_n_folds(frozen_summary))]
    if work.is_finished(identities):
        return read_summary(out)
    for identity in identities:
        work.finetune(identity, lambda done: watch(done, len(identities)) if watch else None)
    shutil.rmtree(out / SCRATCH, ignore_errors=True)
    history = [epoch for one in identities for epoch in json.loads(work.model(one).facts["history"])]
    table = pd.DataFrame(history).drop(columns=["watched_accuracy", "watched_cross_entropy"])
    write_text_whole(out / "history.csv", table.to_csv(index=False))
    predictions, before = work.test(identities), read_table(frozen, "predictions.csv", ["sequence", "prediction"])
    write_text_whole(out / "predictions.csv", predictions.to_csv(index=False))
    summary = {
        **frozen_summary,
        **summarise(predictions, samples.class_names),
        "seed_accuracies": [accuracy(rows) for _, rows in predictions.groupby("seed")],
        **own,
        FROZEN: beside_frozen(samples.class_names, before, predictions),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_text_whole(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _take_folder(out: Path, own: dict[str, Any]) -> None:
    """Begin the folder, or take it up, before the frozen networks are trained: they bring the other settings."""
    file, found = out / "config.yaml", {}
    if file.is_file():
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            found = None
    take_folder(out, {**(found if isinstance(found, dict) else {}), **own})


def _n_folds(summary: dict[str, Any]) -> int:
    return len(summary["fold_accuracies"])


class _Work:
    """The fine-tuned networks of a run, one after another."""

    def __init__(
        self,
        samples: Samples,
        entries: dict[str, StoredSequence],
        out: Path,
        config: Config,
        finetuning: Finetuning,
        parts: BackboneParts,
        first_seed: int,
    ) -> None:
        self._samples, self._entries, self._out = samples, entries, out
        self._config, self._settings, self._what, self._parts = config, finetuning.settings, finetuning.what, parts
        self._first_seed = first_seed
        self._roles = read_table(out, "folds.csv", ["fold", "sequence", "subject", "role"])
        self._moments: Tensor | None = None
        self._variants: Variants | None = None

    def is_finished(self, identities: Sequence[tuple[int, int]]) -> bool:
        """Whether the run came to its end, and its networks are whole."""
        tables = [self._out / name for name in ("summary.json", "predictions.csv", "history.csv")]
        files = [file for one in identities for file in (self._checkpoint(one), backbone_file(self._checkpoint(one)))]
        if not all(file.is_file() for file in (*tables, *files)):
            return False
        for one in identities:
            STRNN.load(self._checkpoint(one))
            self._parts.load(backbone_file(self._checkpoint(one)))
        return True

    def finetune(self, identity: tuple[int, int], watch: Callable[[FoldProgress], None]) -> None:
        """Fine-tune a fold's network, unless it is there."""
        checkpoint = self._checkpoint(identity)
        if checkpoint.is_file() and backbone_file(checkpoint).is_file():
            return
        begun_from = self._out / FROZEN / "checkpoints" / checkpoint.name
        start, taught = STRNN.load(begun_from), self._names(identity[0], "train")
        network = JointNetwork(start, self._standardisation(identity[0]), self._parts, self._config, self._settings)
        entries = [self._entries[name] for name in taught]
        labels = [self._samples.class_names.index(entry.emotion) for entry in entries]
        state_file = checkpoint.with_suffix(".finetuning")
        done = finetune_fold(
            network, identity, entries, labels, self._of_variants(), self._config, self._settings, state_file, watch
        )
        save_thawed(
            backbone_file(checkpoint),
            network.weights(),
            finetune=self._what,
            features=self._samples.store.fingerprint,
            weights_sha256=self._parts.whole.weights.sha256,
            fold=str(identity[0]),
            seed=str(identity[1]),
            # What an audit holds against the protocol: whose crops were really read.
            read_sha256=names_sha256((name, ORIGINAL) for name in done.read),
            start_sha256=sha256(begun_from.read_bytes()).hexdigest(),
        )
        history = json.dumps([asdict(epoch) for epoch in done.history])
        network.model().save(checkpoint, **start.facts | {"epoch": str(done.epochs_done), "history": history})
        state_file.unlink(missing_ok=True)

    def model(self, identity: tuple[int, int]) -> STRNN:
        """Return a fine-tuned STRNN."""
        return STRNN.load(self._checkpoint(identity))

    def test(self, identities: Sequence[tuple[int, int]]) -> pd.DataFrame:
        """Return the table ``predictions.csv``."""
        rows = []
        for fold, seed in identities:
            checkpoint = self._checkpoint((fold, seed))
            tested = [self._entries[name] for name in self._names(fold, "test")]
            backbone, how = self._parts.load(backbone_file(checkpoint)), self._config.training.interpolation
            found = answers(self._samples.store, tested, backbone, STRNN.load(checkpoint), how)
            for entry, probabilities in zip(tested, found.tolist(), strict=True):
                prediction = self._samples.class_names[int(np.argmax(probabilities))]
                facts = (entry.sequence, entry.subject, fold, seed, entry.emotion, prediction)
                rows.append((*facts, *probabilities))
        columns = ["sequence", "subject", "fold", "seed", "truth", "prediction"]
        columns += [f"p_{name}" for name in self._samples.class_names]
        return pd.DataFrame(rows, columns=columns).sort_values(["seed", "sequence"], kind="stable")

    def _checkpoint(self, identity: tuple[int, int]) -> Path:
        return self._out / "checkpoints" / checkpoint_name(*identity, self._first_seed)

    def _names(self, fold: int, role: str) -> list[str]:
        """The sequences, each once, that have a role in a fold; of rotated copies the crops are not stored."""
        rows = self._roles[(self._roles["fold"] == fold) & (self._roles["role"] == role)]
        return sorted(set(rows["sequence"]))

    def _standardisation(self, fold: int) -> Standardisation:
        """That of the fold's training on frozen maps, fitted to the same samples."""
        if self._moments is None:
            self._moments = channel_moments(self._samples)
        taught = np.isin([entry.sequence for entry in self._samples.entries], self._names(fold, "train"))
        return Standardisation.fit(self._moments, torch.from_numpy(taught[None]))

    def _of_variants(self) -> Variants:
        if self._variants is None:
            scratch = self._out / SCRATCH if self._settings.variants else None
            self._variants = Variants(self._samples.store, self._parts, self._settings.frames, scratch)
        return self._variants
