"""How far work is: lines with a time in a log, bars on a terminal, and nothing of either on standard output."""

import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from datetime import datetime

import pytest
from log_lines import LINE

from face_strnn.cli.program import main
from face_strnn.cli.progress import ProgressLines, Step, training_progress
from face_strnn.evaluation.learners.learner import Extent
from face_strnn.training.stack import Epoch


def texts_of(log):
    """What the lines of a log say, each of which has a time of the last minutes before it."""
    lines = [LINE.fullmatch(line) for line in log.splitlines()]
    assert all(lines), log
    for line in lines:
        assert 0 <= (datetime.now() - datetime.fromisoformat(line[1])).total_seconds() < 600
    return [line[2] for line in lines]


class Work:
    """Steps at chosen seconds, and the lines that they give."""

    def __init__(self, every=60.0, heading=""):
        self.seconds, self.log = 0.0, io.StringIO()
        self.lines = ProgressLines(self.log, heading, every, clock=lambda: self.seconds)

    def step(self, seconds, *step, **options):
        self.seconds = seconds
        self.lines.show(Step(*step, **options))

    def texts(self):
        return texts_of(self.log.getvalue())


def test_counted_work_gets_one_line_a_minute_and_one_for_its_end():
    work = Work()
    for done in range(1, 101):
        work.step(2.0 * done, "pool4", done, 100, "sequences")
    assert work.texts() == [
        "pool4: 30 of 100 sequences, about 2 min left",
        "pool4: 60 of 100 sequences, about 80 s left",
        "pool4: 90 of 100 sequences, about 20 s left",
        "pool4: 100 of 100 sequences",
    ]


def test_lines_come_as_often_as_is_asked_for():
    work = Work(every=0)
    for done in range(1, 4):
        work.step(done, "drawing", done, 3, "sequences")
    assert len(work.texts()) == 3


def test_work_of_unknown_length_that_ends_early_gets_its_last_line_too():
    work = Work()
    work.step(1, "recognising", 25, None, "frames")
    work.step(2, "recognising", 50, None, "frames")
    assert work.texts() == []
    work.lines.close()
    work.lines.close()
    assert work.texts() == ["recognising: 50 frames"]


def test_the_last_step_of_a_stage_that_another_follows_gets_its_line():
    work = Work()
    work.step(0.5, "learning", 6, 10, "steps")
    work.step(1.5, "learning", 7, 10, "steps")
    work.step(2, "probing", 1, 10, "people")
    assert work.texts() == ["learning: 7 of 10 steps, about 3 s left"]


def test_what_is_there_already_does_not_make_the_rest_look_quick():
    """Three hundred sequences are kept in ten seconds; each of the others takes ten."""
    work = Work()
    for done in range(1, 301):
        work.step(done / 30, "pool4", done, 400, "sequences")
    for done in range(301, 308):
        work.step(10 + 10 * (done - 300), "pool4", done, 400, "sequences")
    said = [re.fullmatch(r"pool4: \d+ of 400 sequences, about (\d+) min left", text) for text in work.texts()]
    assert len(said) == 1 and 15 <= int(said[0][1]) <= 17


def test_every_epoch_gets_a_line_with_the_time_that_all_stacks_may_take():
    work = Work(heading="2 of 3: SRNN only, seed 0")
    for part in (1, 2):
        for epoch in (1, 2, 3):
            note = f"loss {1 / epoch:.3f}"
            seconds = 60 * (3 * (part - 1) + epoch)
            work.step(seconds, f"fold-stack {part} of 2", epoch, 3, "epoch", each=True, note=note, part=part, parts=2)
    assert work.texts() == [
        f"2 of 3: SRNN only, seed 0: fold-stack {part} of 2, epoch {epoch} of 3, loss {loss}{left}"
        for part, epoch, loss, left in [
            (1, 1, "1.000", ", about 5 min left"),
            (1, 2, "0.500", ", about 4 min left"),
            (1, 3, "0.333", ", about 3 min left"),
            (2, 1, "1.000", ", about 2 min left"),
            (2, 2, "0.500", ", about 60 s left"),
            (2, 3, "0.333", ""),
        ]
    ]


def test_a_resumed_training_is_timed_by_its_own_epochs():
    work = Work()
    work.step(3600, "fold-stack 1 of 1", 8, 10, "epoch", each=True)
    assert work.texts() == ["fold-stack 1 of 1, epoch 8 of 10, about 2 h 0 min left"]


def test_lines_hold_no_control_characters_of_names():
    work = Work()
    work.step(1, "pool4 of vgg16 (\x1b[31m\nred.pth)", 1, 1, "sequences")
    assert work.texts() == ["pool4 of vgg16 (?[31m?red.pth): 1 of 1 sequences"]


def test_memory_of_many_steps_stays_small():
    work = Work()
    for done in range(20_000):
        work.step(done / 100, "recognising", done, 10**6, "frames")
    (pace,) = work.lines._paces.values()
    assert len(pace._seen) < 1000


def test_fine_tuning_says_which_network_of_how_many(capsys):
    with training_progress() as show:
        show("fine-tuning", [Epoch(2, 4, 1, 0.5, 0.4, 0.75)], Extent(1, 2, 3, 10))
    (text,) = texts_of(capsys.readouterr().err)
    said = "fine-tuning, network 3 of 10 (fold 2, seed 4), epoch 1 of 2, loss 0.500, training accuracy 75.0 %"
    assert text.startswith(said)


@pytest.fixture
def logged(capfd):
    """Run the program; return what it says on standard output, and the texts of its log."""

    def call(*arguments):
        capfd.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        out, err = capfd.readouterr()
        err = "".join(line for line in err.splitlines(True) if not line.startswith("face-strnn cv: warning: fold "))
        assert "\x1b" not in err and not any(LINE.match(line) for line in out.splitlines())
        return out, texts_of(err)

    return call


def test_a_cross_validation_logs_epochs_tests_and_baselines(logged, cv_options, tmp_path):
    out, texts = logged("cv", "--out", tmp_path / "run", "--epochs", "2", *cv_options)
    history = [line.split(",") for line in (tmp_path / "run" / "history.csv").read_text().splitlines()]
    for epoch, text in zip((1, 2), texts, strict=False):
        of_epoch = [dict(zip(history[0], row, strict=True)) for row in history[1:] if int(row[2]) == epoch]
        loss, accuracy = (sum(float(row[name]) for row in of_epoch) / 2 for name in ("loss", "train_accuracy"))
        assert text.startswith(
            f"fold-stack 1 of 1 (folds 1 to 2, seed 0), epoch {epoch} of 2, loss {loss:.3f}, training accuracy "
            f"{100 * accuracy:.1f} %"
        )
    assert "left" in texts[0] and "left" not in texts[1]
    rest = [text.split(", about")[0] for text in texts[2:]]
    assert rest == [
        *(f"testing, network {done} of 2" for done in (1, 2)),
        *(f"baseline linear SVM on the apex frame's maps, fold {done} of 2" for done in (1, 2)),
        *(f"baseline chance: the most frequent emotion, fold {done} of 2" for done in (1, 2)),
    ]
    assert "accuracy %" in out and "report:" in out


@pytest.mark.usefixtures("synthetic_list")
def test_prepare_check_and_synth_log_their_end(logged, features, prepare_options, synthetic, tmp_path):
    _, texts = logged("prepare", "--out", features, *prepare_options)
    assert texts == ["pool4 of vgg11 (vgg11-0.pth), 3 variants: 11 of 11 sequences"]
    out, texts = logged("check", "--root", synthetic, "--dataset", "ckplus", "--json")
    assert texts == ["decoding: 11 of 11 sequences"] and json.loads(out)
    out, texts = logged("synth", "--out", tmp_path / "set", "--subjects", "1")
    assert texts == ["drawing: 1 of 1 sequences"] and "1 synthetic sequences" in out


@pytest.mark.slow
def test_saliency_logs_its_end(logged, run, features, tmp_path):
    own = shutil.copytree(run, tmp_path / "run")
    _, texts = logged("saliency", own, "--features", features, "--steps", "2")
    assert texts == ["attributing held-out sequences: 11 of 11"]


def test_a_comparison_logs_every_fold_of_every_store(logged, features, crop_features):
    stores = [next(folder.glob("*pool4*")) for folder in (features, crop_features)]
    out, texts = logged("backbones", "--compare", "--features", *stores, "--folds", "2", "--json")
    assert len(json.loads(out)["stores"]) == 2
    folds = [(store, fold) for store in (1, 2) for fold in (1, 2)]
    for (store, fold), text in zip(folds, texts, strict=True):
        assert text.startswith(f"store {store} of 2 ({stores[store - 1].name}), outer fold {fold} of 2")


def test_a_prediction_logs_its_end(logged, run, synthetic, vgg_file, tmp_path):
    frames = next((synthetic / "cohn-kanade-images" / "S010").iterdir())
    n_frames = len(list(frames.iterdir()))
    options = ["--run", run, "--weights-file", vgg_file(), "--out", tmp_path, "--json"]
    out, texts = logged("predict", *options, frames)
    assert json.loads(out)["frames"] == n_frames
    assert texts == [f"recognising: {n_frames} of {n_frames} frames"]


def test_a_terminal_gets_a_bar_and_standard_output_does_not(tmp_path):
    command = [sys.executable, "-m", "face_strnn.cli", "synth", "--out", str(tmp_path / "set"), "--subjects", "1"]
    terminal, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as ran:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
        out = ran.stdout.read()
    os.close(terminal)
    assert ran.returncode == 0
    assert b"drawing" in shown and b"1/1" in shown and b"\x1b" in shown
    assert b"\x1b" not in out and b"1/1" not in out and b"1 synthetic sequences" in out
