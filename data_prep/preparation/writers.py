"""The files of one sequence while they are written: blocks of crops go in, complete files come out.

Both functions yield a function that takes the next crops, uint8 (n, side, side, 3) with a border for rotations. The
complete files appear when the ``with`` block ends; if it raises, there are none.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from threading import Event

import numpy as np
import torch

from data_prep.faces.variants import ORIGINAL, cut_variant
from data_prep.preparation.sequence_files import Missing, Settings
from data_prep.store.contact_sheet import thumbnail

BLOCKS_AHEAD = 24
"""Blocks of one sequence that wait for the backbone or are in it: their crops take some megabytes."""

Take = Callable[[np.ndarray], None]


class Stopped(Exception):
    """The work was called off."""


@contextmanager
def crop_files(settings: Settings, missing: Missing) -> Iterator[Take]:
    """Write a sequence's crops and thumbnails, as far as they are missing."""
    store, original = settings.crops, missing.original
    places = (0, original.frames // 2, original.frames - 1)
    shown: dict[int, np.ndarray] = {}
    with ExitStack() as stack:
        append = None
        if missing.crops:
            append = stack.enter_context(store.write_in_parts(original, (store.side, store.side, 3)))
        n_taken = 0

        def take(crops: np.ndarray) -> None:
            nonlocal n_taken
            for place in places if missing.thumbnails else ():
                if n_taken <= place < n_taken + len(crops):
                    shown[place] = thumbnail(cut_variant(crops[place - n_taken][None], ORIGINAL, store.pixels)[0])
            if append:
                append(torch.from_numpy(crops))
            n_taken += len(crops)

        yield take
        if missing.thumbnails:
            store.write_thumbnails(original.sequence, original.source, np.stack([shown[place] for place in places]))


@contextmanager
def map_files(settings: Settings, missing: Missing, pool: Executor, stop: Event) -> Iterator[Take]:
    """Write the maps that are missing: computed by the threads of ``pool``, some blocks ahead, written in order.

    Raises:
        Stopped: ``stop`` was set.
    """
    store, backbone = settings.maps, settings.backbone
    ahead: deque[tuple[Callable[[torch.Tensor], None], Future[torch.Tensor]]] = deque()

    def write_first() -> None:
        append, future = ahead.popleft()
        append(future.result())
        if stop.is_set():
            raise Stopped

    with ExitStack() as stack:
        stack.callback(lambda: [future.cancel() for _, future in ahead])
        appends = [stack.enter_context(store.write_in_parts(entry, backbone.map_shape)) for entry in missing.maps]

        def take(crops: np.ndarray) -> None:
            for entry, append in zip(missing.maps, appends, strict=True):
                varied = torch.from_numpy(cut_variant(crops, entry.variant, backbone.crop_pixels))
                ahead.append((append, pool.submit(backbone, varied)))
                while len(ahead) > BLOCKS_AHEAD:
                    write_first()

        yield take
        while ahead:
            write_first()
