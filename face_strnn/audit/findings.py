"""Comparison of values, and the wording of findings."""

import json
import math
from collections.abc import Iterable
from typing import Any

LONGEST_LIST = 6


class Remark(str):
    """What a check has to say that is not wrong; stands among what is wrong."""


def equal(found: Any, wanted: Any) -> bool:  # noqa: ANN401
    """Whether two values of a summary are the same, numbers but for the rounding of other versions of the libraries."""
    if isinstance(wanted, dict):
        same_keys = isinstance(found, dict) and found.keys() == wanted.keys()
        return same_keys and all(equal(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(equal, found, wanted))
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(found, wanted, rel_tol=0, abs_tol=1e-9)
    return found == wanted


def short(value: Any) -> str:  # noqa: ANN401
    """Write a value as in a file, shortened to fit a line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def ranges(numbers: Iterable[int]) -> str:
    """List whole numbers: ``"1 to 4, 7"``."""
    ordered = sorted(set(numbers))
    starts = [number for number in ordered if number - 1 not in ordered]
    ends = [number for number in ordered if number + 1 not in ordered]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


def some(names: Iterable[str]) -> str:
    """List a few names, and how many more there are."""
    ordered = sorted(set(names))
    more = f" and {len(ordered) - LONGEST_LIST} more" if len(ordered) > LONGEST_LIST else ""
    return ", ".join(ordered[:LONGEST_LIST]) + more
