"""Formats of numbers on pages, in LaTeX and on the terminal: fractions in per cent, unknown values as a dash."""

import math
from collections.abc import Sequence

UNKNOWN = "–"


def is_known(value: float | None) -> bool:
    """Whether there is a value: neither None nor NaN, its form in a table."""
    return value is not None and not math.isnan(value)


def percent(fraction: float | None, form: str = ".1f") -> str:
    """Write a fraction in per cent, by default with one decimal, the precision of a few hundred sequences."""
    return format(100 * fraction, form) if is_known(fraction) else UNKNOWN


def interval(bounds: Sequence[float | None] | None, form: str = ".1f", to: str = " – ") -> str:
    """Write an interval (low, high) of fractions in per cent."""
    if bounds is None or not is_known(bounds[0]):
        return UNKNOWN
    return to.join(percent(bound, form) for bound in bounds)


def p_value(value: float | None) -> str:
    """Write a p value with four decimals."""
    if not is_known(value):
        return UNKNOWN
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
