"""Which of several feature stores of one data set is best, judged only inside the training folds.

The classifier is a linear support vector machine on the apex frame's maps, concatenated with their change since the
first frame. It takes seconds where an STRNN takes minutes, keeps the spatial layout, as an STRNN does, and sees both
the expression at its apex and its difference from the neutral face. Its cost is fixed: no store is
tuned more than another. Products between sequences are divided by their mean length, so that the cost means the same
whatever the number of channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.config import Protocol
from face_strnn.evaluation.nested import LinearKernel
from face_strnn.evaluation.protocols import SubjectKFold, splitter
from face_strnn.training.samples import Samples

INNER_FOLDS = 5
COST = 10.0
"""C of the support vector machine, for products between sequences whose mean length is 1."""

CLEAN = (
    "Each outer fold's figures and choice come from its training subjects alone. Using for each fold the store that "
    "it chose is clean; choosing one store for all folds by the means above, and then cross-validating on these folds, "
    "is not: together they have seen every subject."
)


@dataclass(frozen=True)
class StoreChoice:
    """How several stores do inside the training folds.

    Attributes:
        stores: their folders' names, in the order given.
        accuracies: float64 (stores, outer folds, inner folds), fractions, on held-out training subjects.
    """

    stores: tuple[str, ...]
    accuracies: np.ndarray

    @property
    def fold_accuracies(self) -> np.ndarray:
        """(stores, outer folds): mean over the inner folds."""
        return self.accuracies.mean(2)

    @property
    def chosen(self) -> list[int]:
        """The number of the store that each outer fold would choose; the first of equal ones."""
        return self.fold_accuracies.argmax(0).tolist()

    def as_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON; folds are numbered from 1."""
        return {
            "stores": [
                {
                    "store": name,
                    "inner_accuracy": float(means.mean()),
                    "std_over_inner_folds": float(each.std(axis=1).mean()),
                    "inner_accuracy_of_folds": means.tolist(),
                    "chosen_by_folds": [fold for fold, number in enumerate(self.chosen, start=1) if number == index],
                }
                for index, (name, means, each) in enumerate(
                    zip(self.stores, self.fold_accuracies, self.accuracies, strict=True)
                )
            ],
            "note": CLEAN,
        }


def choose_store(
    stores: Sequence[FeatureStore],
    protocol: Protocol = "interleaved",
    n_folds: int = 10,
    partial: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> StoreChoice:
    """Compare stores of one data set by subject-wise folds inside the training part of every outer fold.

    Args:
        stores: two or more, of the same sequences; rotated copies are omitted.
        protocol, n_folds: the outer folds, as they will be in the cross-validation.
        partial: take stores that are not complete.
        progress: called after each outer fold of each store with their numbers, from 1, and the number of outer folds.

    Raises:
        BadInput: fewer than two stores, a store given twice, other sequences than the first store's, too few subjects.
    """
    if len({store.folder.resolve() for store in stores}) < max(len(stores), 2):
        raise BadInput("--compare: give --features two stores or more, of the same data set, each once")
    first = Samples.of(stores[0], partial=partial).originals()
    accuracies = []
    for number, store in enumerate(stores, start=1):
        samples = Samples.of(store, partial=partial).originals()
        _require_same(first, samples)
        outer = splitter(protocol, n_folds, samples.subjects.tolist(), samples.predefined_folds.tolist())
        features, labels = _apex_and_change(samples), samples.labels.numpy()
        store_accuracies = []
        folds = [train for train, _ in outer.split(labels, groups=samples.subjects)]
        for fold, train in enumerate(folds, start=1):
            store_accuracies.append(_inner_accuracies(features[train], labels[train], samples.subjects[train]))
            if progress:
                progress(number, fold, len(folds))
        accuracies.append(store_accuracies)
    return StoreChoice(tuple(store.folder.resolve().name for store in stores), np.array(accuracies))


def _require_same(first: Samples, other: Samples) -> None:
    ours, theirs = ({(e.sequence, e.subject, e.emotion) for e in samples.entries} for samples in (first, other))
    if ours != theirs:
        differing = sorted(one[0] for one in ours ^ theirs)
        raise BadInput(
            f"{other.store.folder}: of other sequences than {first.store.folder} ({len(differing)} differ, such as "
            f"{differing[0]}); compare stores of one data set, all prepared to the end"
        )


def _apex_and_change(samples: Samples) -> np.ndarray:
    """Float32 (N, 2 * h * w * C)."""
    rows = []
    for maps in samples:
        apex, rest = maps[-1].float().flatten(), maps[0].float().flatten()
        rows.append(np.concatenate([apex.numpy(), (apex - rest).numpy()]))
    return np.stack(rows)


def _inner_accuracies(features: np.ndarray, labels: np.ndarray, subjects: np.ndarray) -> list[float]:
    """Accuracy of each inner fold; features, labels and subjects are those of a training part."""
    n_subjects = len(set(subjects.tolist()))
    if n_subjects < 2:
        raise BadInput("--compare: a training part has one subject; give data of more subjects, or fewer --folds")
    accuracies = []
    for fitted, held_out in SubjectKFold(min(INNER_FOLDS, n_subjects)).split(labels, groups=subjects):
        svm = SVC(kernel="precomputed", C=COST) if len(set(labels[fitted])) > 1 else DummyClassifier()
        pipeline = make_pipeline(StandardScaler(), LinearKernel(normalised=True), svm)
        accuracies.append(pipeline.fit(features[fitted], labels[fitted]).score(features[held_out], labels[held_out]))
    return accuracies
