"""The emotion in a video, a folder of frames or before a camera, by the models of a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from data_prep.errors import BadInput
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceFollower
from data_prep.media.cameras import frames_of_camera
from data_prep.media.frames import frames_at
from data_prep.media.videos import Frame, frame_rate
from face_strnn.prediction.annotate import annotator
from face_strnn.prediction.durations import NOMINAL_RATE, Instant, Span
from face_strnn.prediction.ensemble import Ensemble
from face_strnn.prediction.timeline import HOP, WINDOW, Moment, followed, timeline, whole_answer
from face_strnn.prediction.timeline_figure import draw_timeline, write_timeline_figure
from face_strnn.prediction.timeline_table import timeline_table

WHOLE_FRAMES = 100
"""The longest part, in frames, that is answered as one sequence. CK+'s longest has 71; of more, the networks' 44 time
steps would leave too much out, and an expression comes and goes in it, which the networks never saw."""

_NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Peak:
    """The moment at which a run's models are surest.

    Attributes:
        emotion, probability: the answer there.
        frame: number of the frame, from 0.
        seconds: its time; None where the recording has none.
    """

    emotion: str
    probability: float
    frame: int
    seconds: float | None

    @classmethod
    def of(cls, moment: Moment, classes: Sequence[str]) -> "Peak":
        """Take the most probable of the classes at a moment with a face."""
        best = int(moment.probabilities.argmax())
        return cls(classes[best], float(moment.probabilities[best]), moment.instant.number, moment.instant.seconds)


@dataclass(frozen=True)
class Prediction:
    """The answer of a run's models to a recording.

    Attributes:
        probabilities: of each emotion, 0 to 1, averaged over the models.
        basis: ``"whole"``: of the longest part with a face as one sequence; ``"mean"``: the mean of ``timeline.csv``.
        part: numbers of the first and last frame of that longest part.
        peak: the surest moment.
        n_frames: frames seen.
        n_faces: frames with a face.
        n_models: models asked.
        data: what they learned from: ``"synthetic"`` or a data set's name.
        stopped: whether it was stopped before the recording's end.
        table, figure: the files written.
        annotated: the video written, if any.
        seconds: what it took, without loading the models.
    """

    probabilities: dict[str, float]
    basis: str
    part: tuple[int, int]
    peak: Peak
    n_frames: int
    n_faces: int
    n_models: int
    data: str
    stopped: bool
    table: Path
    figure: Path
    annotated: Path | None
    seconds: float

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def as_json(self) -> dict[str, object]:
        """Return what a program wants to know."""
        return {
            "emotion": self.emotion,
            "probabilities": self.probabilities,
            "basis": self.basis,
            "part": list(self.part),
            "peak": vars(self.peak),
            "frames": self.n_frames,
            "frames_with_face": self.n_faces,
            "models": self.n_models,
            "data": self.data,
            "stopped": self.stopped,
            "timeline": str(self.table),
            "figure": str(self.figure),
            "annotated": None if self.annotated is None else str(self.annotated),
            "seconds": round(self.seconds, 3),
        }


def predict(
    run: Path,
    source: Path,
    out: Path | None = None,
    window: str = WINDOW,
    hop: str = HOP,
    seconds: float | None = None,
    annotate: Path | None = None,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] | None = None,
) -> Prediction:
    """Recognise the emotion of one person through a recording, and write its course.

    The recording is read once, a few frames at a time; memory does not grow with its length. See
    :func:`face_strnn.prediction.timeline.timeline` for the probabilities over time. The one answer for the recording
    is that of its longest part with a face as one sequence, as the run's test sequences were answered, where that part
    has at most :data:`WHOLE_FRAMES` frames: it is read a second time, because its one crop is known only at its end.
    Of a longer one, and of a camera, it is the mean of the timeline over all frames with a face.

    Args:
        run: a finished run folder.
        source: a video file, a folder of frames, or a camera's number where there is no file of that name.
        out: folder for ``timeline.csv`` and ``timeline.png``, made if need be; by default they are written beside the
            source, for a camera into the current folder, with the source's name before theirs.
        window, hop: length of a window and distance between two, such as ``"1.2s"`` or ``"24"`` frames.
        seconds: how much of the recording is taken; all of it by default.
        annotate: MP4 file for a video with the answers drawn into it, which shows the face; none by default.
        weights: the backbone's weights where the run's came from a local file, whose path a run does not know.
        device: where all networks run.
        stop: asked at every frame; once it is true the recording ends there.
        progress: called with the number of frames that are done.

    Raises:
        BadInput: the run is not finished or damaged, its models are of another run, the backbone's weights are not
            those of the run, the source cannot be decoded, no frame of it shows a face, an option makes no sense, or
            the files cannot be written.
    """
    windows = Span.parse(window, "--window"), Span.parse(hop, "--hop")
    if seconds is not None and not seconds > 0:
        raise BadInput(f"--seconds {seconds}: give a number above 0")
    if annotate is not None and annotate.resolve() == source.resolve():
        raise BadInput(f"--annotate {annotate}: is the recording itself; give another name")
    camera = int(source.name) if str(source).isdecimal() and not source.exists() else None
    ensemble = Ensemble.of_run(run, weights, device)
    table_path, figure_path = _places(source, camera, out)
    began = time.perf_counter()
    recording = _Recording(source, camera, seconds, stop)
    course = _Course()
    with ExitStack() as files:
        frames = files.enter_context(closing(recording.frames()))
        moments = timeline(followed(_begun(frames), FaceFollower(device)), ensemble, *windows)
        table = files.enter_context(timeline_table(table_path, ensemble.classes))
        video = annotate and files.enter_context(annotator(annotate, ensemble.classes, recording.rate, ensemble.data))
        for moment in moments:
            course.add(moment)
            table.write(moment)
            if video:
                video.write(moment)
            if progress:
                progress(course.n_frames)
        if course.surest is None:
            raise BadInput(
                f"{source}: no frame shows a face; give a recording in which the face is larger or better lit"
            )
        part = course.longest
        is_whole = camera is None and part.n_frames <= WHOLE_FRAMES
        if is_whole and windows[0].holds(part.first, part.last):
            answer = part.answer  # its one window was the whole part
        elif is_whole:
            answer = whole_answer(_faces_again(source, part), ensemble)
        else:
            answer = course.total / course.n_faces
        title = f"camera {camera}" if camera is not None else source.resolve().name
        write_timeline_figure(draw_timeline(table.read(), title, ensemble.data), figure_path)
    return Prediction(
        dict(zip(ensemble.classes, answer.tolist(), strict=True)),
        "whole" if is_whole else "mean",
        (part.first.number, part.last.number),
        Peak.of(course.surest, ensemble.classes),
        course.n_frames,
        course.n_faces,
        len(ensemble.models),
        ensemble.data,
        recording.stopped,
        table_path,
        figure_path,
        annotate,
        time.perf_counter() - began,
    )


@dataclass(eq=False)
class _Recording:
    """A source of frames, to the end or to where it is stopped."""

    source: Path
    camera: int | None
    seconds: float | None
    stop: Callable[[], bool]
    stopped: bool = False

    def frames(self) -> Iterator[Frame]:
        with closing(frames_at(self.source) if self.camera is None else frames_of_camera(self.camera)) as coming:
            for number, frame in enumerate(coming):
                if self.seconds is not None and Instant(number, frame.seconds).clock >= self.seconds:
                    return
                yield frame
                if self.stop():
                    self.stopped = True
                    return

    @property
    def rate(self) -> float:
        """Frames a second of a video made from it."""
        is_video = self.camera is None and self.source.is_file()
        return (frame_rate(self.source) if is_video else None) or NOMINAL_RATE


@dataclass(eq=False)
class _Part:
    """A stretch of frames in which the face is seen throughout; its faces only as far as one sequence may reach."""

    first: Instant
    last: Instant
    answer: np.ndarray
    faces: list[Face]

    @property
    def n_frames(self) -> int:
        return self.last.number - self.first.number + 1


class _Course:
    """What is kept of a timeline while it goes by."""

    def __init__(self) -> None:
        self.n_frames = self.n_faces = 0
        self.total: np.ndarray | float = 0.0
        self.surest: Moment | None = None
        self.longest: _Part | None = None
        self._part: _Part | None = None

    def add(self, moment: Moment) -> None:
        self.n_frames += 1
        if moment.face is None or moment.probabilities is None:
            self._part = None
            return
        self.n_faces += 1
        self.total = self.total + moment.probabilities
        # The last of equals: the frames before the end of a part's first window have that one's answer.
        if self.surest is None or moment.probabilities.max() >= self.surest.probabilities.max():
            self.surest = replace(moment, image=_NO_IMAGE)
        if self._part is None:
            self._part = _Part(moment.instant, moment.instant, moment.probabilities, [])
        self._part.last, self._part.answer = moment.instant, moment.probabilities
        if self._part.n_frames <= WHOLE_FRAMES:
            self._part.faces.append(moment.face)
        if self.longest is None or self._part.n_frames > self.longest.n_frames:
            self.longest = self._part


def _begun(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Decode the first frame at once: where it cannot be, no file is made."""
    return chain([next(frames)], frames)


def _faces_again(source: Path, part: _Part) -> Iterator[Moment]:
    with closing(frames_at(source)) as frames:
        of_part = islice(frames, part.first.number, part.last.number + 1)
        for number, (frame, face) in enumerate(zip(of_part, part.faces, strict=True), start=part.first.number):
            yield Moment(Instant(number, frame.seconds), frame.image, face)


def _places(source: Path, camera: int | None, out: Path | None) -> tuple[Path, Path]:
    """Name the table and the figure, and make the folder that was asked for."""
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be made ({error.strerror}); give another folder") from error
        folder, prefix = out, ""
    elif camera is not None:
        folder, prefix = Path(), f"camera-{camera}."
    else:
        folder, prefix = source.resolve().parent, f"{source.resolve().name}."
    return folder / f"{prefix}timeline.csv", folder / f"{prefix}timeline.png"
