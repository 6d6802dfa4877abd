"""One writer at a time: who is told what, and when nobody is kept out."""

import errno
import os
import signal
import socket

import pytest
from filelock import FileLock
from lock_holder import lock_held

from data_prep.errors import BadInput
from data_prep.store.lock import sole_writer


def test_another_process_is_named_and_a_killed_one_keeps_nobody_out(tmp_path):
    with lock_held(tmp_path, "cv") as holder:
        named = f"`face-strnn cv` is at work in it .process {holder.pid} on {socket.gethostname()}.*wait until"
        with pytest.raises(BadInput, match=named), sole_writer(tmp_path, "cv"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with sole_writer(tmp_path, "cv"):
            assert str(os.getpid()) in (tmp_path / ".cv.lock").read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_lock_is_worked_on(number, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with sole_writer(tmp_path, "cv"):
        assert (tmp_path / ".cv.lock").exists()
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert FileLock(tmp_path / ".cv.lock", timeout=0).acquire()


def test_other_errors_are_passed_on(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), sole_writer(tmp_path / "file", "cv"):
        pass
