"""The paper's experiments under one protocol, cell by cell: a cell is one method with one seed, in a folder of its own.

The cells of an STRNN are run folders, those of a baseline hold ``predictions.csv`` and ``settings.yaml``. What is
finished is kept, what was interrupted is resumed.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.audit.audit import AUDIT_FILE, audit_run, standing_audit, write_audit
from face_strnn.config import Config
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.folds import Fold, make_folds
from face_strnn.evaluation.learners.learner import Progress
from face_strnn.evaluation.nested import FoldPredictions
from face_strnn.evaluation.predictions import PREDICTION_COLUMNS, PREDICTIONS_FILE, prediction_table
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.run_folder import open_run_folder, read_table, writing_in
from face_strnn.evaluation.settings import Plan, features_of, network_for
from face_strnn.experiments.methods import REFERENCE, Experiment, chosen_experiments, experiments
from face_strnn.training.samples import Samples

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
        out: the folder; made by :meth:`begun`.
        plan: protocol, folds, seeds and settings, of which each experiment changes its own part; never ``"oracle"``.
            Seeded cells are repeated with each seed.
        only: names of experiments; the reference is always among them. All where it is None.
        device: where networks are trained.
        command: how the program was called.
    """

    store: FeatureStore
    out: Path
    plan: Plan
    only: Sequence[str] | None = None
    device: torch.device | str = "cpu"
    command: str = ""

    @cached_property
    def samples(self) -> Samples:
        """The samples of the store, of the plan's classes."""
        return Samples.of(self.store, self.plan.classes, self.plan.partial)

    @cached_property
    def config(self) -> Config:
        """The settings of the networks, with the sizes of these features."""
        return Config(network_for(self.samples, self.plan.network), self.plan.training)

    @cached_property
    def folds(self) -> list[Fold]:
        """The folds of the protocol, for baselines: no fold has a validation set of its own."""
        return make_folds(self.samples, self.samples, replace(self.plan, selection="last"))

    @property
    def cells(self) -> list[Cell]:
        """The cells to run, the reference's first."""
        chosen = chosen_experiments(self.only, self.plan.config, self.samples.n_variants)
        return [cell for one in chosen for cell in self.cells_of(one)]

    @property
    def finished(self) -> list[tuple[Experiment, list[Cell]]]:
        """Every experiment whose cells are all finished, whether or not it is in ``only``."""
        known = [(one, self.cells_of(one)) for one in experiments(self.plan.config, self.samples.n_variants)]
        return [(one, cells) for one, cells in known if all(cell.is_finished for cell in cells)]

    @property
    def absent_classes(self) -> list[str]:
        """Classes that no sequence of the store shows."""
        shown = {entry.emotion for entry in self.samples.entries}
        return [name for name in self.samples.class_names if name not in shown]

    def cells_of(self, experiment: Experiment) -> list[Cell]:
        """Return the cells of an experiment, one per seed where it is seeded."""
        folder = self.out / experiment.name
        if not experiment.seeded:
            return [Cell(experiment, None, folder)]
        return [Cell(experiment, seed, folder / f"seed-{seed}") for seed in self.plan.all_seeds]

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Begin the folder, or resume it, and keep other processes out of it while the block runs.

        Raises:
            BadInput: it holds results of other features, folds or settings, or something else; another process is at
                work in it; an unknown experiment, or one that the features do not allow; or ``"oracle"``.
        """
        if self.plan.selection == "oracle":
            raise BadInput("--selection oracle: its figures are not comparable, and a reproduction compares; use last")
        chosen_experiments(self.only, self.plan.config, self.samples.n_variants)
        with writing_in(self.out, self._settings, "reproduce", SETTINGS_FILE):
            yield

    @property
    def _settings(self) -> dict[str, Any]:
        """What all cells depend on; not seeds and experiments, which may be added later."""
        return {
            "data": self.store.recipe["data"],
            "features": features_of(self.samples, self.samples, self.plan),
            "classes": list(self.samples.class_names),
            "protocol": self.plan.protocol,
            "folds": len(self.folds),
            "selection": self.plan.selection,
            **asdict(self.config),
        }

    def config_of(self, cell: Cell) -> Config:
        """Return a cell's settings."""
        return cell.experiment.configured(self.config, self.samples.n_variants)

    def plan_of(self, cell: Cell) -> Plan:
        """Return the plan of a cell that is an STRNN."""
        config = self.config_of(cell)
        return replace(
            self.plan,
            seed=cell.seed,
            seeds=1,
            learn_from=cell.experiment.learn_from,
            network=config.network,
            training=config.training,
        )

    def run(self, cell: Cell, progress: Progress | None = None, on_fold: Callable[[int], None] | None = None) -> None:
        """Run a cell, or what is left of it, inside :meth:`begun`.

        Args:
            cell: one of :attr:`cells`.
            progress: called after every epoch of an STRNN.
            on_fold: called after every fold of a baseline with the number of folds done.

        Raises:
            BadInput: see :func:`face_strnn.evaluation.crossval.cross_validate`; the features are damaged.
        """
        if cell.experiment.baseline:
            self._test_baseline(cell, on_fold)
            return
        cell.folder.parent.mkdir(exist_ok=True)
        plan = self.plan_of(cell)
        run = cross_validate(self.store, cell.folder, plan, self.device, command=self.command, progress=progress)
        if not (cell.folder / AUDIT_FILE).is_file():
            write_audit(run, audit_run(run, self.store))

    def _test_baseline(self, cell: Cell, on_fold: Callable[[int], None] | None) -> None:
        settings = {"method": cell.experiment.label, "seed": cell.seed, **self._settings}
        open_run_folder(cell.folder, settings, "settings.yaml")
        if cell.is_finished:
            return
        fit_and_predict = None
        tables = []
        for fold in self.folds:
            path = cell.folder / f"fold-{fold.number:02d}.csv"
            if not path.is_file():
                started, config = time.perf_counter(), self.config_of(cell)
                fit_and_predict = fit_and_predict or cell.experiment.baseline(
                    self.samples, config, cell.seed or 0, self.device
                )
                table = self._predictions(fold, cell.seed or 0, fit_and_predict)
                table["seconds"] = round(time.perf_counter() - started, 2)
                write_text_whole(path, table.to_csv(index=False))
            tables.append(read_table(cell.folder, path.name, COLUMNS, resume=RESUME))
            if on_fold:
                on_fold(fold.number)
        predictions = pd.concat(tables).sort_values("sequence", kind="stable")
        write_text_whole(cell.folder / PREDICTIONS_FILE, predictions[COLUMNS].to_csv(index=False))
        for path in cell.folder.glob("fold-*.csv"):
            path.unlink()

    def _predictions(self, fold: Fold, seed: int, fit_and_predict: FoldPredictions) -> pd.DataFrame:
        test = np.intersect1d(fold.test, self.samples.original_numbers)
        try:
            labels, setting = fit_and_predict(fold.train, test)
        except BadInput as error:
            raise BadInput(f"fold {fold.number}, {error}") from error
        entries = self.samples.subset(test).entries
        table = prediction_table(entries, labels, self.samples.class_names, fold.number, seed)
        return table.assign(setting=json.dumps(setting))


def audit_state(cell: Cell) -> tuple[bool, str]:
    """Return whether a run's audit passes, and its verdict; of a baseline only the sequences and folds are checked."""
    if cell.experiment.baseline:
        return True, f"not audited; tested on the sequences and folds of {REFERENCE}"
    audit = standing_audit(Run(cell.folder))
    return audit.passed, audit.verdict
