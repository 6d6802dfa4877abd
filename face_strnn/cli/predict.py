"""``face-strnn predict``."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.progress import Step, progress

if TYPE_CHECKING:
    import torch

    from face_strnn.prediction.predict import Prediction
    from face_strnn.prediction.recogniser import Method, Recogniser


def predict(
    source: Path,
    run: Path | None = None,
    weights: str | None = None,
    out: Path | None = None,
    window: str | None = None,
    hop: str | None = None,
    seconds: float | None = None,
    annotate: Path | None = None,
    json: bool = False,
    weights_file: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Recognise a person's emotion over time in a video, a folder of frames or before a camera.

    With --run by the run's models, averaged; without it by the frame-wise baseline, which classifies every frame by
    itself and knows neutral faces too.

    Args:
        source: a video file, a folder of frames, or a camera's number such as 0.
        run: a finished run folder, whose models see windows of frames.
        weights: weights with a classifier of single frames, for the baseline: faces by default, or a file.
        out: folder for timeline.csv and timeline.png; by default they are written beside the source under its name.
        window: of --run: length of the window before each prediction, such as 24 frames or 1.2s, the default.
        hop: of --run: from one prediction to the next, by default 0.2s; in between they are interpolated.
        seconds: stop after so much of the recording; Ctrl-C stops a camera, and what was seen is written.
        annotate: MP4 file for a video with box, emotion and bars drawn into it; it shows the face.
        json: print one JSON object and nothing else.
        weights_file: of --run: file of the backbone's weights, where the run's came from a local file.
        device: where detector and networks run; auto takes a GPU where there is one.
    """
    from dataclasses import asdict
    from json import dumps

    from data_prep.device import compute_device
    from face_strnn.prediction.predict import predict as predict_emotion

    with _interrupt_as_question() as interrupted, progress() as show:

        def seen(done: int, whole: int | None) -> None:
            show(Step("recognising", done, whole, "frames"))

        recogniser = _recogniser(run, weights, weights_file, window, hop, compute_device(device))
        prediction = predict_emotion(recogniser, source, out, seconds, annotate, stop=interrupted, progress=seen)
    if json:
        printed = {"source": source, "emotion": prediction.emotion, **asdict(prediction)}
        print(dumps(printed, indent=2, default=str))
    else:
        print_prediction(source, prediction, recogniser.method)
    if prediction.problems:
        raise BadInput("\n".join(prediction.problems))


def _recogniser(
    run: Path | None,
    weights: str | None,
    weights_file: str | None,
    window: str | None,
    hop: str | None,
    device: "torch.device",
) -> "Recogniser":
    """Load a run's models, or without a run the frame-wise baseline; refuse the options of the other."""
    if run is None:
        from face_strnn.prediction.frame_classifier import WEIGHTS, FrameClassifier

        of_run = {"--window": window, "--hop": hop, "--weights-file": weights_file}
        for option, value in of_run.items():
            if value is not None:
                raise BadInput(
                    f"{option} {value}: needs --run; without it every frame is classified by itself, in no window and "
                    "by the backbone of --weights. Omit the option, or give a run"
                )
        return FrameClassifier.of_weights(WEIGHTS if weights is None else weights, device)
    from face_strnn.prediction.ensemble import HOP, WINDOW, Ensemble

    if weights is not None:
        raise BadInput(
            f"--weights {weights}: is for the frame-wise baseline, and --run for a run's models; omit one of the two "
            "(--weights-file has the backbone's weights of a run)"
        )
    return Ensemble.of_run(run, weights_file, device, WINDOW if window is None else window, HOP if hop is None else hop)


def print_prediction(source: Path, prediction: "Prediction", method: "Method") -> None:
    """Print what was predicted for a recording, by which method, and the files written."""
    first, last = prediction.segment
    basis = {
        "whole": f"frames {first} to {last} as one sequence",
        "mean": f"mean over {prediction.frames_with_face} frames with a face",
    }[prediction.basis]
    console.print(f"{source}: {prediction.emotion} ({basis})", markup=False, soft_wrap=True)
    console.print("; ".join(method.statements), markup=False, highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("emotion")
    table.add_column("probability", justify="right")
    for emotion, probability in sorted(prediction.probabilities.items(), key=lambda pair: -pair[1]):
        table.add_row(emotion, f"{probability:.3f}")
    console.print(table)
    peak = prediction.peak
    when = f"frame {peak.frame}" if peak.seconds is None else f"{peak.seconds:.2f} s"
    console.print(f"surest at {when}: {peak.emotion} {peak.probability:.3f}")
    stopped = ", stopped early" if prediction.stopped else ""
    console.print(
        f"{prediction.frames} frames{stopped}, {prediction.frames_with_face} with a face; "
        f"{prediction.frames / prediction.seconds:.1f} frames a second",
        soft_wrap=True,
    )
    for path in filter(None, (prediction.timeline, prediction.figure, prediction.annotated)):
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
