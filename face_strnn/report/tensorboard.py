"""Training curves for TensorBoard: a folder for each network, with the same names in all, so that curves overlay."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import pandas as pd

from data_prep.errors import BadInput
from face_strnn.config import Selection
from face_strnn.evaluation.run import Run
from face_strnn.training.stack import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_NETWORK = ("fold", "seed")
_CHOSEN_BY = {"inner": "validation", "oracle": "test", "last": "validation"}
"""The samples that choose the epoch, by the selection."""


class TrainingScalars:
    """Writes the loss, cross entropy and accuracies of every network and epoch.

    Args:
        folder: for the networks' folders, ``fold-01-seed-0`` and so on; made with the first epoch.
        selection: how the run chooses an epoch: it names the validation samples.

    Raises:
        BadInput: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, selection: Selection) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise BadInput(
                "--tensorboard: the package tensorboard is not installed; "
                "run `pip install 'face-strnn[tensorboard]'`, or omit the option"
            ) from error
        self._writer_of = SummaryWriter
        self._folder = folder
        self._chosen_by = _CHOSEN_BY[selection]
        self._writers: dict[str, SummaryWriter] = {}

    def write(self, history: Sequence[Epoch], epochs: int) -> None:
        """Write the latest epoch of each network; at first all its epochs, because its training may have been resumed.

        Args:
            history: so far, of the networks that are trained together.
            epochs: of the whole training.
        """
        for fold, seed in dict.fromkeys((epoch.fold, epoch.seed) for epoch in history):
            epochs_so_far = [epoch for epoch in history if (epoch.fold, epoch.seed) == (fold, seed)]
            done, name = len(epochs_so_far), _name(fold, seed)
            if name in self._writers:
                epochs_so_far = epochs_so_far[-1:]
            else:
                # An interrupted run's epochs would be there twice, and perhaps one that it did not save.
                rmtree(self._folder / name, ignore_errors=True)
                self._writers[name] = self._writer_of(self._folder / name)
            self._append(self._writers[name], map(asdict, epochs_so_far))
            if done == epochs:
                self._writers.pop(name).close()

    def complete(self, run: Run) -> None:
        """Write the networks that were trained without this, from the finished run's ``history.csv``."""
        for (fold, seed), epochs in run.history.groupby(list(_NETWORK)):
            if not (self._folder / (name := _name(fold, seed))).is_dir():
                with self._writer_of(self._folder / name) as writer:
                    self._append(writer, epochs.to_dict("records"))

    def _append(self, writer: "SummaryWriter", epochs: Iterable[Mapping[str, float | None]]) -> None:
        for epoch in epochs:
            for what, value in epoch.items():
                if what not in (*_NETWORK, "epoch") and not pd.isna(value):
                    writer.add_scalar(what.replace("validation", self._chosen_by), value, epoch["epoch"])
        writer.flush()


def _name(fold: int, seed: int) -> str:
    return f"fold-{fold:02d}-seed-{seed}"
