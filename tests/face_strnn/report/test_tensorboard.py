"""Training curves for TensorBoard."""

import sys

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.errors import BadInput
from face_strnn.cli.program import main
from face_strnn.evaluation.run import Run
from face_strnn.report.tensorboard import TrainingScalars


def curves(folder):
    """What TensorBoard reads of one network: (epoch, value) pairs by name."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(point.step, point.value) for point in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_every_epoch_of_every_network_is_written_as_the_history_has_it(cv_options, tmp_path):
    run = tmp_path / "run"
    options = ["--epochs", "2", "--seeds", "2", "--folds", "3", "--selection", "inner", "--tensorboard"]
    assert main(["cv", "--out", str(run), *cv_options, *options]) == 0
    history = pd.read_csv(run / "history.csv")
    assert len(list((run / "tensorboard").iterdir())) == 6
    for (fold, seed), epochs in history.groupby(["fold", "seed"]):
        found = curves(run / "tensorboard" / f"fold-{fold:02d}-seed-{seed}")
        assert set(found) == set(history) - {"fold", "seed", "epoch"}
        assert {"loss", "cross_entropy", "train_accuracy", "validation_accuracy"} <= set(found)
        for name, points in found.items():
            assert [step for step, _ in points] == [1, 2]
            assert [value for _, value in points] == pytest.approx(epochs[name].tolist(), rel=1e-6)


def test_a_run_that_was_made_without_them_gets_them_from_its_history_once(run, tmp_path):
    scalars = TrainingScalars(tmp_path / "tensorboard", "last")
    for _ in range(2):
        scalars.complete(Run(run))
    found = curves(tmp_path / "tensorboard" / "fold-02-seed-5")
    assert [step for step, _ in found["loss"]] == [1, 2, 3]
    assert set(found) == {"loss", "cross_entropy", "train_accuracy"}


def test_without_the_package_the_option_says_what_to_install_before_anything_begins(
    cv_options, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BadInput, match=r"face-strnn\[tensorboard\]"):
        TrainingScalars(tmp_path, "last")
    assert main(["cv", "--out", str(tmp_path / "run"), *cv_options, "--tensorboard"]) == 2
    said = capsys.readouterr().err
    assert "not installed" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
