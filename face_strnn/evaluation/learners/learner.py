"""What a cross-validation asks of a method that learns: train the networks of folds, and give probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from face_strnn.evaluation.checkpoints import TrainedNetwork
from face_strnn.evaluation.folds import Fold
from face_strnn.training.samples import Samples
from face_strnn.training.stack import Epoch

Stage = Literal["training", "fine-tuning", "testing", "baseline"]


@dataclass(frozen=True)
class Extent:
    """How far a stage of a run is.

    Attributes:
        done, whole: epochs of training and fine-tuning, networks that are tested, folds of a baseline.
        part, parts: which stack of networks is trained, or which network fine-tuned, from 1, and how many there are.
        name: of the baseline.
    """

    done: int
    whole: int
    part: int = 1
    parts: int = 1
    name: str = ""


class Progress(Protocol):
    """Called after every epoch, every network that was tested, and every fold of a baseline."""

    def __call__(self, stage: Stage, history: Sequence[Epoch], extent: Extent) -> None:
        """Take the state of a run.

        Args:
            stage: what is being done.
            history: of the networks that are trained together, from their first epoch to the one that just ended; empty
                where nothing is trained.
            extent: how much of it is done.
        """


class Learner(Protocol):
    """Trains the networks of folds and asks them for probabilities; knows neither tables nor figures of merit."""

    def fit(self, folds: Sequence[Fold], out: Path, progress: Progress | None = None) -> None:
        """Train one network per fold and seed and write it to ``out/checkpoints``.

        Networks that are there are kept; an interrupted training resumes after the last epoch that it finished.

        Args:
            folds: all folds of the run.
            out: the run folder.
            progress: called after every epoch.

        Raises:
            BadInput: damaged features or files.
        """

    def repeat(
        self,
        folds: Sequence[Fold],
        stack: Sequence[tuple[int, int]],
        run: Path,
        out: Path,
        progress: Progress | None = None,
    ) -> None:
        """Train networks of a run again from the start, together as it did, and write them to ``out/checkpoints``.

        Args:
            folds: all folds of the run.
            stack: (fold, seed) of the networks that were trained together.
            run: the run folder, which is only read.
            out: another folder, with an empty ``checkpoints``.
            progress: called after every epoch.

        Raises:
            BadInput: damaged features or files.
        """

    def is_fitted(self, network: TrainedNetwork) -> bool:
        """Whether all files of a network are there and whole."""

    def probabilities(self, network: TrainedNetwork, samples: Samples) -> np.ndarray:
        """Return the probability of each class: float64 (samples, classes).

        Raises:
            BadInput: damaged features or files.
        """
