"""A run folder as an object: each of its files is read, parsed and hashed once."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import pandas as pd

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, checkpoint_files, load_networks
from face_strnn.evaluation.folds import FOLD_COLUMNS
from face_strnn.evaluation.predictions import ENSEMBLE_COLUMNS, MEMBERS_FILE, PREDICTIONS_FILE, probability_columns
from face_strnn.evaluation.run_folder import read_table
from face_strnn.evaluation.settings import SETTINGS_FILE, RunSettings, features_of
from face_strnn.evaluation.summary import RESUME, SUMMARY_FILE, Summary
from face_strnn.training.samples import Samples

FROZEN = "frozen"
"""Folder in a fine-tuned run: the run of the networks that it started from, and their figures in its summary."""

FILES = (SETTINGS_FILE, SUMMARY_FILE, PREDICTIONS_FILE, "history.csv", "folds.csv")
"""Of every finished run, beside its checkpoints."""


class Run:
    """What cross-validation wrote into a folder.

    Every part raises :class:`data_prep.errors.BadInput` where its file is missing, damaged or edited into something
    that no run writes; the message names the file and the remedy.

    Args:
        folder: a run folder, finished or not.

    Attributes:
        folder: the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run folder.

        Raises:
            BadInput: the folder holds none of a run's files.
        """
        run = cls(folder)
        if not any((run.folder / name).is_file() for name in FILES):
            raise BadInput(f"{folder}: no run folder; `face-strnn cv --out {folder}` makes one")
        return run

    @cached_property
    def settings(self) -> RunSettings:
        """The contents of ``config.yaml``."""
        return RunSettings.read(self.folder)

    @cached_property
    def summary(self) -> Summary:
        """The contents of ``summary.json``."""
        return Summary.read(self.folder)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The table ``predictions.csv``: one row per test sequence, and per seed where there is no ensemble."""
        return self._table(PREDICTIONS_FILE, ENSEMBLE_COLUMNS, ["fold"])

    @cached_property
    def members(self) -> pd.DataFrame:
        """The predictions of every seed: ``members.csv`` of an ensemble, else ``predictions.csv``."""
        try:
            is_ensemble = self.settings.ensemble
        except BadInput:  # one damaged file should not take others with it
            is_ensemble = self.summary.ensemble is not None
        name = MEMBERS_FILE if is_ensemble else PREDICTIONS_FILE
        return self._table(name, [*ENSEMBLE_COLUMNS, "seed"], ["fold", "seed"])

    @cached_property
    def history(self) -> pd.DataFrame:
        """The table ``history.csv``: one row per network and epoch."""
        columns = ["fold", "seed", "epoch", "loss", "cross_entropy", "train_accuracy"]
        return self._table("history.csv", columns, ["fold", "seed", "epoch"], columns[3:])

    @cached_property
    def folds(self) -> pd.DataFrame:
        """The table ``folds.csv``: the role of every sample in every fold; a column ``flip`` in any case."""
        table = self._table("folds.csv", [name for name in FOLD_COLUMNS if name != "flip"], ["fold"])
        table = table if "flip" in table else table.assign(flip=False)
        kinds = {"rotation": pd.api.types.is_numeric_dtype, "flip": pd.api.types.is_bool_dtype}
        words = {"rotation": "a number", "flip": "True or False"}
        for column, fits in kinds.items():
            if not fits(table[column]):
                path = self.folder / "folds.csv"
                raise BadInput(f"{path}: {column} is not {words[column]} in every row; the file was edited")
        return table

    @cached_property
    def networks(self) -> list[TrainedNetwork]:
        """The networks of all folds and seeds, see :func:`face_strnn.evaluation.checkpoints.checkpoint_paths`."""
        networks, problems = load_networks(self.folder, self.settings)
        if problems:
            raise BadInput(problems[0])
        return networks

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints' paths, one per fold and seed, in order of their names."""
        found, wanted = checkpoint_files(self.folder), self.summary.n_folds * self.summary.seeds
        if len(found) < wanted:
            folder = self.folder / FOLDER
            raise BadInput(f"{folder}: holds {len(found)} of {wanted} checkpoints (fold-NN.safetensors); {RESUME}")
        return found

    @cached_property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of every file that an audit reads, by its path within the run folder."""
        files = [self.folder / name for name in (*FILES, MEMBERS_FILE)]
        files += sorted((self.folder / FOLDER).glob("*.safetensors"))
        files += [self.folder / FROZEN / name for name in (SUMMARY_FILE, PREDICTIONS_FILE)]
        return {
            file.relative_to(self.folder).as_posix(): sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file()
        }

    def frozen(self) -> "Run":
        """Return the run of the networks that a fine-tuned run started from."""
        return Run(self.folder / FROZEN)

    def samples(self, store: FeatureStore) -> Samples:
        """Return the samples that the run's networks learned from.

        Args:
            store: the features that it was made with.

        Raises:
            BadInput: the store is damaged, not whole, or not the run's.
        """
        stored = Samples.of(store, self.settings.classes, self.settings.partial)
        samples = stored.learnable(self.settings.learn_from)
        tested = stored if self.settings.test_average else stored.originals()
        if features_of(samples, tested, self.settings) != (named := self.settings.features):
            raise BadInput(
                f"{store.folder}: not the features that {self.folder} was made with (fingerprint "
                f"{named.get('fingerprint')}); give --features the store of that run, "
                "or run `face-strnn cv` on this one"
            )
        return samples

    def require_probabilities(self) -> None:
        """Refuse predictions that a page cannot show.

        Raises:
            BadInput: a class that the summary does not list, or a probability that is none.
        """
        path, classes = self.folder / PREDICTIONS_FILE, self.summary.classes
        columns = probability_columns(classes)
        tables = {PREDICTIONS_FILE: self.predictions, **({MEMBERS_FILE: self.members} if self.summary.ensemble else {})}
        table = read_table(self.folder, path.name, columns, columns)
        for name, rows in tables.items():
            if unknown := {*rows["truth"], *rows["prediction"]} - set(classes):
                raise BadInput(
                    f"{self.folder / name}: names {', '.join(sorted(map(str, unknown)))}, which summary.json does not "
                    f"list among its classes; delete both and {RESUME}"
                )
        if not table[columns].stack().between(0, 1).all():
            raise BadInput(f"{path}: holds probabilities below 0 or above 1; delete it and {RESUME}")

    def _table(
        self, name: str, columns: list[str], whole_numbers: list[str], numbers: Sequence[str] = ()
    ) -> pd.DataFrame:
        table = read_table(self.folder, name, columns, numbers)
        for column in whole_numbers:
            if not pd.api.types.is_integer_dtype(table[column]):
                path = self.folder / name
                raise BadInput(f"{path}: {column} is not a whole number in every row; the file was edited")
        return table
