"""The terminal output of commands, and progress bars."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from face_strnn.evaluation.learners.learner import Progress as TrainingProgress
    from face_strnn.evaluation.learners.learner import Stage
    from face_strnn.training.stack import Epoch

console = Console()


def unfolded() -> Console:
    """Return a console for tables: what is no terminal is read by programs or kept in files, and never folds a line."""
    return console if console.is_terminal else Console(width=10_000)


@contextmanager
def progress_bar(what: str, total: int | None, on: Console = console) -> Iterator[Callable[..., None]]:
    """Show a bar; give a function that moves it: ``completed=`` so many, or ``advance=`` by so many, of ``total``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=on) as bars:
        yield partial(bars.update, bars.add_task(what, total=total))


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for every stage of some work; give a function that takes a stage, what is done, and of how much."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        shown: dict[str, TaskID] = {}

        def show(stage: str, done: int, whole: int) -> None:
            if stage not in shown:
                shown[stage] = bars.add_task(stage, total=whole)
            bars.update(shown[stage], completed=done, total=whole)

        yield show


@contextmanager
def training_progress() -> Iterator["TrainingProgress"]:
    """Show a bar for every stack of folds; give a function that moves the stack's own, called after each epoch."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("training loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        shown: dict[str, TaskID] = {}

        def progress(stage: "Stage", history: Sequence["Epoch"], epochs: int) -> None:
            first, latest = history[0], [epoch for epoch in history if epoch.epoch == history[-1].epoch]
            name = f"epochs, folds {first.fold} to {history[-1].fold}, seed {first.seed}"
            if name not in shown:
                shown[name] = bars.add_task(name, total=epochs, loss=float("nan"))
            loss = sum(epoch.loss for epoch in latest) / len(latest)
            bars.update(shown[name], completed=history[-1].epoch, loss=loss)

        yield progress
