"""One person's face through a recording: which person is tracked, which gaps are interpolated, which part is usable."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_prep.faces.detection import Face, FaceDetector, between, pair
from data_prep.faces.search import EVERY, search

MAX_GAP = 5
"""Longest gap in frames that is interpolated: a blink, a passing hand or blur hides a face for up to a sixth of a
second at 30 frames a second, in which a head moves little. The motion in a longer gap is unknown."""


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One person's face in every frame of a recording.

    Attributes:
        faces: for each frame the face, detected, refined or interpolated; None where the person is not seen. All gaps
            between two faces are longer than the longest interpolated one.
    """

    faces: tuple[Face | None, ...]

    @property
    def usable(self) -> range:
        """The longest run of frames between gaps, the first of equally long ones; empty if no frame has a face."""
        longest = start = stop = 0
        for frame, face in enumerate([*self.faces, None]):
            if face is None:
                if frame - start > longest:
                    longest, stop = frame - start, frame
                start = frame + 1
        return range(stop - longest, stop)

    @property
    def usable_faces(self) -> tuple[Face, ...]:
        """The faces of the usable part."""
        return tuple(self.faces[frame] for frame in self.usable)


class FaceFollower:
    """Detects and tracks one person's face.

    Args:
        device: device of MTCNN's networks.
        every: see :func:`data_prep.faces.search.search`.

    Example:
        >>> from data_prep.faces.crops import crops_of
        >>> frames = [frame.image for frame in frames_at(Path("clip.mp4"))]  # doctest: +SKIP
        >>> track = FaceFollower().track(frames)  # doctest: +SKIP
        >>> crops = crops_of(track, "per-sequence")  # doctest: +SKIP
    """

    def __init__(self, device: torch.device | str = "cpu", every: int = EVERY) -> None:
        self.detector = FaceDetector(device)
        self.every = every

    def follow(self, frames: Iterable[np.ndarray]) -> Iterator[Face | None]:
        """Track a person through a stream; see :func:`follow`.

        Args:
            frames: uint8 (height, width, 3), RGB, all of one size. Faces lag behind the frames read by at most
                ``every`` times :data:`data_prep.faces.search.STRETCHES` plus :data:`MAX_GAP` frames;
                :func:`itertools.tee` lets a caller iterate over frames and faces together.
        """
        return follow(search(frames, self.detector, self.every))

    def track(self, frames: Iterable[np.ndarray]) -> FaceTrack:
        """Track the person with the most presence in a whole recording; see :func:`track`.

        Args:
            frames: as for :meth:`follow`; no more than there are held in memory.
        """
        return track(search(frames, self.detector, self.every))


def track(faces: Iterable[Sequence[Face]], max_gap: int = MAX_GAP) -> FaceTrack:
    """Track the person whose face has the most presence, the sum of its areas over all frames.

    Args:
        faces: for each frame the faces of all people.
        max_gap: longest gap in frames that is interpolated.
    """
    people = list(_people(faces))
    presence: dict[int, float] = {}
    for seen in people:
        for person, face in seen.items():
            presence[person] = presence.get(person, 0.0) + face.area
    most = max(presence, key=presence.__getitem__, default=None)
    return FaceTrack(tuple(_interpolated((seen.get(most) for seen in people), max_gap)))


def follow(faces: Iterable[Sequence[Face]], max_gap: int = MAX_GAP) -> Iterator[Face | None]:
    """Track the largest face of the first frame that has one, until it is lost for more than ``max_gap`` frames.

    Then track the largest face in view. A gap between faces of two people is never interpolated.

    Args:
        faces: for each frame the faces of all people.
        max_gap: longest gap in frames that is interpolated; also the largest delay of the result.

    Yields:
        For each frame the face, or None.
    """
    return _interpolated(_largest_until_lost(_people(faces, max_gap), max_gap), max_gap)


def _people(faces: Iterable[Sequence[Face]], forget_after: int | None = None) -> Iterator[dict[int, Face]]:
    """Number the people of each frame; a face near a person's last position is that person's.

    Args:
        faces: for each frame the faces of all people.
        forget_after: a person who reappears after more frames than this gets a new number.
    """
    last: dict[int, tuple[int, Face]] = {}
    newest = 0
    for frame, seen in enumerate(faces):
        if forget_after is not None:
            last = {person: (when, face) for person, (when, face) in last.items() if frame - when - 1 <= forget_after}
        known = list(last)
        pairs = pair(seen, [last[person][1] for person in known])
        named = {}
        for i, face in enumerate(seen):
            if i in pairs:
                person = known[pairs[i]]
            else:
                person, newest = newest, newest + 1
            named[person] = face
            last[person] = (frame, face)
        yield named


def _largest_until_lost(people: Iterable[dict[int, Face]], max_gap: int) -> Iterator[Face | None]:
    followed, missing = None, 0
    for seen in people:
        if followed is None and seen:
            followed = max(seen, key=lambda person: seen[person].area)
        face = seen.get(followed)
        missing = 0 if face else missing + 1
        yield face
        # The frame that makes the gap too long belongs to it, so that no gap towards another person is interpolated.
        if missing > max_gap:
            followed = None


def _interpolated(faces: Iterable[Face | None], max_gap: int) -> Iterator[Face | None]:
    """Interpolate the gaps of up to ``max_gap`` frames between two faces."""
    before, gap = None, 0
    for face in faces:
        if face is None:
            gap += 1
            if before is None or gap > max_gap:
                # The gap is too long now, or no face precedes it: its frames have none.
                yield from [None] * (gap if before else 1)
                before, gap = None, 0
            continue
        for k in range(gap):
            yield between(before, face, (k + 1) / (gap + 1))
        yield face
        before, gap = face, 0
    yield from [None] * gap
