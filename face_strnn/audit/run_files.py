"""What an audit reads: a run, the features that it was made from where they are at hand, and the folds split anew."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from data_prep.errors import BadInput
from data_prep.faces.variants import ORIGINAL, Variant
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.checkpoints import TrainedNetwork, load_networks
from face_strnn.evaluation.crossval import learner_of
from face_strnn.evaluation.folds import FOLD_COLUMNS, Fold
from face_strnn.evaluation.learners.learner import Learner, Progress
from face_strnn.evaluation.predictions import MEMBERS_FILE, PREDICTIONS_FILE
from face_strnn.evaluation.protocols import splitter
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.settings import RunSettings, features_of
from face_strnn.evaluation.summary import Summary
from face_strnn.training.samples import Samples

Part = TypeVar("Part")


class NotCheckable(Exception):
    """A check takes what the user did not hand over, features or weights; the message says what.

    What a run must have and lacks is another matter: the check that needs it fails.
    """


class Declared(Exception):
    """The files say what the check is about, and nothing at hand can derive it; the message says who says it."""


class NotApplicable(Exception):
    """The check is about other runs."""


@dataclass(frozen=True)
class Repetition:
    """Training again: the proof of what a network was trained on.

    Attributes:
        folds: numbers of the folds whose networks are trained again.
        progress: called after every epoch.
    """

    folds: tuple[int, ...] = ()
    progress: Progress | None = None


NO_REPETITION = Repetition()


class RunFiles:
    """A run as an audit reads it: what is missing or damaged is a problem, and so is every check that needs it.

    Args:
        run: the run.
        store: the features, where they are at hand.
        weights: of a fine-tuned run: file of the backbone's weights, where they came from a local file.
        repetition: the folds to train again.

    Attributes:
        run, store, weights, repetition: the same.
        problems: what is missing or damaged, file by file.
    """

    def __init__(
        self,
        run: Run,
        store: FeatureStore | None = None,
        weights: str | None = None,
        repetition: Repetition = NO_REPETITION,
    ) -> None:
        self.run, self.store, self.weights, self.repetition = run, store, weights, repetition
        self.problems: list[str] = []
        self._settings = self._read(lambda: run.settings)
        self._summary = self._read(lambda: run.summary)
        self._predictions = self._read(lambda: run.predictions)
        self._members = self._read(lambda: run.members)
        self._history = self._read(lambda: run.history)
        self._folds = self._read(lambda: run.folds)
        self._networks = None
        if self._settings is not None:
            networks, problems = load_networks(run.folder, self._settings)
            self.problems += problems
            if len(networks) == self._settings.folds * self._settings.seeds:
                self._networks = networks
        self.problems = list(dict.fromkeys(self.problems))

    @property
    def settings(self) -> RunSettings:
        """The contents of ``config.yaml``. As the others below, raises :class:`BadInput` where it is not there."""
        return _there(self._settings, "config.yaml")

    @property
    def summary(self) -> Summary:
        """The contents of ``summary.json``."""
        return _there(self._summary, "summary.json")

    @property
    def predictions(self) -> pd.DataFrame:
        """The table ``predictions.csv``."""
        return _there(self._predictions, PREDICTIONS_FILE)

    @property
    def members(self) -> pd.DataFrame:
        """The predictions of every seed."""
        return _there(self._members, self.members_file)

    @property
    def members_file(self) -> str:
        """The name of the table that has the predictions of every seed."""
        return MEMBERS_FILE if self.settings.ensemble else PREDICTIONS_FILE

    @property
    def history(self) -> pd.DataFrame:
        """The table ``history.csv``."""
        return _there(self._history, "history.csv")

    @property
    def folds(self) -> pd.DataFrame:
        """The table ``folds.csv``."""
        return _there(self._folds, "folds.csv")

    @property
    def networks(self) -> list[TrainedNetwork]:
        """The networks, one for each fold and seed. Raises :class:`BadInput` unless all are there and whole."""
        return _there(self._networks, "a checkpoint")

    @cached_property
    def stored(self) -> Samples:
        """The samples of the given features that have the run's classes, even if the features are not the run's.

        Raises:
            NotCheckable: there are none.
            BadInput: they are damaged or not whole.
        """
        if self.store is None:
            raise NotCheckable("the features were not given: --features")
        return Samples.of(self.store, self.settings.classes, self.settings.partial)

    @property
    def given_samples(self) -> Samples:
        """What the features at hand hold of that which the run may learn from. Raises as :attr:`stored`."""
        return self.stored.learnable(self.settings.learn_from)

    @cached_property
    def given_features(self) -> dict[str, Any]:
        """What a run on the features at hand would record of them; of crops only where they are there.

        Raises as :attr:`stored`.
        """
        samples, settings = self.given_samples, self.settings
        tested = self.stored if settings.test_average else self.stored.originals()
        try:
            return features_of(samples, tested, settings)
        except BadInput:
            return features_of(samples, tested, settings.frozen())

    @property
    def samples(self) -> Samples:
        """The samples of the run's own features.

        Raises:
            NotCheckable: the features are not at hand, are damaged, or are not those that the run names.
        """
        settings = self.settings
        try:
            given = self.given_features
        except BadInput as error:  # which the check of the features reports
            raise NotCheckable("the features given cannot be read") from error
        if any(value != settings.features.get(name) for name, value in given.items()):
            raise NotCheckable("the features given are not those that config.yaml names")
        return self.given_samples

    @property
    def tested_samples(self) -> Samples:
        """Those that the run may test: the originals, or all variants. Raises as :attr:`samples`."""
        own = self.samples  # refuses features that are not the run's
        return self.stored if self.settings.test_average else own.originals()

    @cached_property
    def sample_folds(self) -> list[Fold]:
        """The folds as numbers of :attr:`samples`, from the protocol and not from the code that trains.

        ``test`` and ``validation`` are original samples. Raises as :attr:`samples` and :attr:`roles`.
        """
        number_of = {name: number for number, name in enumerate(self.samples.names())}
        choosing = {"last": None, "inner": "validation", "oracle": "test"}[self.settings.selection]

        def numbers(fold: int, role: str, original: bool) -> np.ndarray:
            names = [name for name in self.names(fold, role) if name[1] == ORIGINAL or not original]
            return np.array([number_of[name] for name in names], int)

        return [
            Fold(
                number,
                numbers(number, "train", original=False),
                numbers(number, choosing, original=True) if choosing else None,
                numbers(number, "test", original=True),
            )
            for number in range(1, self.settings.folds + 1)
        ]

    def learner(self, device: str = "cpu") -> Learner:
        """Return what trains the run's networks and predicts with them. Raises as :attr:`samples`.

        Raises:
            NotCheckable: the features have no crops, or the backbone's weights are not at hand.
        """
        samples = self.samples
        try:
            return learner_of(self.settings, samples, device, self.weights)
        except BadInput as error:
            raise NotCheckable(str(error)) from error

    @cached_property
    def catalogue(self) -> pd.DataFrame:
        """Every sample once: ``sequence``, ``subject``, ``emotion``, ``rotation``, ``flip``, ``predefined_fold``.

        From the features where they are at hand, else from ``folds.csv``, which lacks the predefined folds.
        """
        columns = ["sequence", "subject", "emotion", "rotation", "flip"]
        try:
            samples = self.tested_samples if self.settings.test_average else self.samples
        except (NotCheckable, BadInput):
            return self.folds[columns].drop_duplicates().sort_values(columns).assign(predefined_fold="")
        rows = [(one.sequence, one.subject, one.emotion, one.rotation, one.flip, one.fold) for one in samples.entries]
        return pd.DataFrame(rows, columns=[*columns, "predefined_fold"])

    @cached_property
    def roles(self) -> pd.DataFrame:
        """What ``folds.csv`` should hold: the protocol's folds split anew, independently of the code that trains.

        Raises:
            NotCheckable: the folds are those that the data set gives, and the features are not at hand.
            BadInput: the protocol cannot be followed with these subjects.
        """
        catalogue, settings = self.catalogue, self.settings
        population = self._population()
        if settings.protocol == "given" and not population["predefined_fold"].all():
            raise NotCheckable("the data set's predefined folds are in the features, which were not given: --features")
        subjects = population["subject"].to_numpy(str)
        if len(set(subjects)) < 2:
            raise BadInput(f"{self.run.folder / 'folds.csv'}: names one subject, which cannot be split into folds")
        protocol = splitter(settings.protocol, settings.folds, subjects, population["predefined_fold"].to_list())
        tested = set(catalogue["subject"])
        held_out = [set(subjects[test]) & tested for _, test in protocol.split(subjects, groups=subjects)]
        held_out = [fold for fold in held_out if fold]
        original = (catalogue["rotation"] == 0) & ~catalogue["flip"]
        may_train = original | (settings.learn_from != "original")
        may_test = original | settings.test_average
        parts = []
        for number, test_subjects in enumerate(held_out):
            # Inner selection chooses the epoch on the subjects of the following fold, which are then not trained on.
            others = held_out[(number + 1) % len(held_out)] if settings.selection == "inner" else set()
            test, validation = catalogue["subject"].isin(test_subjects), catalogue["subject"].isin(others)
            for role, rows in (
                ("train", ~test & ~validation & may_train),
                ("test", test & may_test),
                ("validation", validation & original),
            ):
                parts.append(catalogue[rows].assign(fold=number + 1, role=role))
        return pd.concat(parts, ignore_index=True)[[*FOLD_COLUMNS, "predefined_fold"]]

    def _population(self) -> pd.DataFrame:
        """The original samples of all classes of the store, whose subjects are split into folds."""
        try:
            rows = [(entry.subject, entry.fold) for entry in self.samples.population]
            return pd.DataFrame(rows, columns=["subject", "predefined_fold"])
        except (NotCheckable, BadInput):
            if list(self.settings.classes) != self.summary.features.get("classes", list(self.settings.classes)):
                raise NotCheckable("subjects of other classes count in the folds: --features") from None
            return self.catalogue

    def names(self, fold: int, role: str) -> list[tuple[str, Variant]]:
        """Return sequence and variant of the samples that have a role in a fold by :attr:`roles`."""
        rows = self.roles[(self.roles["fold"] == fold) & (self.roles["role"] == role)]
        return list(zip(rows["sequence"], map(Variant, rows["rotation"], rows["flip"]), strict=True))

    def _read(self, part: Callable[[], Part]) -> Part | None:
        try:
            return part()
        except BadInput as error:
            self.problems.append(str(error))
            return None


def _there(part: Part | None, what: str) -> Part:
    if part is None:
        raise BadInput(f"cannot be shown: {what} is missing or damaged")
    return part
