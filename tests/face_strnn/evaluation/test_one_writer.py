"""One process at a time writes in a run folder; a second one is told which, and a killed one keeps nobody out."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from lock_holder import lock_held
from runs import plan_of
from variants_store import CONFIG, write_store

from data_prep.errors import BadInput
from face_strnn.audit.audit import audit_run
from face_strnn.cli.program import main
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*no training sequence")

PLAN = plan_of(CONFIG, folds=3)
TRAIN = """
import sys
from pathlib import Path
from runs import plan_of
from variants_store import CONFIG
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.crossval import cross_validate

def wait(stage, history, epochs):
    print("an epoch is done", flush=True)
    sys.stdin.read()

try:
    cross_validate(FeatureStore.open(Path(sys.argv[1])), Path(sys.argv[2]), plan_of(CONFIG, folds=3), progress=wait)
except BadInput as error:
    sys.exit(str(error))
"""
TABLES = ("predictions.csv", "history.csv", "folds.csv", "config.yaml")


def start(store, out):
    paths = os.pathsep.join(path for path in sys.path if path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-W", "ignore", "-c", TRAIN, str(store.folder), str(out)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **pipes)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features") / "store")


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    return cross_validate(store, tmp_path_factory.mktemp("runs") / "undisturbed", PLAN).folder


def assert_same_run(out, undisturbed, store):
    for name in TABLES:
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert {path.name for path in out.iterdir()} == {path.name for path in undisturbed.iterdir()}
    assert audit_run(Run(out), store).passed


def test_the_first_process_ends_undisturbed_by_a_second_one_which_is_told_who_is_at_work(store, undisturbed, tmp_path):
    told = []

    def start_another(stage, history, epochs):
        if not told:
            another = start(store, tmp_path / "run")
            told.append((another.communicate(timeout=100)[1], another.returncode))

    cross_validate(store, tmp_path / "run", PLAN, progress=start_another)
    ((said, status),) = told
    assert status == 1 and f"{tmp_path / 'run'}: `face-strnn cv` is at work in it (process {os.getpid()} on " in said
    assert_same_run(tmp_path / "run", undisturbed, store)


def test_a_killed_process_is_named_while_it_lives_and_its_run_is_resumed_after_it(store, undisturbed, tmp_path):
    process = start(store, tmp_path / "run")
    try:
        assert process.stdout.readline() == "an epoch is done\n"
        with pytest.raises(BadInput, match=rf"at work in it \(process {process.pid} on .* wait until it has ended"):
            cross_validate(store, tmp_path / "run", PLAN)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "run" / ".cv.lock").is_file()
    assert ".cv.lock" not in Run(tmp_path / "run").checksums
    cross_validate(store, tmp_path / "run", PLAN)
    assert_same_run(tmp_path / "run", undisturbed, store)


def test_a_run_that_another_process_works_on_is_not_audited(undisturbed, tmp_path, capsys):
    out = shutil.copytree(undisturbed, tmp_path / "run")
    with lock_held(out, "cv") as process:
        assert main(["audit", str(out)]) == 2
    assert f"`face-strnn cv` is at work in it (process {process.pid} on " in capsys.readouterr().err
    assert not (out / "audit.json").exists()
    assert main(["audit", str(out)]) == 0


def test_a_folder_with_nothing_but_the_lock_of_a_killed_process_is_empty(store, undisturbed, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".cv.lock").write_text("process 1 on a machine that was switched off")
    cross_validate(store, tmp_path / "run", PLAN)
    assert_same_run(tmp_path / "run", undisturbed, store)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.lock").touch()
    with pytest.raises(BadInput, match="no run folder"):
        cross_validate(store, tmp_path / "other", PLAN)
