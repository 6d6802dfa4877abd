"""Parallel processing of sequences, in the threads of one process or in several processes.

Each thread works alone: it decodes, detects, crops or runs the backbone on a few frames. Threads that share each
convolution spend a third of two cores waiting for one another, and two such pools far more; frames are independent, so
that any free thread takes the next ones. All stages therefore overlap, sequences of six frames keep the cores as busy
as long ones, and other work on the machine slows this down only by its share.

A frame's maps do not depend on how many threads or processes there are: blocks of frames go to the backbone as their
sequence yields them.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache

import cv2
import torch
from joblib import Parallel, delayed

from data_prep.datasets.catalogue import LabelledSequence
from data_prep.faces.tracking import FaceFollower
from data_prep.preparation.sequence_files import Settings
from data_prep.preparation.sequence_work import SequenceResult, SequenceWork

CHUNKS_PER_PROCESS = 8
"""Into how many parts each process's share is cut: a process that is slow is left fewer of them."""


def in_threads(sequences: Sequence[LabelledSequence], settings: Settings, threads: int) -> Iterator[SequenceResult]:
    """Process sequences in the threads of this process.

    ``threads`` run the backbone, one on a GPU; one more goes through sequences, each from its first byte to its last
    map. While some wait for the backbone, at least one does not, so that no core is idle.

    Args:
        sequences: what to work on.
        settings: what to do; if strict, no other sequence is begun once one is damaged.
        threads: cores to keep busy.

    Yields:
        What came of each, as they end.
    """
    on_gpu = settings.backbone is not None and settings.backbone.device.type != "cpu"
    follower = _follower(settings.device) if settings.options.faces == "mtcnn" else None
    waiting = iter(sequences)
    with (
        _lone_threads(),
        ThreadPoolExecutor(1 if on_gpu else threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ThreadPoolExecutor(threads + 1, initializer=torch.set_num_threads, initargs=(1,)) as workers,
    ):
        work = SequenceWork(settings, follower, pool)
        running: set[Future[SequenceResult]] = set()
        stopped = False
        try:
            while True:
                while not stopped and len(running) <= threads and (sequence := next(waiting, None)):
                    running.add(workers.submit(work, sequence))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    stopped = stopped or (settings.options.strict and result.problem is not None)
                    yield result
        finally:
            work.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def in_processes(
    sequences: Sequence[LabelledSequence], settings: Settings, processes: int, threads: int
) -> Iterator[SequenceResult]:
    """Process sequences in several processes, each with its own detector and backbone, loaded once.

    Args:
        sequences, settings: as for :func:`in_threads`.
        processes: how many.
        threads: of each of them.

    Yields:
        What came of each, as they end.
    """
    n = max(1, -(-len(sequences) // (processes * CHUNKS_PER_PROCESS)))
    chunks = [sequences[start : start + n] for start in range(0, len(sequences), n)]
    tasks = (delayed(_chunk)(chunk, settings, threads, os.getpid()) for chunk in chunks)
    for results in Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1)(tasks):
        yield from results
        if settings.options.strict and any(result.problem for result in results):
            return


def _chunk(
    sequences: Sequence[LabelledSequence], settings: Settings, threads: int, parent: int
) -> list[SequenceResult]:
    _die_with(parent)
    return list(in_threads(sequences, settings, threads))


@cache
def _follower(device: str) -> FaceFollower:
    return FaceFollower(device)


@cache
def _die_with(parent: int) -> None:
    """End this process when its parent has ended, because a killed parent cannot stop its workers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _lone_threads() -> Iterator[None]:
    """Keep OpenCV from helpers, and put back PyTorch's number of threads, which the last one to set it would leave."""
    helpers, threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(helpers)
        torch.set_num_threads(threads)
