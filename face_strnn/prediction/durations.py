"""Lengths of time that are given in seconds or in frames."""

import re
from dataclasses import dataclass

from data_prep.errors import BadInput

NOMINAL_RATE = 30
"""Frames a second of recordings whose rate nobody knows, folders of images: the rate of CK+."""

_ROUNDING = 0.002
"""Seconds: containers keep times in milliseconds or coarser."""


@dataclass(frozen=True)
class Instant:
    """When a frame is shown.

    Attributes:
        number: of the frame, from 0.
        seconds: from the beginning; None where the recording says nothing of it.
    """

    number: int
    seconds: float | None

    @property
    def clock(self) -> float:
        """Its seconds, or those it would have at :data:`NOMINAL_RATE`."""
        return self.number / NOMINAL_RATE if self.seconds is None else self.seconds


@dataclass(frozen=True)
class Duration:
    """A length of time.

    Attributes:
        seconds: the length; None where it is counted in frames.
        frames: the number of frames; None where it is measured in seconds.
    """

    seconds: float | None = None
    frames: int | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> "Duration":
        """Read ``"1.2s"`` as seconds and ``"24"`` as frames.

        Args:
            text: the number, with ``s`` behind it for seconds.
            option: which one it was given to, for the error.

        Raises:
            BadInput: neither, or not above zero.
        """
        frames, seconds = re.fullmatch(r"\d+", text), re.fullmatch(r"(\d+\.?\d*|\.\d+) ?s", text)
        if seconds and float(seconds[1]) > 0:
            return cls(seconds=float(seconds[1]))
        if frames and int(text) > 0:
            return cls(frames=int(text))
        raise BadInput(f"{option} {text}: give seconds, such as 1.2s, or a number of frames, such as 24")

    @property
    def nominal(self) -> float:
        """Its seconds, or those of its frames at :data:`NOMINAL_RATE`."""
        return self.frames / NOMINAL_RATE if self.seconds is None else self.seconds

    def __str__(self) -> str:
        return f"{self.frames} frames" if self.seconds is None else f"{self.seconds:g} s"

    def apart(self, earlier: Instant, later: Instant) -> bool:
        """Whether one instant lies at least this duration before another."""
        if self.seconds is None:
            return later.number - earlier.number >= self.frames
        return later.clock - earlier.clock >= self.seconds - _ROUNDING

    def holds(self, first: Instant, last: Instant) -> bool:
        """Whether the frames from one to another, both counted, fit into a window of this duration.

        24 frames hold the numbers 0 to 23, and 0.8 s the 25 frames from 0 to 0.8 seconds at 30 frames a second.
        """
        if self.seconds is None:
            return last.number - first.number < self.frames
        return last.clock - first.clock <= self.seconds + _ROUNDING

    def full(self, first: Instant, last: Instant) -> bool:
        """Whether the frames from one to another, both counted, fill a window of this duration."""
        if self.seconds is None:
            return last.number - first.number >= self.frames - 1
        return self.apart(first, last)
