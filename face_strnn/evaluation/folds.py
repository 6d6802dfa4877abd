"""The folds of a cross-validation: the training, validation and test samples of each fold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_prep.errors import BadInput
from data_prep.store.store import StoredSequence
from face_strnn.config import Selection
from face_strnn.evaluation.protocols import splitter
from face_strnn.evaluation.settings import Plan
from face_strnn.training.samples import Samples

FOLD_COLUMNS = ["fold", "sequence", "subject", "emotion", "rotation", "flip", "role"]
"""Of ``folds.csv``; ``flip`` is omitted if no variant is flipped."""

NOT_TRAINED_ON = "no training sequence shows"
"""In the warnings of :func:`missing_classes`."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold.

    Attributes:
        number: from 1.
        train: numbers of the samples that its networks are trained on, with all their variants.
        validation: numbers of the original samples that choose the epoch; None if the last epoch is kept. With
            ``"oracle"`` these are the test samples.
        test: numbers of the test samples, with all variants if predictions are averaged over them.
    """

    number: int
    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray


def make_folds(samples: Samples, tested: Samples, plan: Plan) -> list[Fold]:
    """Split the samples by the protocol: all variants of a sequence are on the same side.

    All subjects of the store are assigned to folds, whatever the classes of the run; a fold without a sequence of these
    classes is omitted.

    Args:
        samples: the training samples; ``train`` and ``validation`` are numbers in them.
        tested: the samples to test; ``test`` are numbers in them.
        plan: the protocol, its number of folds, and the selection.

    Raises:
        BadInput: fewer subjects than folds; one subject; too few folds for inner selection.
    """
    population = samples.population
    subjects = np.array([entry.subject for entry in population])
    if len(set(subjects)) < 2:
        raise BadInput(f"{samples.store.folder}: holds one subject; a subject-independent test needs at least 2")
    # Subjects of whom the run has no class still count in the order of subjects.
    split = splitter(plan.protocol, plan.folds, subjects.tolist(), [entry.fold for entry in population])
    kept = {entry.sequence for entry in samples.entries}
    held_out = []
    for _, test in split.split(subjects, groups=subjects):
        names = [population[n].sequence for n in test if population[n].sequence in kept]
        held_out += [np.array(names)] if names else []
    return [_fold(samples, tested, held_out, number, plan.selection) for number in range(len(held_out))]


def _fold(samples: Samples, tested: Samples, held_out: Sequence[np.ndarray], number: int, selection: Selection) -> Fold:
    sequences = np.array([entry.sequence for entry in samples.entries])
    is_original = np.array([entry.variant.is_original for entry in samples.entries])
    train = ~np.isin(sequences, held_out[number])
    validation = None
    if selection != "last":
        # Inner selection: the test sequences of the following fold; no variant of them is then trained on.
        chooses = held_out[number if selection == "oracle" else (number + 1) % len(held_out)]
        validation = np.flatnonzero(np.isin(sequences, chooses) & is_original)
        train &= ~np.isin(sequences, chooses)
        if selection == "inner" and not train.any():
            raise BadInput(
                "--selection inner needs at least 3 folds: one to test, one to choose the epoch, one to train"
            )
    if not train.any():
        raise BadInput(
            f"{samples.store.folder}: all sequences of {', '.join(samples.class_names)} are in one fold, which leaves "
            "none for training; give other --classes or another --protocol"
        )
    test = np.flatnonzero(np.isin([entry.sequence for entry in tested.entries], held_out[number]))
    return Fold(number + 1, np.flatnonzero(train), validation, test)


def fold_table(folds: Sequence[Fold], samples: Samples, tested: Samples, selection: Selection) -> pd.DataFrame:
    """Return ``folds.csv``: every sample's role in every fold, ``train``, ``test`` or ``validation``."""
    rows = []
    for fold in folds:
        roles = {"train": samples.subset(fold.train), "test": tested.subset(fold.test)}
        if selection == "inner":
            roles["validation"] = samples.subset(fold.validation)
        rows += [_row(fold.number, entry, role) for role, part in roles.items() for entry in part.entries]
    table = pd.DataFrame(rows, columns=FOLD_COLUMNS)
    return table if table["flip"].any() else table.drop(columns="flip")


def _row(fold: int, entry: StoredSequence, role: str) -> tuple[object, ...]:
    return fold, entry.sequence, entry.subject, entry.emotion, entry.rotation, entry.flip, role


def trained_classes(folds: Sequence[Fold], samples: Samples) -> dict[int, set[str]]:
    """Return the classes of the training samples of each fold, by its number."""
    return {fold.number: {samples.entries[n].emotion for n in fold.train} for fold in folds}


def missing_classes(trained: Mapping[int, Collection[str]], classes: Sequence[str]) -> list[str]:
    """Return a warning for each fold that has no training sample of some class.

    Args:
        trained: the classes of the training samples of each fold, by its number.
        classes: all class names.
    """
    missing = {fold: [name for name in classes if name not in names] for fold, names in trained.items()}
    warnings = {
        fold: f"{NOT_TRAINED_ON} {', '.join(names)}; its network cannot learn it"
        for fold, names in missing.items()
        if names
    }
    if len(warnings) == len(trained) and len(set(warnings.values())) == 1:
        return [f"all folds: {next(iter(warnings.values()))}"]
    return [f"fold {fold}: {warning}" for fold, warning in warnings.items()]
