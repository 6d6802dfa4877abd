"""``face-strnn predict``."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from face_strnn.cli.console import console, progress_bar

if TYPE_CHECKING:
    from face_strnn.prediction.predict import Prediction


def predict(
    run: Path,
    source: Path,
    out: Path | None = None,
    window: str = "1.2s",
    hop: str = "0.2s",
    seconds: float | None = None,
    annotate: Path | None = None,
    json: bool = False,
    weights_file: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Recognise a person's emotion over time in a video, a folder of frames or before a camera, by a run's models.

    Args:
        run: a finished run folder.
        source: a video file, a folder of frames, or a camera's number such as 0.
        out: folder for timeline.csv and timeline.png; by default they are written beside the source under its name.
        window: how much is seen for each answer, in seconds, such as 1.2s, or frames, such as 24.
        hop: from one answer to the next, in seconds or frames; the frames between get what lies between the answers.
        seconds: stop after so much of the recording; Ctrl-C stops a camera, and what was seen is written.
        annotate: MP4 file for a video with box, emotion and bars drawn into it; it shows the face.
        json: print one JSON object and nothing else.
        weights_file: file of the backbone's weights, where the run's came from a local file.
        device: where detector and networks run; auto takes a GPU where there is one.
    """
    from json import dumps

    from data_prep.device import compute_device
    from face_strnn.prediction.predict import predict as predict_emotion

    with _interrupt_as_question() as interrupted, progress_bar("frames", None, Console(stderr=True)) as update:
        answer = predict_emotion(
            run,
            source,
            out,
            window,
            hop,
            seconds,
            annotate,
            weights_file,
            compute_device(device),
            stop=interrupted,
            progress=lambda done: update(completed=done),
        )
    if json:
        print(dumps({"source": str(source), **answer.as_json()}, indent=2))
    else:
        print_prediction(source, answer)


def print_prediction(source: Path, answer: "Prediction") -> None:
    """Print a recording's answer."""
    first, last = answer.part
    basis = {
        "whole": f"frames {first} to {last} as one sequence",
        "mean": f"mean over {answer.n_faces} frames with a face",
    }[answer.basis]
    console.print(f"{source}: {answer.emotion} ({basis})", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("emotion")
    table.add_column("probability", justify="right")
    for emotion, probability in sorted(answer.probabilities.items(), key=lambda pair: -pair[1]):
        table.add_row(emotion, f"{probability:.3f}")
    console.print(table)
    peak = answer.peak
    when = f"frame {peak.frame}" if peak.seconds is None else f"{peak.seconds:.2f} s"
    console.print(f"surest at {when}: {peak.emotion} {peak.probability:.3f}")
    learned = "synthetic faces: no evidence about real ones" if answer.data == "synthetic" else answer.data
    stopped = ", stopped early" if answer.stopped else ""
    console.print(
        f"{answer.n_frames} frames{stopped}, {answer.n_faces} with a face; {answer.n_models} models averaged, "
        f"trained on {learned}; {answer.n_frames / answer.seconds:.1f} frames a second",
        soft_wrap=True,
    )
    for path in filter(None, (answer.table, answer.figure, answer.annotated)):
        console.print(f"[b]{escape(str(path))}[/b]", soft_wrap=True)


@contextmanager
def _interrupt_as_question() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; pressed once more it interrupts as ever."""
    pressed = threading.Event()

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # only the main thread may set handlers
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
