"""A finished run's networks, each used only for subjects that it never saw."""

from dataclasses import dataclass, field

from torch import Tensor

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.summary import RESUME
from face_strnn.models.strnn import STRNN


@dataclass(frozen=True)
class HeldOutSequence:
    """A test sequence with the networks of the fold that held its subject out.

    Attributes:
        entry: the store's, with its name, subject and emotion.
        fold: its fold, from 1.
        maps: (frames, h, w, C), as stored.
        networks: the fold's, one per seed.
    """

    entry: StoredSequence
    fold: int
    maps: Tensor = field(repr=False)
    networks: tuple[STRNN, ...] = field(repr=False)


class HeldOut:
    """A run and its features, sequence by sequence.

    Args:
        run: a finished run.
        store: the features that it was made with.

    Attributes:
        summary: the run's.
        classes: the class names; a class number is an index into them.
        samples: those of the store that the run was trained and tested on.

    Raises:
        BadInput: the run is not finished or damaged, its backbones were fine-tuned, the store is not its store, or a
            fold's table lists a subject both in training and in test.
    """

    def __init__(self, run: Run, store: FeatureStore) -> None:
        self.summary = run.summary
        if self.summary.is_finetuned:
            raise BadInput(
                f"{run.folder}: its backbones were fine-tuned, so that the maps of {store.folder} are not what its "
                f"networks see; give {run.frozen().folder}, the networks that it started from"
            )
        self.classes = self.summary.classes
        self._run = run
        self.samples = run.samples(store)
        self._fold_of = _fold_of(run)
        self._number_of = {self.samples.entries[n].sequence: int(n) for n in self.samples.original_numbers}

    @property
    def sequences(self) -> list[str]:
        """The test sequences' names, ascending."""
        return sorted(self._fold_of)

    @property
    def interpolation(self) -> str:
        """How the run's networks bring a sequence to their time steps."""
        return self._networks_of(min(self._fold_of.values()))[0].facts["interpolation"]

    def sequence(self, name: str) -> HeldOutSequence:
        """Return a test sequence and the networks that never saw its subject.

        Raises:
            BadInput: the run tested no such sequence, or a file is damaged.
        """
        if name not in self._fold_of:
            known, folder = self.sequences, self._run.folder
            raise BadInput(
                f"--sequence {name}: the run {folder} tested no such sequence; it has {known[0]} to {known[-1]}, "
                f"see {folder / 'predictions.csv'}"
            )
        number, fold = self._number_of[name], self._fold_of[name]
        return HeldOutSequence(self.samples.entries[number], fold, self.samples[number], self._networks_of(fold))

    def training_samples(self, fold: int) -> list[int]:
        """Numbers of the samples that a fold's networks were trained on."""
        roles = self._run.folds
        rows = roles[(roles["fold"] == fold) & (roles["role"] == "train")]
        wanted = set(zip(rows["sequence"], rows["rotation"], rows["flip"], strict=True))
        entries = enumerate(self.samples.entries)
        return [n for n, entry in entries if (entry.sequence, entry.rotation, entry.flip) in wanted]

    def _networks_of(self, fold: int) -> tuple[STRNN, ...]:
        networks = [network for network in self._run.networks if network.fold == fold]
        for network in networks:
            if network.classes != self.classes:
                raise BadInput(f"{network.path}: has other classes than summary.json lists; delete it and {RESUME}")
        return tuple(network.model for network in networks)


def _fold_of(run: Run) -> dict[str, int]:
    """Each test sequence's fold, after checking that the fold was not trained on its subject."""
    roles = run.folds
    tested = roles[roles["role"] == "test"]
    seen = set(roles.loc[roles["role"] != "test", ["fold", "subject"]].itertuples(index=False, name=None))
    for fold, subject in set(tested[["fold", "subject"]].itertuples(index=False, name=None)):
        if (fold, subject) in seen:
            raise BadInput(
                f"{run.folder / 'folds.csv'}: fold {fold} both trains on and tests subject {subject}, so that none "
                f"of its networks may be used for it; delete the file and {RESUME}"
            )
    return {str(row.sequence): int(row.fold) for row in tested.itertuples()}
