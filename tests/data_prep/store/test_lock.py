"""One writer at a time: who is told what, and when nobody is kept out."""

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest
from filelock import FileLock

from data_prep.errors import BadInput
from data_prep.store.lock import LOCK_FILE, sole_writer

HOLD = "import sys, time; from pathlib import Path; from data_prep.store.lock import sole_writer\n"
HOLD += "with sole_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_named_and_a_killed_one_keeps_nobody_out(holder, tmp_path):
    with (
        pytest.raises(BadInput, match=f"process {holder.pid} on {socket.gethostname()}.*wait until"),
        sole_writer(tmp_path),
    ):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with sole_writer(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_lock_is_worked_on(number, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with sole_writer(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert FileLock(tmp_path / LOCK_FILE, timeout=0).acquire()


def test_other_errors_are_passed_on(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), sole_writer(tmp_path / "file"):
        pass
