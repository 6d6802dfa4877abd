"""A finished run's networks, each asked only about subjects that it never saw."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.evaluation.run_folder import FROZEN, RESUME, checkpoint_files, read_summary, read_table
from face_strnn.models.strnn import STRNN
from face_strnn.training.samples import Samples


@dataclass(frozen=True)
class HeldOutSequence:
    """A test sequence with the networks of the fold that held its subject out.

    Attributes:
        name, subject, emotion: what the data set says of it.
        fold: its fold, from 1.
        maps: (frames, h, w, C), as stored.
        networks: the fold's, one per seed.
    """

    name: str
    subject: str
    emotion: str
    fold: int
    maps: Tensor = field(repr=False)
    networks: tuple[STRNN, ...] = field(repr=False)


class HeldOut:
    """A run and its features, sequence by sequence.

    Args:
        run: a finished run folder.
        store: the features that it was made with.

    Attributes:
        summary: the run's ``summary.json``.
        classes: the class names; a class number is a place in them.
        samples: those of the store that the run learned from.

    Raises:
        BadInput: the run is not finished or damaged, its backbones were fine-tuned, the store is not its store, or a
            fold's table lists a subject both in training and in test.
    """

    def __init__(self, run: Path, store: FeatureStore) -> None:
        self.summary = read_summary(run)
        if "finetune" in self.summary:
            raise BadInput(
                f"{run}: its backbones were fine-tuned, so that the maps of {store.folder} are not what its networks "
                f"look at; give {run / FROZEN}, the networks that it started from"
            )
        self.classes: list[str] = self.summary["classes"]
        self._run = run
        self.samples = Samples.of(store).learned_with(self.summary.get("augmentation", "all"))
        features = self.summary["features"]
        if (features.get("fingerprint"), features.get("samples_sha256")) != (
            store.fingerprint,
            self.samples.sha256(),
        ):
            raise BadInput(
                f"{store.folder}: not the features that {run} was made with (fingerprint "
                f"{features.get('fingerprint')}); give --features the store of that run, "
                "or run `face-strnn cv` on this one"
            )
        self._roles = read_table(run, "folds.csv", ["fold", "sequence", "subject", "rotation", "role"])
        self._fold_of = _fold_of(run, self._roles)
        if "flip" not in self._roles:
            self._roles["flip"] = False
        self._number_of = {self.samples.entries[n].sequence: int(n) for n in self.samples.unrotated}
        self._networks: dict[int, tuple[STRNN, ...]] = {}

    @property
    def sequences(self) -> list[str]:
        """The test sequences' names, ascending."""
        return sorted(self._fold_of)

    @property
    def interpolation(self) -> str:
        """How the run's networks bring a sequence to their time steps."""
        network = self._of_fold(min(self._fold_of.values()))[0]
        return network.facts.get("interpolation", "linear")

    def sequence(self, name: str) -> HeldOutSequence:
        """Return a test sequence and the networks that never saw its subject.

        Raises:
            BadInput: the run tested no such sequence, or a file is damaged.
        """
        if name not in self._fold_of:
            known = self.sequences
            raise BadInput(
                f"--sequence {name}: the run {self._run} tested no such sequence; it has {known[0]} to {known[-1]}, "
                f"see {self._run / 'predictions.csv'}"
            )
        number, fold = self._number_of[name], self._fold_of[name]
        entry = self.samples.entries[number]
        return HeldOutSequence(name, entry.subject, entry.emotion, fold, self.samples[number], self._of_fold(fold))

    def entry(self, name: str) -> StoredSequence:
        """Return what the store says of a test sequence."""
        return self.samples.entries[self._number_of[name]]

    def training_samples(self, fold: int) -> list[int]:
        """Numbers of the samples that a fold's networks learned from."""
        rows = self._roles[(self._roles["fold"] == fold) & (self._roles["role"] == "train")]
        wanted = set(zip(rows["sequence"], rows["rotation"], rows["flip"], strict=True))
        entries = enumerate(self.samples.entries)
        return [n for n, entry in entries if (entry.sequence, entry.rotation, entry.flip) in wanted]

    def _of_fold(self, fold: int) -> tuple[STRNN, ...]:
        if fold not in self._networks:
            folder = self._run / "checkpoints"
            of_fold = (f"fold-{fold:02d}.safetensors", f"fold-{fold:02d}-seed-")
            files = [file for file in checkpoint_files(folder) if file.name.startswith(of_fold)]
            files.sort(key=lambda file: file.name != of_fold[0])  # the first seed's name has no number
            if len(files) != self.summary["seeds"]:
                raise BadInput(
                    f"{folder}: holds {len(files)} of {self.summary['seeds']} checkpoints of fold {fold} "
                    f"(fold-{fold:02d}.safetensors); {RESUME}"
                )
            networks = tuple(STRNN.load(file) for file in files)
            for file, network in zip(files, networks, strict=True):
                if json.loads(network.facts.get("classes", "null")) != self.classes:
                    raise BadInput(f"{file}: tells other classes apart than summary.json lists; delete it and {RESUME}")
            self._networks[fold] = networks
        return self._networks[fold]


def _fold_of(run: Path, roles: pd.DataFrame) -> dict[str, int]:
    """Each tested sequence's fold, after making sure that the fold learned nothing of its subject."""
    tested = roles[roles["role"] == "test"]
    seen = set(roles.loc[roles["role"] != "test", ["fold", "subject"]].itertuples(index=False, name=None))
    for fold, subject in set(tested[["fold", "subject"]].itertuples(index=False, name=None)):
        if (fold, subject) in seen:
            raise BadInput(
                f"{run / 'folds.csv'}: fold {fold} both learns from and tests subject {subject}, so that none of its "
                f"networks may be asked about it; delete the file and {RESUME}"
            )
    return {str(row.sequence): int(row.fold) for row in tested.itertuples()}
