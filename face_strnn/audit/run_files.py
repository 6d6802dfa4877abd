"""What an audit reads: the files of a run and, where they are at hand, the features that it was made from."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.predictions import MEMBERS_FILE
from face_strnn.evaluation.protocols import splitter
from face_strnn.evaluation.run_folder import (
    FROZEN,
    backbone_file,
    checkpoint_name,
    read_settings,
    read_summary,
    read_table,
)
from face_strnn.models.strnn import STRNN
from face_strnn.training.samples import Samples

FILES = ("config.yaml", "summary.json", "predictions.csv", "history.csv", "folds.csv")
"""All but the checkpoints, and :data:`face_strnn.evaluation.predictions.MEMBERS_FILE` of an ensemble."""


_ALONE = {"predictions.csv": ["fold", "seed"]}
"""Where there is no ensemble every network's answers stand there."""

FROZEN_FILES = ("summary.json", "predictions.csv")
"""Of the run that a fine-tuned one started from."""


class Lacking(Exception):
    """Something cannot be checked, for what it takes is not there; the message says what."""


@dataclass(frozen=True)
class Checkpoint:
    """One network of a run, and what its file says of it.

    Attributes:
        name: of the file.
        fold, seed: by the file's name.
        model: the network; its header is in ``model.facts``.
        history: one row per epoch, as the header has it.
        classes: the class names in the order of the network's outputs.
    """

    name: str
    fold: int
    seed: int
    model: STRNN
    history: pd.DataFrame
    classes: list[str]

    def fact(self, name: str) -> str:
        """Return a fact of the header.

        Raises:
            Lacking: the header has none of that name.
        """
        if name not in self.model.facts:
            raise Lacking(f"the header of {self.name} has no {name}: an earlier version wrote it")
        return self.model.facts[name]


class Evidence:
    """The files of a run, each read once; what is missing or damaged is kept as a problem.

    Args:
        run: the run folder.
        store: the features, where they are at hand.
        weights: of a fine-tuned run: the backbone's weights, where they came from a local file.

    Attributes:
        run: the run folder.
        problems: what is missing or damaged, file by file.

    Raises:
        BadInput: the folder is no run folder.
    """

    def __init__(self, run: Path, store: FeatureStore | None = None, weights: str | None = None) -> None:
        if not any((run / name).is_file() for name in FILES):
            raise BadInput(f"{run}: no run folder; `face-strnn cv --out {run}` makes one")
        self.run = run
        self.store = store
        self.weights = weights
        self.problems: list[str] = []
        self._found: dict[str, Any] = {}
        self._read("config.yaml", lambda: read_settings(run))
        self._read("summary.json", lambda: read_summary(run))
        for name, numbers in self._answer_tables().items():
            columns = ["sequence", "subject", *numbers, "truth", "prediction"]
            self._read(name, lambda name=name, columns=columns, numbers=numbers: self._table(name, columns, numbers))
        columns = ["fold", "seed", "epoch", "loss", "cross_entropy", "train_accuracy"]
        self._read("history.csv", lambda: self._table("history.csv", columns, ["fold", "seed", "epoch"]))
        columns = ["fold", "sequence", "subject", "emotion", "rotation", "role"]
        self._read("folds.csv", self._read_folds)
        self._read("checkpoints", self._read_checkpoints)

    @property
    def settings(self) -> dict[str, Any]:
        """The contents of ``config.yaml``. As the others below, raises :class:`Lacking` where it cannot be read."""
        return self._get("config.yaml")

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of ``summary.json``."""
        return self._get("summary.json")

    @property
    def predictions(self) -> pd.DataFrame:
        """The table ``predictions.csv``."""
        return self._get("predictions.csv")

    @property
    def is_ensemble(self) -> bool:
        """Whether the networks of all seeds answer together."""
        return bool(self.settings.get("ensemble"))

    @property
    def averages_variants(self) -> bool:
        """Whether a test sequence is answered by the mean over its variants."""
        return bool(self.settings.get("test_average"))

    @property
    def seed_table(self) -> str:
        """The name of the table that has the answers of every seed."""
        return MEMBERS_FILE if self.is_ensemble else "predictions.csv"

    @property
    def seed_answers(self) -> pd.DataFrame:
        """That table."""
        return self._get(self.seed_table)

    @property
    def history(self) -> pd.DataFrame:
        """The table ``history.csv``."""
        return self._get("history.csv")

    @property
    def folds(self) -> pd.DataFrame:
        """The table ``folds.csv``."""
        return self._get("folds.csv")

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The networks, one for each fold and seed."""
        return self._get("checkpoints")

    @property
    def seeds(self) -> list[int]:
        """The seeds with which every fold was trained."""
        return list(range(self.settings["seed"], self.settings["seed"] + self.settings["seeds"]))

    @property
    def is_finetuned(self) -> bool:
        """Whether the run's backbones were trained on with their networks."""
        return "finetune" in self.settings

    @cached_property
    def given_samples(self) -> Samples:
        """What the features at hand hold, of that which the run may learn from, whether or not they are its own.

        Raises:
            Lacking: there are none.
            BadInput: they are damaged or not whole.
        """
        return self._stored.learned_with(self.settings.get("augmentation", "all"))

    @cached_property
    def _stored(self) -> Samples:
        if self.store is None:
            raise Lacking("the features were not given: --features")
        return Samples.of(self.store)

    @property
    def samples(self) -> Samples:
        """The samples of the run's own features.

        Raises:
            Lacking: the features are not at hand, or are not those that the run names.
        """
        samples = self.given_samples
        named = self.settings["features"]
        if (samples.store.fingerprint, samples.sha256()) != (named.get("fingerprint"), named.get("samples_sha256")):
            raise Lacking("the features given are not those that config.yaml names")
        return samples

    @property
    def n_stored_variants(self) -> int:
        """Variants of every sequence in the features at hand. Raises as :attr:`given_samples`."""
        return self._stored.n_variants

    @property
    def tested_samples(self) -> Samples:
        """Those that the run may test: the sequences as they were taken, or all variants. Raises as :attr:`samples`."""
        own = self.samples  # refuses features that are not the run's
        return self._stored if self.averages_variants else own.as_taken()

    @cached_property
    def catalogue(self) -> pd.DataFrame:
        """Every sample once: ``sequence``, ``subject``, ``emotion``, ``rotation``, ``flip``, ``given_fold``.

        From the features where they are at hand, else from ``folds.csv``, which does not tell given folds.
        """
        columns = ["sequence", "subject", "emotion", "rotation", "flip"]
        try:
            samples = self.tested_samples if self.averages_variants else self.samples
        except (Lacking, BadInput):
            return self.folds[columns].drop_duplicates().sort_values(columns).assign(given_fold="")
        rows = [(one.sequence, one.subject, one.emotion, one.rotation, one.flip, one.fold) for one in samples.entries]
        return pd.DataFrame(rows, columns=[*columns, "given_fold"])

    @cached_property
    def roles(self) -> pd.DataFrame:
        """What ``folds.csv`` should hold: the protocol's folds dealt anew.

        Raises:
            Lacking: the folds are those that the data set gives, and the features are not at hand.
            BadInput: the protocol cannot be followed with these subjects.
        """
        catalogue, settings = self.catalogue, self.settings
        if settings["protocol"] == "given" and not catalogue["given_fold"].all():
            raise Lacking("the features carry the folds that the data set gives, and were not given: --features")
        subjects = catalogue["subject"].to_numpy(str)
        if len(set(subjects)) < 2:
            raise BadInput(f"{self.run / 'folds.csv'}: names one subject, which cannot be dealt to folds")
        protocol = splitter(settings["protocol"], settings["folds"], subjects, catalogue["given_fold"].to_list())
        held_out = [set(subjects[test]) for _, test in protocol.split(subjects, groups=subjects)]
        unrotated = (catalogue["rotation"] == 0) & ~catalogue["flip"]
        may_teach = unrotated | (settings.get("augmentation") != "none")
        may_test = unrotated | self.averages_variants
        parts = []
        for number, tested in enumerate(held_out):
            # Inner selection chooses the epoch on the subjects of the following fold, which are then not taught.
            watched = held_out[(number + 1) % len(held_out)] if settings["selection"] == "inner" else set()
            is_tested, is_watched = catalogue["subject"].isin(tested), catalogue["subject"].isin(watched)
            for role, rows in (
                ("train", ~is_tested & ~is_watched & may_teach),
                ("test", is_tested & may_test),
                ("validation", is_watched & unrotated),
            ):
                parts.append(catalogue[rows].assign(fold=number + 1, role=role))
        return pd.concat(parts, ignore_index=True)

    def names(self, fold: int, role: str) -> list[tuple[str, Variant]]:
        """Return sequence and variant of the samples that have a role in a fold by :attr:`roles`."""
        rows = self.roles[(self.roles["fold"] == fold) & (self.roles["role"] == role)]
        return list(zip(rows["sequence"], map(Variant, rows["rotation"], rows["flip"]), strict=True))

    def _answer_tables(self) -> dict[str, list[str]]:
        """The tables of answers, each with its columns of whole numbers."""
        try:
            return {self.seed_table: ["fold", "seed"], "predictions.csv": ["fold"]} if self.is_ensemble else _ALONE
        except Lacking:
            return _ALONE

    def _read(self, name: str, reader: Callable[[], Any]) -> None:
        try:
            self._found[name] = reader()
        except BadInput as error:
            self.problems.append(str(error))
        except Lacking:
            pass  # that something else is missing is said there

    def _get(self, name: str) -> Any:  # noqa: ANN401
        if name not in self._found:
            raise Lacking(f"{name} is missing or damaged")
        return self._found[name]

    def _table(self, name: str, columns: Collection[str], numbers: Collection[str]) -> pd.DataFrame:
        table = read_table(self.run, name, columns)
        for column in numbers:
            if not pd.api.types.is_integer_dtype(table[column]):
                raise BadInput(f"{self.run / name}: {column} is not a whole number in every row; the file was edited")
        return table

    def _read_folds(self) -> pd.DataFrame:
        table = self._table("folds.csv", ["fold", "sequence", "subject", "emotion", "rotation", "role"], ["fold"])
        if not pd.api.types.is_numeric_dtype(table["rotation"]):
            raise BadInput(f"{self.run / 'folds.csv'}: rotation is not a number in every row; the file was edited")
        if "flip" not in table:
            return table.assign(flip=False)
        if not pd.api.types.is_bool_dtype(table["flip"]):
            raise BadInput(f"{self.run / 'folds.csv'}: flip is not True or False in every row; the file was edited")
        return table

    def _read_checkpoints(self) -> list[Checkpoint]:
        """Read those of the folds and seeds of ``config.yaml``; they are of use only when all are there."""
        folder, settings = self.run / "checkpoints", self.settings
        wanted = {
            checkpoint_name(fold, seed, settings["seed"]): (fold, seed)
            for seed in self.seeds
            for fold in range(1, settings["folds"] + 1)
        }
        backbones = {backbone_file(folder / name).name for name in wanted} if self.is_finetuned else set()
        known = wanted.keys() | backbones
        strays = sorted(path.name for path in folder.glob("*.safetensors") if path.name not in known)
        if strays:
            self.problems.append(f"{folder}: {', '.join(strays)} belong to no fold and seed of config.yaml")
        checkpoints = []
        for name, (fold, seed) in wanted.items():
            try:
                checkpoints.append(_checkpoint(folder / name, fold, seed))
            except BadInput as error:
                self.problems.append(str(error))
        if len(checkpoints) < len(wanted):
            raise Lacking("a checkpoint is missing or damaged")
        return checkpoints


def checksums(run: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that an audit reads, by its path within the run folder."""
    files = [run / name for name in (*FILES, MEMBERS_FILE)] + sorted((run / "checkpoints").glob("*.safetensors"))
    files += [run / FROZEN / name for name in FROZEN_FILES]
    return {file.relative_to(run).as_posix(): sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def _checkpoint(path: Path, fold: int, seed: int) -> Checkpoint:
    model = STRNN.load(path)
    try:
        history = pd.DataFrame(json.loads(model.facts["history"]))
        classes = json.loads(model.facts["classes"])
        history[["fold", "seed", "epoch", "watched_accuracy"]]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: its header has no history or classes ({error}); the file was edited") from error
    if len(classes) != model.config.n_classes:
        raise BadInput(f"{path}: names {len(classes)} classes and has {model.config.n_classes}; the file was edited")
    return Checkpoint(path.name, fold, seed, model, history, classes)
