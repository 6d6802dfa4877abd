"""Subject-independent folds, as scikit-learn splitters."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut

from data_prep.errors import BadInput
from data_prep.media.frames import number_order
from face_strnn.config import Protocol

NOT_COMPARABLE = "not comparable"
"""Printed with all figures of an ``oracle`` selection."""


class SubjectKFold(BaseCrossValidator):
    """K folds without a subject on both sides of a split.

    Args:
        n_splits: number of folds K, at least 2; default 10.
        assignment: ``"interleaved"`` assigns subject number n (in ascending order of ID, from 0) to fold n mod K: the
            split of most published CK+ code; ``"contiguous"`` makes K blocks of ascending IDs whose sizes differ by
            at most one, larger blocks first.

    Example:
        >>> subjects = ["S005", "S010", "S010", "S011"]
        >>> [test.tolist() for _, test in SubjectKFold(2).split(subjects, groups=subjects)]
        [[0, 3], [1, 2]]
    """

    def __init__(self, n_splits: int = 10, assignment: Literal["interleaved", "contiguous"] = "interleaved") -> None:
        self.n_splits = n_splits
        self.assignment = assignment

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return K."""
        return self.n_splits

    def fold_of_subjects(self, subjects: np.ndarray) -> dict[str, int]:
        """Return the fold, from 0, of each distinct subject.

        Raises:
            BadInput: fewer subjects than folds, fewer than two folds, or an unknown assignment.
        """
        distinct = sorted(set(np.asarray(subjects).tolist()))
        if self.n_splits < 2:
            raise BadInput(f"{self.n_splits} folds: a cross-validation needs at least 2")
        if len(distinct) < self.n_splits:
            raise BadInput(
                f"{len(distinct)} subjects are fewer than {self.n_splits} folds; give data of more subjects, "
                "fewer --folds, or --protocol leave-one-subject-out"
            )
        if self.assignment == "interleaved":
            return {subject: number % self.n_splits for number, subject in enumerate(distinct)}
        if self.assignment == "contiguous":
            blocks = np.array_split(distinct, self.n_splits)
            return {str(subject): fold for fold, block in enumerate(blocks) for subject in block}
        raise BadInput(f"no assignment of subjects named {self.assignment}; use interleaved or contiguous")

    def _iter_test_masks(self, X: object = None, y: object = None, groups: object = None) -> Iterator[np.ndarray]:
        if groups is None:
            raise BadInput("subject-independent folds need the subjects: give them as groups")
        groups = np.asarray(groups)
        fold_of = self.fold_of_subjects(groups)
        folds = np.array([fold_of[subject] for subject in groups.tolist()])
        for fold in range(self.n_splits):
            yield folds == fold


class PredefinedFolds(BaseCrossValidator):
    """The predefined folds of a data set, tested in the order of the numbers in their names.

    No subject may be in two folds, so that a subject determines the fold of its samples.

    Args:
        subjects: the subject of each sample.
        folds: the name of the fold in which each sample is tested.

    Raises:
        BadInput: samples without a fold, fewer than two folds, or a subject in two folds.

    Example:
        >>> subjects = ["P1", "P2", "P2", "P3"]
        >>> given = PredefinedFolds(subjects, ["1", "2", "2", "1"])
        >>> [test.tolist() for _, test in given.split(subjects, groups=subjects)]
        [[0, 3], [1, 2]]
    """

    def __init__(self, subjects: Sequence[str], folds: Sequence[str]) -> None:
        self.subjects = subjects
        self.folds = folds
        self._fold_of: dict[str, str] = {}
        for subject, fold in zip(map(str, subjects), map(str, folds), strict=True):
            if not fold:
                raise BadInput(
                    f"--protocol given: the features of {subject} have no fold; give every sequence one in the "
                    "manifest's column fold and run `face-strnn prepare` again, or use another --protocol"
                )
            if self._fold_of.setdefault(subject, fold) != fold:
                raise BadInput(
                    f"--protocol given: subject {subject} is in the folds {self._fold_of[subject]} and {fold}, and "
                    "would be in training and test at once; put the subject into one fold, or use another --protocol"
                )
        self._names = sorted(set(self._fold_of.values()), key=number_order)
        if len(self._names) < 2:
            raise BadInput("--protocol given: there is one fold; a cross-validation needs at least 2")

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of folds."""
        return len(self._names)

    def _iter_test_masks(self, X: object = None, y: object = None, groups: object = None) -> Iterator[np.ndarray]:
        if groups is None:
            raise BadInput("subject-independent folds need the subjects: give them as groups")
        folds = np.array([self._fold_of[str(subject)] for subject in np.asarray(groups).tolist()])
        for name in self._names:
            yield folds == name


def splitter(
    protocol: Protocol, n_folds: int = 10, subjects: Sequence[str] = (), folds: Sequence[str] = ()
) -> BaseCrossValidator:
    """Return the scikit-learn splitter of a protocol; its ``groups`` are the subjects.

    Args:
        protocol: ``"interleaved"``, ``"contiguous"``, ``"leave-one-subject-out"`` or ``"given"``.
        n_folds: number of folds of the first two.
        subjects: of each sample; for ``"given"``.
        folds: the data set's predefined fold of each sample; for ``"given"``.

    Raises:
        BadInput: unknown protocol, or predefined folds that are invalid, see :class:`PredefinedFolds`.
    """
    if protocol in ("interleaved", "contiguous"):
        return SubjectKFold(n_folds, protocol)
    if protocol == "leave-one-subject-out":
        return LeaveOneGroupOut()
    if protocol == "given":
        return PredefinedFolds(subjects, folds)
    raise BadInput(f"no protocol named {protocol}; use interleaved, contiguous, leave-one-subject-out or given")
