"""The paper's experiments under one protocol, cell by cell: a cell is one method with one seed, in a folder of its own.

The cells of an STRNN are run folders, those of a baseline hold ``predictions.csv`` and ``settings.yaml``. What is
finished is kept, what was interrupted is resumed.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import BaseCrossValidator

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.audit.audit import audit_run, standing_audit, write_audit
from face_strnn.config import Config, Protocol, Selection
from face_strnn.evaluation.baselines import fold_table
from face_strnn.evaluation.crossval import config_for, cross_validate
from face_strnn.evaluation.predictions import PREDICTION_COLUMNS
from face_strnn.evaluation.protocols import splitter
from face_strnn.evaluation.run_folder import read_table, take_folder
from face_strnn.experiments.methods import REFERENCE, Experiment, chosen_experiments, experiments
from face_strnn.training.samples import Samples
from face_strnn.training.stack import Stack

SETTINGS_FILE = "reproduction.yaml"
RESUME = "run `face-strnn reproduce` again with the same --out: it resumes"
COLUMNS = [*PREDICTION_COLUMNS, "setting", "seconds"]
"""Of a baseline's predictions; ``setting`` is the one chosen inside the fold, ``seconds`` what the fold took."""


@dataclass(frozen=True)
class Cell:
    """One method with one seed.

    Attributes:
        experiment: the method.
        seed: the seed; None where the method draws nothing.
        folder: where its results are.
    """

    experiment: Experiment
    seed: int | None
    folder: Path

    @property
    def is_finished(self) -> bool:
        """Whether its results are whole."""
        last = "predictions.csv" if self.experiment.baseline else "summary.json"
        return (self.folder / last).is_file()

    @property
    def title(self) -> str:
        """For example ``"SRNN only, seed 0"``."""
        return self.experiment.label + ("" if self.seed is None else f", seed {self.seed}")


@dataclass(frozen=True)
class Reproduction:
    """All cells over one feature store, in one folder.

    Attributes:
        store: the features.
        out: the folder; made by :meth:`begin`.
        config: the settings, which experiments change in what they are about; sizes that are None follow the features.
        protocol, n_folds, selection: see :func:`face_strnn.evaluation.crossval.cross_validate`; never ``"oracle"``.
        seed: the first seed.
        n_seeds: seeds with which every cell that draws anything is repeated.
        only: names of experiments; the reference is always among them. All where it is None.
        device: where networks are trained.
        command: how to repeat it.
    """

    store: FeatureStore
    out: Path
    config: Config
    protocol: Protocol = "interleaved"
    n_folds: int = 10
    selection: Selection = "last"
    seed: int = 0
    n_seeds: int = 1
    only: Sequence[str] | None = None
    device: torch.device | str = "cpu"
    command: str = ""

    @cached_property
    def samples(self) -> Samples:
        """All samples of the store."""
        return Samples.of(self.store)

    @cached_property
    def sized_config(self) -> Config:
        """The settings, with sizes of the network for these features."""
        return config_for(self.samples, self.config)

    @property
    def cells(self) -> list[Cell]:
        """The cells to be done, the reference's first."""
        chosen = chosen_experiments(self.only, self.config, self.samples.n_variants)
        return [cell for one in chosen for cell in self.cells_of(one)]

    @property
    def finished(self) -> list[tuple[Experiment, list[Cell]]]:
        """Every experiment whose cells are all done, whether or not it was asked for this time."""
        known = [(one, self.cells_of(one)) for one in experiments(self.config, self.samples.n_variants)]
        return [(one, cells) for one, cells in known if all(cell.is_finished for cell in cells)]

    @property
    def n_tested_folds(self) -> int:
        """Number of folds of the protocol."""
        return self._protocol.get_n_splits(groups=self.samples.subjects)

    @property
    def absent_classes(self) -> list[str]:
        """Classes that no sequence of the store shows."""
        shown = {entry.emotion for entry in self.samples.entries}
        return [name for name in self.samples.class_names if name not in shown]

    def cells_of(self, experiment: Experiment) -> list[Cell]:
        """Return the cells of an experiment, one per seed where it draws anything."""
        folder = self.out / experiment.name
        if not experiment.seeded:
            return [Cell(experiment, None, folder)]
        return [Cell(experiment, seed, folder / f"seed-{seed}") for seed in range(self.seed, self.seed + self.n_seeds)]

    def begin(self) -> None:
        """Begin the folder, or resume in it.

        Raises:
            BadInput: it holds results of other features, folds or settings, or something else; no seed, an unknown
                experiment, or one that the features do not allow; test accuracy is to choose epochs.
        """
        if self.n_seeds < 1:
            raise BadInput(f"--seeds {self.n_seeds}: every cell is done at least once")
        if self.selection == "oracle":
            raise BadInput("--selection oracle: its figures are not comparable, and a reproduction compares; take last")
        chosen_experiments(self.only, self.config, self.samples.n_variants)
        list(self._folds())
        take_folder(self.out, self._settings, SETTINGS_FILE)

    @property
    def _settings(self) -> dict[str, Any]:
        """What all cells depend on; neither seeds nor experiments, of which there may be more another time."""
        return {
            "data": self.store.recipe["data"],
            "features": {"fingerprint": self.store.fingerprint, "samples_sha256": self.samples.sha256()},
            "protocol": self.protocol,
            "folds": self.n_tested_folds,
            "selection": self.selection,
            **asdict(self.sized_config),
        }

    def _folds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of each fold's training and test samples, all variants in both."""
        return self._protocol.split(self.samples.labels, groups=self.samples.subjects)

    @property
    def _protocol(self) -> BaseCrossValidator:
        return splitter(self.protocol, self.n_folds, self.samples.subjects.tolist(), self.samples.given_folds.tolist())

    def config_of(self, cell: Cell) -> Config:
        """Return a cell's settings."""
        return cell.experiment.configured(self.sized_config, self.samples.n_variants)

    def run(
        self,
        cell: Cell,
        watch: Callable[[Stack], None] | None = None,
        watch_fold: Callable[[int], None] | None = None,
    ) -> None:
        """Do a cell, or what is left to do of it.

        Args:
            cell: one of :attr:`cells`.
            watch: called after every epoch of an STRNN.
            watch_fold: called with the number of folds done after each of a baseline.

        Raises:
            BadInput: see :func:`face_strnn.evaluation.crossval.cross_validate`; the features are damaged.
        """
        if cell.experiment.baseline:
            self._test_baseline(cell, watch_fold)
            return
        config = self.config_of(cell)
        if not cell.is_finished:
            cell.folder.parent.mkdir(exist_ok=True)
        cross_validate(
            self.store,
            cell.folder,
            config,
            self.protocol,
            self.n_folds,
            self.selection,
            cell.seed,
            1,
            self.device,
            self.command,
            watch,
            cell.experiment.augmentation,
        )
        if not (cell.folder / "audit.json").is_file():
            write_audit(cell.folder, audit_run(cell.folder, self.store))

    def _test_baseline(self, cell: Cell, watch_fold: Callable[[int], None] | None) -> None:
        take_folder(
            cell.folder, {"method": cell.experiment.label, "seed": cell.seed, **self._settings}, "settings.yaml"
        )
        if cell.is_finished:
            return
        predict, tables = None, []
        for fold, (train, test) in enumerate(self._folds(), start=1):
            kept = cell.folder / f"fold-{fold:02d}.csv"
            if not kept.is_file():
                started = time.perf_counter()
                predict = predict or cell.experiment.baseline(
                    self.samples, self.config_of(cell), cell.seed or 0, self.device
                )
                test = np.intersect1d(test, self.samples.unrotated)
                labels, setting = predict(train, test)
                table = fold_table(self.samples, fold, test, labels).assign(
                    seed=cell.seed or 0, setting=json.dumps(setting), seconds=round(time.perf_counter() - started, 2)
                )
                write_text_whole(kept, table[COLUMNS].to_csv(index=False))
            tables.append(read_table(cell.folder, kept.name, COLUMNS, resume=RESUME))
            if watch_fold:
                watch_fold(fold)
        predictions = pd.concat(tables).sort_values("sequence", kind="stable")
        write_text_whole(cell.folder / "predictions.csv", predictions[COLUMNS].to_csv(index=False))
        for kept in cell.folder.glob("fold-*.csv"):
            kept.unlink()


def audit_state(cell: Cell) -> str:
    """Say what the audit of a run found; what is known of a baseline is that it was tested as the reference was."""
    if cell.experiment.baseline:
        return f"tested on the sequences and folds of {REFERENCE}"
    return standing_audit(cell.folder).verdict
