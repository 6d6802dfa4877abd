"""The maps of a sequence's variants: computed by threads, some blocks ahead, and written in order as they come."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from threading import Event

import numpy as np
import torch

from data_prep.backbones.backbone import Backbone
from data_prep.faces.variants import cut_variant
from data_prep.store.sequence_store import StoredSequence
from data_prep.store.store import FeatureStore

BLOCKS_AHEAD = 24
"""Blocks of one sequence that wait for the backbone or are in it: their crops take some megabytes."""


class Stopped(Exception):
    """The work was called off."""


class MapFiles:
    """Files of maps in the making; see :func:`map_files`."""

    def __init__(
        self,
        backbone: Backbone,
        pool: Executor,
        stop: Event,
        appends: Sequence[tuple[StoredSequence, Callable[[torch.Tensor], None]]],
    ) -> None:
        self._backbone, self._pool, self._stop, self._appends = backbone, pool, stop, appends
        self._ahead: deque[tuple[Callable[[torch.Tensor], None], Future[torch.Tensor]]] = deque()

    def take(self, crops: np.ndarray) -> None:
        """Vary the next crops, uint8 (n, side, side, 3) with room, and hand them to the backbone.

        Raises:
            Stopped: the work was called off.
        """
        for entry, append in self._appends:
            varied = torch.from_numpy(cut_variant(crops, entry.variant, self._backbone.crop_pixels))
            self._ahead.append((append, self._pool.submit(self._backbone, varied)))
            while len(self._ahead) > BLOCKS_AHEAD:
                self._write_first()

    def finish(self) -> None:
        """Wait for the maps that are still to come, and write them; raises as :meth:`take` does."""
        while self._ahead:
            self._write_first()

    def cancel(self) -> None:
        """Compute no more."""
        for _, future in self._ahead:
            future.cancel()

    def _write_first(self) -> None:
        append, future = self._ahead.popleft()
        append(future.result())
        if self._stop.is_set():
            raise Stopped


@contextmanager
def map_files(
    store: FeatureStore, entries: Sequence[StoredSequence], backbone: Backbone, pool: Executor, stop: Event
) -> Iterator[MapFiles]:
    """Give the files of variants' maps, which appear, whole, when the block ends, and not at all when it raises.

    Args:
        store: where they go.
        entries: the variants of a sequence.
        backbone: the frozen network.
        pool: whose threads run it.
        stop: set to call the work off.
    """
    with ExitStack() as stack:
        appends = [(entry, stack.enter_context(store.write_in_parts(entry, backbone.map_shape))) for entry in entries]
        maps = MapFiles(backbone, pool, stop, appends)
        stack.callback(maps.cancel)
        yield maps
        maps.finish()
