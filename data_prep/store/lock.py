"""One writer at a time in a folder: a lock that vanishes with the process that holds it, however that ends."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data_prep.errors import BadInput

LOCK_FILES = ".*.lock"
"""Pattern of the locks' names: ``.prepare.lock`` where ``face-strnn prepare`` is at work, and so on."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of file systems without locks. There, renaming still makes the writing of each file atomic."""

_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}

_READERS_WAIT = 1.0
"""Seconds: who only asks whether somebody writes holds the lock for an instant."""


@contextmanager
def sole_writer(folder: Path, program: str) -> Iterator[None]:
    """Hold a program's lock of a folder while the block runs.

    The kernel releases it when the process ends, also by SIGKILL. The file names the process that holds it, and is
    removed at the end; a file left by a killed process locks nobody out.

    Args:
        folder: the folder, which exists.
        program: the program's command that writes in it, such as ``"prepare"``.

    Raises:
        BadInput: another process holds it. The message says which.
    """
    path = _lock_file(folder, program)
    lock = FileLock(path, timeout=_READERS_WAIT, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BadInput(
            f"{_at_work(folder, program)}; wait until it has ended and run this again, or give another --out"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        with suppress(PermissionError):  # nor write to it
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        with suppress(PermissionError):  # nor remove it
            # While the lock is held: whoever opened the file meanwhile finds that it is no longer the folder's.
            path.unlink(missing_ok=True)
        lock.release()


def refuse_writer(folder: Path, program: str) -> None:
    """Refuse a folder in which another process holds a program's lock.

    Args:
        folder, program: see :func:`sole_writer`.

    Raises:
        BadInput: the lock is held. The message says by which process.
    """
    path = _lock_file(folder, program)
    if not path.is_file():
        return
    lock = FileLock(path, timeout=_READERS_WAIT, fallback_to_soft=False)
    try:
        with lock:
            return  # left by a killed process
    except Timeout as error:
        raise BadInput(f"{_at_work(folder, program)}; wait until it has ended") from error
    except OSError as error:  # a file system without locks, or one that cannot be written to
        if error.errno not in _NO_LOCKS | _READ_ONLY:
            raise


def _lock_file(folder: Path, program: str) -> Path:
    return folder / LOCK_FILES.replace("*", program)


def _at_work(folder: Path, program: str) -> str:
    holder = ""
    with suppress(OSError):  # Windows lets nobody else read it
        holder = _lock_file(folder, program).read_text(encoding="utf-8")
    return f"{folder}: `face-strnn {program}` is at work in it ({holder or 'another process'})"
