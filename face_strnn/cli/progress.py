"""How far long work is, on standard error: bars on a terminal, elsewhere lines with a time, for a job's log."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from face_strnn.evaluation.learners.learner import Extent, Stage
    from face_strnn.evaluation.learners.learner import Progress as RunProgress
    from face_strnn.training.stack import Epoch

EVERY = 60.0
"""Seconds between lines that no epoch or fold asks for."""


@dataclass(frozen=True)
class Step:
    """How far a stage of some work is.

    Attributes:
        stage: what is being done; each stage has a bar of its own.
        done, whole: how much of it, and of how much; ``whole`` is None where that is unknown.
        unit: what is counted: ``"sequences"``, or nothing where the stage says it; with ``each`` in the singular:
            ``"epoch"``.
        each: whether every step gets a line; otherwise steps get one a minute.
        note: what has just been found, such as a loss; a step with a note gets a line.
        part, parts: of stages of equal length that follow one another, which one this is and how many there are: the
            time that is left is that of all.
    """

    stage: str
    done: int
    whole: int | None
    unit: str
    each: bool = False
    note: str = ""
    part: int = 1
    parts: int = 1


Show = Callable[[Step], None]


@contextmanager
def progress(heading: str = "") -> Iterator[Show]:
    """Show the steps that the given function is called with: by bars on a terminal, by lines elsewhere.

    Args:
        heading: what all lines begin with.
    """
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
        return
    lines = ProgressLines(sys.stderr, heading)
    try:
        yield lines.show
    finally:
        lines.close()


@contextmanager
def counted_progress(stage: str, whole: int, unit: str = "") -> Iterator[Callable[..., None]]:
    """Show one stage by :func:`progress`; the given function adds one to what is done, whatever its arguments."""
    numbers = count(1)
    with progress() as show:
        yield lambda *_: show(Step(stage, next(numbers), whole, unit))


@contextmanager
def training_progress(heading: str = "") -> Iterator["RunProgress"]:
    """Show by :func:`progress` how far a cross-validation is."""
    with progress(heading) as show:

        def show_run(stage: "Stage", history: Sequence["Epoch"], extent: "Extent") -> None:
            show(_run_step(stage, history, extent))

        yield show_run


class ProgressLines:
    """Writes steps as lines: each with a time, and without any control character.

    Args:
        to: the file, such as standard error.
        heading: what all lines begin with.
        every: seconds between lines of steps that need none of their own; the last one of a stage always gets one.
        clock: seconds from any beginning.
    """

    def __init__(
        self, to: TextIO, heading: str = "", every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._to, self._heading, self._every, self._clock = to, heading, every, clock
        self._stepped = self._printed = clock()
        self._paces: dict[tuple[str, int], _Pace] = {}
        self._last: Step | None = None
        self._waiting = ""

    def show(self, step: Step) -> None:
        """Write a line, or keep it for the case that it is the stage's last."""
        if self._last and self._last.stage != step.stage:
            self.close()
        now = self._clock()
        text = ", ".join(filter(None, (_said(step), step.note, self._left(step, now))))
        self._stepped, self._last, self._waiting = now, step, text
        if step.each or step.note or step.done == step.whole or now - self._printed >= self._every:
            self._printed = now
            self.close()

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            text = f"{self._heading}: {self._waiting}" if self._heading else self._waiting
            plain = "".join(character if character.isprintable() else "?" for character in text)
            print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {plain}", file=self._to, flush=True)
        self._waiting = ""

    def _left(self, step: Step, now: float) -> str:
        """Say how long the stage and those of equal length after it may still take; nothing while that is unknown."""
        if not step.whole:
            return ""
        done, whole = (step.part - 1) * step.whole + step.done, step.parts * step.whole
        key = (step.stage if step.parts == 1 else step.unit, step.parts)
        pace = self._paces.get(key)
        if pace is None or done < pace.done:  # the first step was just done, whatever an earlier call has done
            pace = self._paces[key] = _Pace(self._stepped, max(done - 1, 0))
        rate = pace.rate(now, done)
        return f"about {_duration((whole - done) / rate)} left" if rate and done < whole else ""


class _Pace:
    """How fast work goes, over the last half of its time: what is there already passes faster than what is made."""

    def __init__(self, began: float, done: float) -> None:
        self._began = began
        self._seen = deque([(began, done)])

    @property
    def done(self) -> float:
        """How much was done last."""
        return self._seen[-1][1]

    def rate(self, now: float, done: float) -> float:
        """Take how much is done by now; return how much is done in a second, 0 while that is unknown."""
        elapsed = now - self._began
        # Of many steps in a row only some are kept, so that memory does not grow with the work.
        if len(self._seen) > 1 and now - self._seen[-2][0] < elapsed / 200:
            self._seen.pop()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= self._began + elapsed / 2:
            self._seen.popleft()
        before, earlier = self._seen[0]
        return (done - earlier) / (now - before) if now > before else 0.0


@contextmanager
def _bars() -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    # What a command prints on standard output stays there.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bars:
        shown: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.stage not in shown:
                shown[step.stage] = bars.add_task(step.stage, total=step.whole, note="")
            bars.update(shown[step.stage], completed=step.done, total=step.whole, note=step.note)

        yield show


def _run_step(stage: "Stage", history: Sequence["Epoch"], extent: "Extent") -> Step:
    if not history:
        name, unit = (f"baseline {extent.name}", "fold") if stage == "baseline" else (stage, "network")
        return Step(name, extent.done, extent.whole, unit, each=True)
    latest = [epoch for epoch in history if epoch.epoch == history[-1].epoch]
    folds, seeds = (sorted({getattr(epoch, name) for epoch in latest}) for name in ("fold", "seed"))
    networks = f"{_range('fold', folds)}, {_range('seed', seeds)}"
    of_part = f"{extent.part} of {extent.parts} ({networks})"
    loss, accuracy = (sum(getattr(one, name) for one in latest) / len(latest) for name in ("loss", "train_accuracy"))
    return Step(
        f"fold-stack {of_part}" if stage == "training" else f"{stage}, network {of_part}",
        extent.done,
        extent.whole,
        "epoch",
        each=True,
        note=f"loss {loss:.3f}, training accuracy {100 * accuracy:.1f} %",
        part=extent.part,
        parts=extent.parts,
    )


def _range(what: str, numbers: Sequence[int]) -> str:
    return f"{what} {numbers[0]}" if len(numbers) == 1 else f"{what}s {numbers[0]} to {numbers[-1]}"


def _said(step: Step) -> str:
    if step.each:
        return f"{step.stage}, {step.unit} {step.done} of {step.whole}"
    return f"{step.stage}: {step.done}{f' of {step.whole}' if step.whole else ''} {step.unit}".rstrip()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
