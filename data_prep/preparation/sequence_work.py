"""From one sequence's files to its maps in the store: followed, cut, varied, shown to the backbone."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from threading import Event

import numpy as np
import torch

from data_prep.backbones.backbone import Backbone
from data_prep.datasets.catalogue import LabelledSequence
from data_prep.datasets.problems import Problem
from data_prep.faces.crops import CropKind, crops_of, cut, whole, with_room
from data_prep.faces.tracking import FaceFollower
from data_prep.faces.variants import ORIGINAL, ROOM, Variant, cut_variant
from data_prep.preparation.recipe import Faces
from data_prep.preparation.recording import DamagedRecording, Recording
from data_prep.store.contact_sheet import thumbnail
from data_prep.store.crops import crops_in_parts, holds_crops, remove_outdated_crops
from data_prep.store.store import FeatureStore, StoredSequence
from data_prep.store.tracks import Followed, read_followed, write_followed

BLOCKS_AHEAD = 24
"""Blocks of one sequence that wait for the backbone or are in it: their crops take some megabytes."""


@dataclass(frozen=True)
class Settings:
    """What is to be done with every sequence.

    Attributes:
        store: where maps go.
        backbone: the frozen network.
        variants: those that are made of every sequence, the original among them.
        crop, margin: see :func:`data_prep.faces.crops.crops_of`.
        faces: found by MTCNN, or given: the images are the crops.
        contact_sheet: keep thumbnails.
        keep_crops: keep the crops too; those that are there stay in any case.
    """

    store: FeatureStore
    backbone: Backbone
    variants: tuple[Variant, ...]
    crop: CropKind
    margin: float
    faces: Faces
    contact_sheet: bool
    keep_crops: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one sequence.

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


class Stopped(Exception):
    """The work was called off."""


@dataclass(frozen=True)
class SequenceWork:
    """Does the work on one sequence after another.

    Args:
        settings: what is to be done.
        follower: finds and follows faces; None where they are given.
        pool: whose threads run the backbone.
        stop: set to call the work off.
    """

    settings: Settings
    follower: FaceFollower | None
    pool: Executor
    stop: Event = field(default_factory=Event)

    def __call__(self, sequence: LabelledSequence) -> Outcome:
        """Complete the sequence's files; those that are whole and made from the same source are kept.

        Raises:
            BadInput: the maps do not fit float16.
            Stopped: the work was called off.
        """
        store = self.settings.store
        try:
            return self._complete(sequence, Recording(sequence))
        except DamagedRecording as damage:
            # What was made before it was damaged must not stand beside what is made now.
            store.remove_outdated(sequence.name, [])
            remove_outdated_crops(store, sequence.name)
            return Outcome(sequence.name, problem=damage.problem)

    def _complete(self, sequence: LabelledSequence, recording: Recording) -> Outcome:
        store = self.settings.store
        wanted = [entry_of(sequence, variant, recording.source) for variant in self.settings.variants]
        as_taken = entry_of(sequence, ORIGINAL, recording.source)
        store.remove_outdated(sequence.name, wanted)
        remove_outdated_crops(store, sequence.name, as_taken)
        followed = self._follow(recording)
        n_used = len(followed.usable)
        outcome = Outcome(sequence.name, n_frames=followed.n_frames, n_used=n_used)
        if not n_used:
            store.remove_outdated(sequence.name, [])
            remove_outdated_crops(store, sequence.name)
            return outcome
        # Only now is the number of a video's frames known.
        missing = [replace(entry, frames=n_used) for entry in wanted if not store.holds(entry)]
        as_taken = replace(as_taken, frames=n_used)
        uncut = as_taken if self.settings.keep_crops and not holds_crops(store, as_taken) else None
        if missing or uncut or (self.settings.contact_sheet and followed.thumbnails is None):
            self._make(recording, followed, missing, uncut)
        return replace(outcome, computed=len(missing), kept=len(wanted) - len(missing))

    def _follow(self, recording: Recording) -> Followed:
        """First pass: the face in every frame."""
        store, name = self.settings.store, recording.sequence.name
        known = read_followed(store, name, recording.source)
        if known is not None:
            if known.thumbnails is not None and not self.settings.contact_sheet:
                known = replace(known, thumbnails=None)
                write_followed(store, known)
            return known
        frames = self._until_stopped(recording.frames())
        if self.follower is None:
            followed = Followed(name, recording.source, sum(1 for _ in frames), None)
        else:
            track = self.follower.track(frames)
            followed = Followed(name, recording.source, len(track.faces), track)
        # Where thumbnails are to come the file is written with them; a long recording's faces are not left to chance.
        if not (self.settings.contact_sheet and recording.is_held and followed.usable):
            write_followed(store, followed)
        return followed

    def _make(
        self, recording: Recording, followed: Followed, missing: list[StoredSequence], uncut: StoredSequence | None
    ) -> None:
        """Second pass: crops in blocks into their file, where it is to be made, and varied through the backbone."""
        store, backbone = self.settings.store, self.settings.backbone
        usable = followed.usable
        shown = dict.fromkeys([0, len(usable) // 2, len(usable) - 1])
        ahead: deque[tuple[Callable[[torch.Tensor], None], Future[torch.Tensor]]] = deque()
        n_cut = 0
        with ExitStack() as files:
            files.callback(lambda: [future.cancel() for _, future in ahead])
            side = with_room(backbone.crop_pixels, ROOM)
            keep = files.enter_context(crops_in_parts(store, uncut, side)) if uncut else None
            appends = [files.enter_context(store.write_in_parts(entry, backbone.map_shape)) for entry in missing]
            for block in _blocks(self._wide_crops(recording, followed), backbone.block):
                if self.settings.contact_sheet:
                    for place in shown:
                        if n_cut <= place < n_cut + len(block):
                            upright = cut_variant(block[place - n_cut][None], ORIGINAL, backbone.crop_pixels)
                            shown[place] = thumbnail(upright[0])
                n_cut += len(block)
                if keep:
                    keep(torch.from_numpy(block))
                for entry, append in zip(missing, appends, strict=True):
                    crops = torch.from_numpy(cut_variant(block, entry.variant, backbone.crop_pixels))
                    ahead.append((append, self.pool.submit(backbone, crops)))
                    while len(ahead) > BLOCKS_AHEAD:
                        self._append_first(ahead)
            if n_cut != len(usable):
                what = "changed while it was read; run the same command again"
                raise DamagedRecording(Problem(recording.sequence.path, what, recording.sequence.name))
            # Before the maps appear, so that whatever has all its maps has its faces too.
            if self.settings.contact_sheet and followed.thumbnails is None:
                places = [0, len(usable) // 2, len(usable) - 1]
                write_followed(store, replace(followed, thumbnails=np.stack([shown[place] for place in places])))
            while ahead:
                self._append_first(ahead)

    def _append_first(self, ahead: deque[tuple[Callable[[torch.Tensor], None], Future[torch.Tensor]]]) -> None:
        append, future = ahead.popleft()
        append(future.result())
        if self.stop.is_set():
            raise Stopped

    def _wide_crops(self, recording: Recording, followed: Followed) -> Iterator[np.ndarray]:
        """The crops of the usable part, one at a time, with room for a rotation: uint8 (n, n, 3)."""
        pixels, usable = self.settings.backbone.crop_pixels, followed.usable
        squares = None if followed.track is None else crops_of(followed.track, self.settings.crop, self.settings.margin)
        for number, frame in enumerate(self._until_stopped(recording.frames())):
            if number >= usable.stop:
                return
            if number < usable.start:
                continue
            yield cut(frame, squares[number - usable.start], pixels, ROOM) if squares else whole(frame, pixels, ROOM)

    def _until_stopped(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            if self.stop.is_set():
                raise Stopped
            yield frame


def entry_of(sequence: LabelledSequence, variant: Variant, source: str) -> StoredSequence:
    """Return the facts about a sequence's file; the number of frames is that of the whole sequence."""
    return StoredSequence(
        sequence.name,
        sequence.subject,
        sequence.emotion,
        variant.rotation,
        sequence.n_frames,
        source,
        sequence.fold,
        variant.flip,
    )


def _blocks(images: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    block: list[np.ndarray] = []
    for image in images:
        block.append(image)
        if len(block) == n:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)
