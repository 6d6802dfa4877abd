"""How one table of predictions differs from another on the same test sequences."""

from dataclasses import dataclass

import pandas as pd

from face_strnn.evaluation.statistics import mcnemar, paired_bootstrap, sign_flip_test


@dataclass(frozen=True)
class PairedDifference:
    """How one method differs from another on the same test sequences. Fractions from 0 to 1.

    Attributes:
        accuracy: that of the method less that of the other.
        interval: 95 %, paired bootstrap over subjects; None with one subject.
        mcnemar_p: of the exact test over sequences; None unless both are of one seed.
        permutation_p: of the sign-flip test over subjects.
    """

    accuracy: float
    interval: tuple[float, float] | None
    mcnemar_p: float | None
    permutation_p: float


def paired_difference(first: pd.DataFrame, predictions: pd.DataFrame) -> PairedDifference:
    """Return how a method differs from the first one.

    Args:
        first, predictions: one row per sequence and seed, columns ``sequence``, ``subject``, ``seed``, ``truth``,
            ``prediction``; over the same sequences. A sequence counts by the share of seeds that are right.
    """
    right, right_first = _right(predictions), _right(first)
    difference = right - right_first.loc[right.index]
    by_subject = difference.groupby("subject", sort=True).agg(["sum", "size"])
    # Thirds and fifths of seeds leave a rest of rounding where a subject's difference is 0.
    differences = by_subject["sum"].round(9).to_numpy()
    of_one_seed = predictions["seed"].nunique() == 1 == first["seed"].nunique()
    return PairedDifference(
        float(difference.mean()),
        paired_bootstrap(differences, by_subject["size"].to_numpy()),
        mcnemar(right_first.loc[right.index] == 1, right == 1) if of_one_seed else None,
        sign_flip_test(differences),
    )


def _right(predictions: pd.DataFrame) -> pd.Series:
    """Return, for each sequence, the share of seeds whose prediction is right."""
    right = (predictions["truth"] == predictions["prediction"]).astype(float)
    return right.groupby([predictions["subject"], predictions["sequence"]]).mean()
