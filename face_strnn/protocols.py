"""Subject-independent folds, as scikit-learn splitters."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut

from data_prep.errors import BadInput

Protocol = Literal["interleaved", "contiguous", "leave-one-subject-out"]
Selection = Literal["last", "inner", "oracle"]
"""Which epoch's network is tested; see :func:`face_strnn.crossval.cross_validate`."""


class SubjectKFold(BaseCrossValidator):
    """K folds in which no subject stands on both sides.

    Args:
        n_splits: number of folds K, at least 2; default 10.
        assignment: ``"interleaved"`` sends subject number n (in ascending order of ID, from 0) to fold n mod K: the
            split most published CK+ code uses; ``"contiguous"`` makes K blocks of ascending IDs whose sizes differ by
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
        raise BadInput(f"no assignment of subjects named {self.assignment}; there are interleaved and contiguous")

    def _iter_test_masks(self, X: object = None, y: object = None, groups: object = None) -> Iterator[np.ndarray]:
        if groups is None:
            raise BadInput("subject-independent folds need the subjects: give them as groups")
        groups = np.asarray(groups)
        fold_of = self.fold_of_subjects(groups)
        folds = np.array([fold_of[subject] for subject in groups.tolist()])
        for fold in range(self.n_splits):
            yield folds == fold


def splitter(protocol: Protocol, n_folds: int = 10) -> BaseCrossValidator:
    """Return the scikit-learn splitter of a protocol; its ``groups`` are the subjects.

    Args:
        protocol: ``"interleaved"``, ``"contiguous"`` or ``"leave-one-subject-out"``.
        n_folds: number of folds of the first two.

    Raises:
        BadInput: unknown protocol.
    """
    if protocol in ("interleaved", "contiguous"):
        return SubjectKFold(n_folds, protocol)
    if protocol == "leave-one-subject-out":
        return LeaveOneGroupOut()
    raise BadInput(f"no protocol named {protocol}; there are interleaved, contiguous and leave-one-subject-out")
