"""Another process that holds the lock of a folder."""

import subprocess
import sys
from contextlib import contextmanager

HOLD = """
import sys
from pathlib import Path
from data_prep.store.lock import sole_writer
with sole_writer(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def lock_held(folder, program):
    """Start a process that holds the lock until the block ends; yield it."""
    command = [sys.executable, "-c", HOLD, str(folder), program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()
