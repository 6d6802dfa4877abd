"""From one sequence's images to its files in the stores: track the face, extract crops, augment them, compute maps."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.datasets.problems import Problem
from data_prep.faces.crops import crops_of, extract_crop, resize_whole
from data_prep.faces.tracking import FaceFollower
from data_prep.faces.variants import ROTATION_BORDER
from data_prep.preparation.recording import DamagedRecording, Recording
from data_prep.preparation.sequence_files import Missing, SequenceFiles, Settings
from data_prep.preparation.writers import Stopped, crop_files, map_files
from data_prep.store.tracks import SequenceTrack


@dataclass(frozen=True)
class SequenceResult:
    """The result of one sequence.

    Attributes:
        sequence: its name.
        computed, kept: number of files that were written, and that were there and whole.
        problem: why it could not be read; None where it could.
        n_frames: number of its frames.
        n_used: number of those in the part in which the face is followed; 0 where no frame shows one.
    """

    sequence: str
    computed: int = 0
    kept: int = 0
    problem: Problem | None = None
    n_frames: int = 0
    n_used: int = 0


@dataclass(frozen=True)
class SequenceWork:
    """Processes one sequence after another.

    Args:
        settings: what is to be done.
        follower: finds and follows faces; None where they are given.
        pool: whose threads run the backbone.
        stop: set to stop the work.
    """

    settings: Settings
    follower: FaceFollower | None
    pool: Executor
    stop: Event = field(default_factory=Event)

    def __call__(self, sequence: LabelledSequence) -> SequenceResult:
        """Complete the sequence's files; complete ones made from the same source are kept.

        Raises:
            BadInput: the maps do not fit float16.
            Stopped: the work was called off.
        """
        try:
            return self._complete(Recording(sequence))
        except DamagedRecording as damage:
            # Files made before the damage must not stay beside new ones.
            SequenceFiles(self.settings, sequence.name).remove_outdated()
            return SequenceResult(sequence.name, problem=damage.problem)

    def _complete(self, recording: Recording) -> SequenceResult:
        files = SequenceFiles.of(self.settings, recording.sequence, recording.source)
        files.remove_outdated()
        track = self._track(recording)
        n_frames, n_used = track.n_frames, len(track.usable)
        if not n_used:
            files.remove_all_but_track()
            return SequenceResult(recording.sequence.name, n_frames=n_frames)
        missing = files.missing(n_used)
        if missing:
            self._make(recording, track, missing)
        computed = len(missing.maps) if self.settings.maps else int(missing.crops)
        kept = len(self.settings.variants or [missing.original]) - computed
        return SequenceResult(recording.sequence.name, computed, kept, None, n_frames, n_used)

    def _track(self, recording: Recording) -> SequenceTrack:
        """First pass over the frames: the face in each, unless it is known."""
        name, faces = recording.sequence.name, self.settings.faces
        track = faces.track(name, recording.source)
        if track is None:
            frames = self._until_stopped(recording.frames())
            if self.follower is None:
                track = SequenceTrack(name, recording.source, sum(1 for _ in frames), None)
            else:
                found = self.follower.track(frames)
                track = SequenceTrack(name, recording.source, len(found.faces), found)
            faces.write_track(track)
        return track

    def _make(self, recording: Recording, track: SequenceTrack, missing: Missing) -> None:
        """Second pass: blocks of crops, into their file and, varied, through the backbone.

        Crops and thumbnails appear first, so that whatever has all its maps has these too.
        """
        n_cut = 0
        maps, crops = map_files(self.settings, missing, self.pool, self.stop), crop_files(self.settings, missing)
        with maps as vary, crops as keep:
            for block in self._crops(recording, track, missing):
                n_cut += len(block)
                keep(block)
                vary(block)
            if n_cut != len(track.usable):
                what = "changed while it was read; run the same command again"
                raise DamagedRecording(Problem(recording.sequence.path, what, recording.sequence.name))

    def _crops(self, recording: Recording, track: SequenceTrack, missing: Missing) -> Iterator[np.ndarray]:
        """The crops of the usable part in blocks, with a border for rotations: uint8 (n, side, side, 3)."""
        stored, n = self.settings.crops, self.settings.block
        if stored.holds(missing.original):
            yield from (block.numpy() for block in stored.crops(missing.original).split(n))
        else:
            yield from _blocks(self._cut(recording, track), n)

    def _cut(self, recording: Recording, track: SequenceTrack) -> Iterator[np.ndarray]:
        """The same, one at a time, out of the frames."""
        options, pixels, usable = self.settings.options, self.settings.crops.pixels, track.usable
        squares = None if track.faces is None else crops_of(track.faces, options.crop, options.margin)
        for number, frame in enumerate(self._until_stopped(recording.frames())):
            if number >= usable.stop:
                return
            if number < usable.start:
                continue
            if squares:
                yield extract_crop(frame, squares[number - usable.start], pixels, ROTATION_BORDER)
            else:
                yield resize_whole(frame, pixels, ROTATION_BORDER)

    def _until_stopped(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            if self.stop.is_set():
                raise Stopped
            yield frame


def _blocks(images: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    block: list[np.ndarray] = []
    for image in images:
        block.append(image)
        if len(block) == n:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)
