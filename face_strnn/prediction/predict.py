"""The emotion in a video, a folder of frames or before a camera, and its course over time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.errors import BadInput
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceFollower
from data_prep.media.cameras import frames_of_camera
from data_prep.media.frames import frames_at, image_files
from data_prep.media.videos import Frame, frame_rate, promised_frames
from face_strnn.prediction.annotate import annotator
from face_strnn.prediction.durations import NOMINAL_RATE, Instant
from face_strnn.prediction.recogniser import Recogniser
from face_strnn.prediction.timeline import Moment, sequence_probabilities, timeline, track
from face_strnn.prediction.timeline_figure import draw_timeline, write_timeline_figure
from face_strnn.prediction.timeline_table import read_timeline, timeline_table

_NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Peak:
    """The moment at which the recogniser is surest.

    Attributes:
        emotion, probability: the most probable emotion there.
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
    """What is predicted for a recording; ``face-strnn predict --json`` prints it under these names.

    Attributes:
        method: ``"strnn"``, or ``"frame-wise"`` for the baseline that classifies every frame by itself.
        probabilities: of each emotion, 0 to 1, averaged over the models.
        basis: ``"whole"``: of the longest segment as one sequence; ``"mean"``: the mean of ``timeline.csv``.
        segment: numbers of the first and last frame of the longest segment in which the face is seen throughout.
        peak: the surest moment.
        frames, frames_with_face: how many frames were read, and how many of them show a face.
        models: how many models' probabilities are averaged.
        data: what they were trained on: ``"synthetic"`` or a data set's name.
        stopped: whether it was stopped before the recording's end.
        timeline: the table written.
        figure, annotated: the picture and the video written; None where there is none.
        problems: why a picture or video that was to be written is not there.
        seconds: how long it took, without loading the models.
    """

    method: str
    probabilities: dict[str, float]
    basis: Literal["whole", "mean"]
    segment: tuple[int, int]
    peak: Peak
    frames: int
    frames_with_face: int
    models: int
    data: str
    stopped: bool
    timeline: Path
    figure: Path | None
    annotated: Path | None
    problems: tuple[str, ...]
    seconds: float

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


def predict(
    recogniser: Recogniser,
    source: Path,
    out: Path | None = None,
    seconds: float | None = None,
    annotate: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Prediction:
    """Recognise the emotion of one person through a recording, and write its course.

    The table is written first, then the annotated video, then the figure: what cannot be written is among the
    ``problems`` of the result and leaves what was written before it.

    The recording is read once, a few frames at a time; memory does not grow with its length. See
    :func:`face_strnn.prediction.timeline.timeline` for the probabilities over time. The recording's own probabilities
    are those of its longest segment as one sequence, computed as for the run's test sequences, where that segment has
    at most ``recogniser.whole_frames`` frames: it is read a second time, because its one crop is known only at its end.
    Of a longer one, of a camera, and of a classifier of single frames, they are the mean of the timeline over all
    frames with a face.

    Args:
        recogniser: what computes the probabilities.
        source: a video file, a folder of frames, or a camera's number where there is no file of that name.
        out: folder for ``timeline.csv`` and ``timeline.png``, made if need be; by default they are written beside the
            source, for a camera into the current folder, with the source's name before theirs.
        seconds: how much of the recording is read; all of it by default.
        annotate: MP4 file for a video with the predictions drawn into it, which shows the face; none by default.
        stop: called at every frame; once it returns true the recording ends there.
        progress: called with the number of frames that are done, and about how many there are; None where unknown.

    Raises:
        BadInput: the source cannot be decoded, no frame of it shows a face, an option makes no sense, or the table
            cannot be written.
    """
    if seconds is not None and not seconds > 0:
        raise BadInput(f"--seconds {seconds}: give a number above 0")
    if annotate is not None and annotate.resolve() == source.resolve():
        raise BadInput(f"--annotate {annotate}: is the recording itself; give another name")
    recording = _Recording(source, seconds, stop)
    classes, method = recogniser.classes, recogniser.method
    table_path, figure_path = _output_files(recording, out)
    began = time.perf_counter()
    course, problems = _Course(recogniser.whole_frames), {}
    with closing(recording.frames()) as frames, ExitStack() as video_file:
        # The first frame is decoded at once: where it cannot be, no file is made.
        moments = timeline(track(chain([next(frames)], frames), FaceFollower(recogniser.device)), recogniser)
        expected = recording.expected_frames
        opened = annotate and annotator(annotate, classes, recording.rate, method)
        video = opened and video_file.enter_context(opened)
        with timeline_table(table_path, classes, method) as table:
            for moment in moments:
                course.add(moment)
                table.write(moment)
                if video:
                    video.write(moment)
                if progress:
                    progress(course.n_frames, None if course.n_frames > (expected or 0) else expected)
            if course.surest is None:
                raise BadInput(
                    f"{source}: no frame shows a face; give a recording in which the face is larger or better lit"
                )
        # The table is written: what fails from here on leaves it.
        with _noted(annotate, problems):
            video_file.close()
    with _noted(figure_path, problems):
        write_timeline_figure(draw_timeline(read_timeline(table_path), recording.title, method), figure_path)
    basis, probabilities = _of_recording(recording, course, recogniser)
    return Prediction(
        method=method.name,
        probabilities=dict(zip(classes, probabilities.tolist(), strict=True)),
        basis=basis,
        segment=(course.longest.first.number, course.longest.last.number),
        peak=Peak.of(course.surest, classes),
        frames=course.n_frames,
        frames_with_face=course.n_faces,
        models=method.models,
        data=method.data,
        stopped=recording.stopped,
        timeline=table_path,
        figure=None if figure_path in problems else figure_path,
        annotated=None if annotate in problems else annotate,
        problems=tuple(problems.values()),
        seconds=round(time.perf_counter() - began, 3),
    )


@contextmanager
def _noted(path: Path | None, problems: dict[Path, str]) -> Iterator[None]:
    """Note why a file cannot be written, and go on: what is written already is worth having."""
    try:
        yield
    except OSError as error:
        problems[path] = f"{path}: cannot be written ({error.strerror}); remove what is in its place, or make room"
    except BadInput as error:
        problems[path] = str(error)


@dataclass(eq=False)
class _Recording:
    """A source of frames, to the end or to where it is stopped."""

    source: Path
    seconds: float | None
    stop: Callable[[], bool]
    stopped: bool = False

    @cached_property
    def camera(self) -> int | None:
        """The number of a camera; None of a file or folder."""
        return int(self.source.name) if str(self.source).isdecimal() and not self.source.exists() else None

    @property
    def title(self) -> str:
        return self.source.resolve().name if self.camera is None else f"camera {self.camera}"

    @property
    def rate(self) -> float:
        """Frames a second of a video made from it."""
        is_video = self.camera is None and self.source.is_file()
        return (frame_rate(self.source) if is_video else None) or NOMINAL_RATE

    @property
    def expected_frames(self) -> int | None:
        """About how many frames it has, as its header says; None where that is unknown."""
        if self.camera is not None:
            return None
        source = self.source
        n_frames = len(image_files(source.iterdir())) if source.is_dir() else promised_frames(source)
        if self.seconds is not None:
            n_frames = min(n_frames, ceil(self.seconds * self.rate))
        return n_frames or None

    def frames(self) -> Iterator[Frame]:
        with closing(frames_at(self.source) if self.camera is None else frames_of_camera(self.camera)) as coming:
            for number, frame in enumerate(coming):
                if self.seconds is not None and Instant(number, frame.seconds).clock >= self.seconds:
                    return
                yield frame
                if self.stop():
                    self.stopped = True
                    return


@dataclass(eq=False)
class Segment:
    """Successive frames that all show the face.

    Attributes:
        first, last: of its frames.
        probabilities: float64 (classes,), of the last frame.
        faces: of its first frames, as many as one sequence may have.
    """

    first: Instant
    last: Instant
    probabilities: np.ndarray
    faces: list[Face]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.last.number - self.first.number + 1


class _Course:
    """What is kept of a timeline while it goes by."""

    def __init__(self, whole_frames: int) -> None:
        self.whole_frames = whole_frames
        self.n_frames = self.n_faces = 0
        self.total: np.ndarray | float = 0.0
        self.surest: Moment | None = None
        self.longest: Segment | None = None
        self._segment: Segment | None = None

    def add(self, moment: Moment) -> None:
        self.n_frames += 1
        if moment.face is None or moment.probabilities is None:
            self._segment = None
            return
        self.n_faces += 1
        self.total = self.total + moment.probabilities
        # The last of equals: the frames before the end of a segment's first window have that window's probabilities.
        if self.surest is None or moment.probabilities.max() >= self.surest.probabilities.max():
            self.surest = replace(moment, image=_NO_IMAGE)
        segment = self._segment = self._segment or Segment(moment.instant, moment.instant, moment.probabilities, [])
        segment.last, segment.probabilities = moment.instant, moment.probabilities
        if segment.n_frames <= self.whole_frames:
            segment.faces.append(moment.face)
        if self.longest is None or segment.n_frames > self.longest.n_frames:
            self.longest = segment


def _of_recording(
    recording: _Recording, course: _Course, recogniser: Recogniser
) -> tuple[Literal["whole", "mean"], np.ndarray]:
    """Return the recording's own probabilities, and before them what they are based on."""
    segment = course.longest
    if recording.camera is not None or segment.n_frames > course.whole_frames:
        return "mean", course.total / course.n_faces
    if recogniser.window.holds(segment.first, segment.last):
        return "whole", segment.probabilities  # its one window was the whole segment
    first, last = segment.first.number, segment.last.number
    with closing(frames_at(recording.source)) as frames:
        again = zip(islice(frames, first, last + 1), segment.faces, strict=True)
        moments = (Moment(Instant(n, frame.seconds), frame.image, face) for n, (frame, face) in enumerate(again, first))
        return "whole", sequence_probabilities(moments, recogniser)


def _output_files(recording: _Recording, out: Path | None) -> tuple[Path, Path]:
    """Return the paths of the table and the figure; make the folder that was asked for."""
    if out is None:
        source = recording.source.resolve() if recording.camera is None else Path(f"camera-{recording.camera}")
        return source.with_name(f"{source.name}.timeline.csv"), source.with_name(f"{source.name}.timeline.png")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be made ({error.strerror}); give another folder") from error
    return out / "timeline.csv", out / "timeline.png"
