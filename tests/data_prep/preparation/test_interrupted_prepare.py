"""`prepare` interrupted, killed, out of disk space, or started twice: finished files are kept, none is half."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from log_lines import without_log
from prepared import files_below, prepared

from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


@pytest.mark.parametrize("lost", ["maps", "faces", "both", "tables", "one rotation"])
def test_work_is_taken_up_after_any_stage(features, prepare_options, tmp_path, lost):
    out = shutil.copytree(features, tmp_path / "features")
    patterns = {
        "maps": ["S010_*.safetensors"],
        "faces": ["S010_*.track"],
        "both": ["S01*.safetensors", "S01*.track", "index.csv"],
        "tables": ["index.csv", "faces.csv", "problems.csv", "left_out.txt", "contents.json"],
        "one rotation": ["S010_002_rot+07.safetensors", "S010_002.track"],
    }
    for pattern in patterns[lost]:
        assert list(out.rglob(pattern))
        for path in out.rglob(pattern):
            path.unlink()
    for folder, half in ((FeatureStore, ".S010_002_rot+00.safetensors"), (FaceStore, "tracks/.S010_002.track")):
        (folder.open(out).folder / f"{half}.1.unfinished").write_bytes(b"half")
        (folder.open(out).folder / ".prepare.lock").write_text("process 1 on a machine that was switched off")
    assert main(["prepare", "--out", str(out), *prepare_options]) == 0
    assert files_below(out) == files_below(features)


def start(out, *options, **keywords):
    command = [sys.executable, "-m", "face_strnn.cli", "prepare", "--out", str(out), *map(str, options)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=_heed_ctrl_c, **{**quiet, **keywords})


def _heed_ctrl_c():
    """A shell that runs the tests in the background hands on that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kill_until_done(out, options, delays):
    """Start the program again and again, kill it a while after its store has appeared; return the number of kills."""
    for kills, delay in enumerate(delays):
        process = start(out, *options)
        try:
            while process.poll() is None and not list(out.glob("*/.prepare.lock")):
                time.sleep(0.01)
            time.sleep(delay)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        if process.returncode == 0:
            return kills
    assert main(["prepare", "--out", str(out), *map(str, options)]) == 0
    return len(delays)


def test_a_run_that_is_killed_at_any_point_ends_in_the_bytes_of_an_undisturbed_one(options, tmp_path):
    options = [*options[:-1], "[-7,7]"]
    prepared(tmp_path / "undisturbed", *options)
    delays = np.random.default_rng(0).uniform(0, 0.5, 4).tolist()
    assert kill_until_done(tmp_path / "killed", options, delays) > 0
    assert files_below(tmp_path / "killed") == files_below(tmp_path / "undisturbed")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_leaves_no_halves_no_lock_and_a_store_that_no_run_takes_for_whole(
    jobs, options, tmp_path, capsys
):
    out = tmp_path / "out"
    process = start(out, *options[:-1], "[-12,-7,7,12]", "--jobs", jobs)
    try:
        while process.poll() is None and not list(out.glob("*/tracks")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and "the same command resumes it" in said and "Traceback" not in said
    assert not [name for name in files_below(out) if "unfinished" in name or "lock" in name]
    assert main(["cv", "--features", str(out), "--out", str(tmp_path / "run")]) == 2
    assert "`face-strnn prepare` has not finished it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_many_kills_end_in_the_bytes_of_an_undisturbed_run(features, prepare_options, tmp_path, jobs):
    delays = np.random.default_rng(1).uniform(0, 2.5, 25).tolist()
    assert kill_until_done(tmp_path / "killed", [*prepare_options, "--jobs", jobs], delays) > 3
    assert files_below(tmp_path / "killed") == files_below(features)


def test_a_second_writer_is_told_who_is_at_work_and_the_first_goes_on(options, tmp_path, capsys):
    prepared(tmp_path / "undisturbed", *options)
    out = tmp_path / "out"
    first = start(out, *options)
    try:
        while len(locks := list(out.glob("*/.prepare.lock"))) < 2 or not all(lock.read_text() for lock in locks):
            assert first.poll() is None
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGSTOP)
        capsys.readouterr()
        assert main(["prepare", "--out", str(out), *options]) == 2
        said = capsys.readouterr().err
        assert f"process {first.pid}" in said and "at work" in said and len(said.splitlines()) == 1
        assert main(["cv", "--features", str(out), "--out", str(tmp_path / "run"), "--partial"]) == 2
        assert f"process {first.pid}" in capsys.readouterr().err, "nor is it read meanwhile"
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.communicate()
    assert files_below(out) == files_below(tmp_path / "undisturbed")


def test_a_full_disk_is_said_and_the_store_goes_on_later(options, tmp_path):
    prepared(tmp_path / "undisturbed", *options)
    out = tmp_path / "out"
    # No file may grow beyond 100 KB, which stops a map file in the middle as a full disk does.
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    program = limit + "from face_strnn.cli.program import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "prepare", "--out", str(out), *options]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 2, ended.stderr
    assert "nothing more can be written" in ended.stderr and "make room" in ended.stderr
    assert len(without_log(ended.stderr)) == 1
    assert not [name for name in files_below(out) if "unfinished" in name or "lock" in name]
    assert not list(out.rglob("*.safetensors"))
    assert prepared(out, *options)[0] == 0
    assert files_below(out) == files_below(tmp_path / "undisturbed")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_disk_that_was_full_from_the_beginning_leaves_no_lock(options, tmp_path, monkeypatch, capsys):
    def full(path, text):
        with Path("/dev/full").open("w") as device:
            device.write(text)

    prepared(tmp_path / "undisturbed", *options)
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.store.sequence_store.write_text_whole", full)
        status = main(["prepare", "--out", str(tmp_path / "undisturbed"), *options])
    assert status == 2 and "nothing more can be written (No space left on device)" in capsys.readouterr().err
    assert not list((tmp_path / "undisturbed").rglob(".*"))
