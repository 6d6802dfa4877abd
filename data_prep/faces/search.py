"""All faces of every frame of a stream, at a fraction of the cost of detecting them in each."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from data_prep.faces.detection import Face, FaceDetector, between, pair

EVERY = 4
"""The full MTCNN runs on every fourth frame. Refinement in the others costs a fifth of a detection, so that a larger
interval gains little; at 30 frames a second no face appears and disappears in the tenth of a second between."""

STRETCHES = 4
"""Intervals of ``every`` frames that go through the networks together: more costs memory and gains nothing."""


def search(frames: Iterable[np.ndarray], detector: FaceDetector, every: int = EVERY) -> Iterator[list[Face]]:
    """Detect the faces of every frame.

    The full MTCNN searches the first frame, every ``every``-th after it, and the last. In a frame between two of these,
    each face is expected at the position interpolated between both, or at its position in the only one that shows it,
    and the last two stages of MTCNN refine that position. If one of these faces is rejected, or none is expected, the
    full MTCNN searches that frame too. A face that appears and disappears between two searched frames is therefore
    missed only while another face is in view.

    Args:
        frames: uint8 (height, width, 3), RGB, all of one size. At most ``every`` times :data:`STRETCHES` are held.
        detector: detects and refines.
        every: 1 searches every frame.

    Yields:
        The faces of each frame, in order of the frames.
    """
    frames = iter(frames)
    first = list(islice(frames, 1))
    if not first:
        return
    known = _detect(first, detector)[0]
    yield known
    while chunk := list(islice(frames, every * STRETCHES)):
        found = _search(chunk, known, detector, every)
        known = found[-1]
        yield from found


def _search(chunk: Sequence[np.ndarray], known: list[Face], detector: FaceDetector, every: int) -> list[list[Face]]:
    """Search some frames that follow one whose faces are known."""
    last = len(chunk) - 1
    searched = sorted({*range(every - 1, last, every), last})
    found = dict(zip(searched, _detect([chunk[i] for i in searched], detector), strict=True))
    expected: dict[int, list[Face]] = {}
    for start, stop in zip([-1, *searched], searched, strict=False):
        before, after = known if start < 0 else found[start], found[stop]
        for i in range(start + 1, stop):
            expected[i] = _expect(before, after, (i - start) / (stop - start))
    refined = detector.refine([chunk[i] for i in expected], list(expected.values()))
    quick, thorough = [], []
    for i, faces in zip(expected, refined, strict=True):
        if faces and None not in faces:
            found[i] = faces
        elif detector.quick_finds(expected[i], chunk[i]):
            quick.append(i)
        else:
            thorough.append(i)
    found.update(zip(quick, detector.detect([chunk[i] for i in quick]), strict=True))
    found.update(zip(thorough, detector.detect([chunk[i] for i in thorough], thorough=True), strict=True))
    return [found[i] for i in range(len(chunk))]


def _detect(frames: Sequence[np.ndarray], detector: FaceDetector) -> list[list[Face]]:
    """Search quickly; where that finds nothing, thoroughly."""
    found = detector.detect(frames)
    empty = [i for i, faces in enumerate(found) if not faces]
    for i, faces in zip(empty, detector.detect([frames[i] for i in empty], thorough=True), strict=True):
        found[i] = faces
    return found


def _expect(before: list[Face], after: list[Face], share: float) -> list[Face]:
    pairs = pair(before, after)
    moving = [between(before[i], after[k], share) for i, k in pairs.items()]
    coming = [face for k, face in enumerate(after) if k not in pairs.values()]
    going = [face for i, face in enumerate(before) if i not in pairs]
    return moving + coming + going
