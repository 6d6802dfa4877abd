"""Emotions over time: a window slides over a recording of one person, in memory that does not grow with its length."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import hypot, log, radians

import numpy as np
import torch
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.faces.crops import SquareCrop, crops_of
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceFollower, FaceTrack
from data_prep.media.videos import Frame
from face_strnn.prediction.durations import Instant
from face_strnn.prediction.recogniser import Recogniser

STILL = 0.02
"""How far, see :func:`drift`, the median of a window's boxes may move off the square that is used before the window is
cut anew. All its frames have one square in any case. On a real face that smiles, maps are then computed for 1.4 frames
per frame and 99 % of the frames get the emotion that they get with a square for each window, at 3.6; 0.05 saves the
rest of the cost, and only 76 % get it."""

JITTER = 0.01
"""The same for crops that follow the face in each frame, whose differences would look like motion."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of a timeline.

    Attributes:
        instant: its number and time.
        image: uint8 (height, width, 3), RGB.
        face: the followed person's; None where it is not seen.
        probabilities: float64 (classes,); None where there is no face.
    """

    instant: Instant
    image: np.ndarray
    face: Face | None
    probabilities: np.ndarray | None = None


def track(frames: Iterable[Frame], follower: FaceFollower) -> Iterator[Moment]:
    """Follow one person through a stream of frames.

    Yields:
        A moment per frame, without probabilities. Only those frames are held whose face the follower does not give
        yet: some twenty with its defaults (:func:`itertools.tee` would keep up to 57 more).
    """
    held: deque[Frame] = deque()

    def images() -> Iterator[np.ndarray]:
        for frame in frames:
            held.append(frame)
            yield frame.image

    for number, face in enumerate(follower.follow(images())):
        frame = held.popleft()
        yield Moment(Instant(number, frame.seconds), frame.image, face)


def timeline(moments: Iterable[Moment], recogniser: Recogniser) -> Iterator[Moment]:
    """Give each frame with a face the probability of each emotion.

    A window holds the last frames up to one of them, as a training sequence holds the frames up to the apex: its
    probabilities are those of its last frame. They are interpolated linearly between the last frames of two windows;
    the frames before the first window's last one have the same as that. A segment is a run of frames that all show the
    face: it ends with a window that ends at its last frame, and no window reaches beyond its segment. A segment shorter
    than a window is one window as a whole, so that all its frames have the same probabilities. With windows of one
    frame, one after another, every frame has the probabilities of its own crop alone.

    The STRNN knows the change from a neutral face to an apex, and no emotion called neutral: a face at rest, one that
    holds its expression for longer than a window, and one that relaxes get probabilities too, which mean little.

    Args:
        moments: every frame, with its face; for example :func:`track`.
        recogniser: says how long a window is and how far from the next; computes maps, once for each frame while the
            head is still (:data:`STILL`), and probabilities.

    Yields:
        The same moments, with probabilities where there is a face. At most the frames of a window and a hop are held.

    Raises:
        BadInput: the recogniser's hop is longer than its window.
    """
    window, hop = recogniser.window, recogniser.hop
    if hop.nominal > window.nominal:
        raise BadInput(f"--hop {hop}: longer than the window, {window}; frames between would be seen by none")
    return _timeline(moments, recogniser)


def _timeline(moments: Iterable[Moment], recogniser: Recogniser) -> Iterator[Moment]:
    sliding = None
    for moment in moments:
        if moment.face is not None:
            sliding = sliding or _SlidingWindow(recogniser, moment.instant)
            yield from sliding.add(moment)
            continue
        if sliding:
            yield from sliding.end()
            sliding = None
        yield moment
    if sliding:
        yield from sliding.end()


def sequence_probabilities(moments: Iterable[Moment], recogniser: Recogniser) -> np.ndarray:
    """Return the probabilities of one sequence as a whole, computed as for the sequences of a test set.

    Args:
        moments: those of the sequence, at least one, all with a face.
        recogniser: computes maps and probabilities.

    Returns:
        float64 (classes,).
    """
    kept = list(moments)
    crops = crops_of(FaceTrack(tuple(moment.face for moment in kept)), recogniser.kind, recogniser.margin)
    return recogniser.probabilities(recogniser.maps([moment.image for moment in kept], crops))


def drift(one: SquareCrop, other: SquareCrop) -> float:
    """Say how different two squares are.

    Returns:
        The distance of their middles as a share of the first one's side, plus the logarithm of the ratio of their
        sides, plus the angle between them in radians.
    """
    apart = hypot(one.center_x - other.center_x, one.center_y - other.center_y) / one.side
    return apart + abs(log(one.side / other.side)) + abs(radians(one.tilt - other.tilt))


@dataclass(eq=False)
class _Held:
    """A frame of the window, and its maps once they are computed."""

    moment: Moment
    crop: SquareCrop | None = None
    maps: Tensor | None = None


class _SlidingWindow:
    """The window over one segment."""

    def __init__(self, recogniser: Recogniser, start: Instant) -> None:
        self.recogniser, self.window, self.hop, self.start = recogniser, recogniser.window, recogniser.hop, start
        self.held: deque[_Held] = deque()
        self.waiting: list[Moment] = []
        self.last: tuple[Instant, np.ndarray] | None = None
        self.square: SquareCrop | None = None

    def add(self, moment: Moment) -> Iterator[Moment]:
        """Take one more frame; give those whose probabilities are known now."""
        now = moment.instant
        self.held.append(_Held(moment))
        while not self.window.holds(self.held[0].moment.instant, now):
            self.held.popleft()
        self.waiting.append(moment)
        if self.hop.apart(self.last[0], now) if self.last else self.window.full(self.start, now):
            yield from self._predicted()

    def end(self) -> Iterator[Moment]:
        """Give the frames that still wait."""
        if self.waiting:
            yield from self._predicted()

    def _predicted(self) -> Iterator[Moment]:
        self._compute_maps()
        probabilities = self.recogniser.probabilities(torch.stack([held.maps for held in self.held]))
        now = self.waiting[-1].instant
        before, earlier = self.last or (now, probabilities)
        duration = now.clock - before.clock
        for moment in self.waiting:
            share = (moment.instant.clock - before.clock) / duration if duration else 1.0
            yield replace(moment, probabilities=(1 - share) * earlier + share * probabilities)
        self.last, self.waiting = (now, probabilities), []

    def _compute_maps(self) -> None:
        """Compute the maps of the window's new frames, and of the others where the square they were cut with is off."""
        track = FaceTrack(tuple(held.moment.face for held in self.held))
        wanted, tolerance = crops_of(track, self.recogniser.kind, self.recogniser.margin), JITTER
        if self.recogniser.kind == "per-sequence":
            if self.square is None or drift(self.square, wanted[0]) > STILL:
                self.square = wanted[0]
            wanted, tolerance = [self.square] * len(wanted), 0.0
        stale = [
            (held, crop)
            for held, crop in zip(self.held, wanted, strict=True)
            if held.crop is None or drift(held.crop, crop) > tolerance
        ]
        if not stale:
            return
        maps = self.recogniser.maps([held.moment.image for held, _ in stale], [crop for _, crop in stale])
        for (held, crop), of_frame in zip(stale, maps, strict=True):
            held.crop, held.maps = crop, of_frame
