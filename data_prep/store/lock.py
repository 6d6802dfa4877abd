"""One writer at a time in a folder: a lock that vanishes with the process that holds it, however that ends."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from data_prep.errors import BadInput

LOCK_FILE = ".prepare.lock"

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What file systems answer that cannot lock. There every file still appears whole, by its rename."""


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    The kernel lets go of it when the process ends, by SIGKILL too. The file says who holds it, and is removed at the
    end; one that a killed process left locks nobody out.

    Raises:
        BadInput: another process holds it. The message says which.
    """
    path = folder / LOCK_FILE
    file = _locked(path)
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        # Removed before it is let go of: whoever opened it meanwhile finds that it is no longer the folder's.
        path.unlink(missing_ok=True)
        file.close()


def _locked(path: Path) -> TextIO:
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            if not isinstance(error, BlockingIOError):
                raise
            raise BadInput(
                f"{path.parent}: `face-strnn prepare` is at work in it ({holder}); "
                "wait until it has ended and run this again, or give another --out"
            ) from error
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()
