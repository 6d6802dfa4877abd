"""What the numbers of a configuration may be, and the error that says so."""

from collections.abc import Callable
from dataclasses import dataclass

from data_prep.errors import BadInput


@dataclass(frozen=True)
class Range:
    """What a number must be.

    Attributes:
        holds: whether a value is so; false for NaN.
        words: what stands behind "it must" in the error.
    """

    holds: Callable[[float], bool]
    words: str

    def require(self, section: str, settings: object, *names: str) -> None:
        """Hold attributes of settings to it.

        Raises:
            BadInput: one of them is not so; ``section`` is where it stands in a configuration.
        """
        for name in names:
            if not self.holds(value := getattr(settings, name)):
                raise BadInput(f"{section}: {name} is {value}; it must {self.words}")


COUNT = Range(lambda value: value >= 1, "be at least 1")
POSITIVE = Range(lambda value: value > 0, "be above 0")
NOT_NEGATIVE = Range(lambda value: value >= 0, "not be negative")
SHARE = Range(lambda value: 0 <= value < 1, "be at least 0 and below 1")
