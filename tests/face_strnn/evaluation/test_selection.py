"""Which epoch counts, several seeds, and the precision of the arithmetic: on random maps and a tiny network."""

import io
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import variants_store
from rich.console import Console
from runs import cross_validated

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput, DataWarning
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.cli.report import print_summary
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.folds import Fold, missing_classes, trained_classes
from face_strnn.evaluation.learners.stacked_on_maps import assign_to_stacks
from face_strnn.evaluation.run import Run
from face_strnn.models.strnn import STRNN, MapBatch, logits
from face_strnn.report.page import render_report
from face_strnn.training.gpu_memory import bytes_of_network, networks_that_fit
from face_strnn.training.samples import Samples

SUBJECTS = 8
NETWORK = replace(variants_store.NETWORK, length=5)
CONFIG = Config(NETWORK, TrainingConfig(epochs=6, batch_size=6, learning_rate=0.02))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Eight subjects of three random sequences each, and one rotated copy of every sequence."""
    rng = np.random.default_rng(0)
    store = FeatureStore.create(tmp_path_factory.mktemp("features"), "random", {"data": "synthetic"})
    for subject in range(SUBJECTS):
        for number in range(3):
            emotion = EMOTIONS[(subject + number) % 3]
            for rotation in (0, 7):
                name, frames = f"S{subject}_{number}", 2 + number
                entry = StoredSequence(name, f"S{subject}", emotion, rotation, frames, "0" * 64)
                store.write(entry, torch.from_numpy(rng.normal(size=(frames, 2, 2, 4))).half())
    store.complete()
    return FeatureStore.open(store.folder)


def run(store, out, config=CONFIG, **options):
    return cross_validated(store, out, config, folds=4, **options)


def test_inner_selection_sets_aside_subjects_that_the_network_is_neither_trained_nor_tested_on(store, tmp_path):
    run(store, tmp_path / "inner", selection="inner")
    folds = pd.read_csv(tmp_path / "inner" / "folds.csv")
    for _, rows in folds.groupby("fold"):
        subjects = {role: set(part["subject"]) for role, part in rows.groupby("role")}
        assert set(subjects) == {"train", "validation", "test"}
        assert not subjects["train"] & subjects["validation"]
        assert not (subjects["train"] | subjects["validation"]) & subjects["test"]
        assert (rows.loc[rows["role"] != "train", "rotation"] == 0).all()


def accuracy_on(run_folder, store, fold, role):
    samples = Samples.of(store)
    folds = pd.read_csv(run_folder / "folds.csv").query("fold == @fold and role == @role")
    names = set(folds["sequence"])
    chosen = [n for n in samples.original_numbers if samples.entries[n].sequence in names]
    network = STRNN.load(run_folder / "checkpoints" / f"fold-{fold:02d}.safetensors")
    predictions = network.logits_of_sequences([samples[n] for n in chosen]).argmax(1)
    return (predictions == samples.labels[chosen]).double().mean().item()


@pytest.mark.parametrize(
    ("selection", "role", "column"),
    [("inner", "validation", "validation_accuracy"), ("oracle", "test", "test_accuracy")],
)
def test_the_kept_network_is_of_the_epoch_with_the_best_validation_accuracy(store, tmp_path, selection, role, column):
    run(store, tmp_path / selection, selection=selection)
    history = pd.read_csv(tmp_path / selection / "history.csv")
    for fold, rows in history.groupby("fold"):
        assert accuracy_on(tmp_path / selection, store, fold, role) == pytest.approx(rows[column].max())


def test_the_last_epoch_is_tested_by_default_and_nothing_is_measured_on_test_subjects(store, tmp_path):
    summary = run(store, tmp_path / "last")
    assert summary.selection == "last"
    assert list(pd.read_csv(tmp_path / "last" / "history.csv")) == [
        "fold", "seed", "epoch", "loss", "cross_entropy", "train_accuracy"
    ]  # fmt: skip


def test_inner_selection_of_two_folds_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match="at least 3 folds"):
        cross_validated(store, tmp_path / "two", CONFIG, folds=2, selection="inner")


def test_a_chosen_epoch_survives_an_interruption(store, tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(_, history, __):
        if history[-1].epoch == 4:
            raise Interrupted

    run(store, tmp_path / "whole", selection="inner")
    with pytest.raises(Interrupted):
        run(store, tmp_path / "cut", selection="inner", progress=interrupt)
    run(store, tmp_path / "cut", selection="inner")
    for name in ("predictions.csv", "history.csv", "checkpoints/fold-03.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_each_of_several_seeds_is_the_run_with_that_seed_alone(store, tmp_path):
    together = run(store, tmp_path / "three", seed=5, seeds=3)
    predictions = pd.read_csv(tmp_path / "three" / "predictions.csv")
    assert together.seeds == 3 and len(together.seed_accuracies) == 3
    assert together.accuracy == pytest.approx(np.mean(together.seed_accuracies))
    assert together.n_sequences == 24
    for number, seed in enumerate((5, 6, 7)):
        alone = run(store, tmp_path / f"seed-{seed}", seed=seed)
        assert alone.accuracy == together.seed_accuracies[number]
        expected = pd.read_csv(tmp_path / f"seed-{seed}" / "predictions.csv")
        found = predictions.query("seed == @seed").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-6)
    assert len(list((tmp_path / "three" / "checkpoints").glob("fold-*.safetensors"))) == 12


# A rectified unit close to 0 may be on in one type and off in the other, which all gradients feel, the logits hardly.
@pytest.mark.parametrize(("activation", "tolerance"), [("relu", 0.2), ("sigmoid", 0.02)])
def test_bfloat16_gives_the_logits_and_gradients_of_float64_within_its_rounding(activation, tolerance):
    torch.manual_seed(0)
    network = STRNN(**{**asdict(NETWORK), "activation": activation})
    batch = MapBatch.of([torch.randn(frames, 2, 2, 4) for frames in (3, 7, 2)], NETWORK.length)

    def measure(precision, number_type):
        parameters = {name: tensor.detach().to(number_type)[None] for name, tensor in network.named_parameters()}
        parameters = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
        outputs = logits(parameters, batch, network.scan, activation, precision)
        outputs.square().sum().backward()
        return {"logits": outputs.detach(), **{name: tensor.grad for name, tensor in parameters.items()}}

    exact, rounded = measure("float32", torch.float64), measure("bfloat16", torch.float32)
    for name, expected in exact.items():
        assert rounded[name].dtype == torch.float32
        error = (rounded[name].double() - expected).norm() / expected.norm()
        assert 1e-6 < error < tolerance, f"{name}: {error:.1e}"


def test_a_finished_run_is_left_as_it_is(store, tmp_path):
    first = run(store, tmp_path / "run")
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.safetensors")}
    assert run(store, tmp_path / "run") == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.safetensors")} == written


def test_the_page_and_the_table_give_the_std_over_seeds(store, tmp_path):
    summary = run(store, tmp_path / "run", seeds=2)
    page = render_report(Run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "2 seeds from 0" in page and "each by every seed" in page
    console = Console(record=True, width=100, file=io.StringIO())
    print_summary(summary, console)
    low, high = summary.seed_accuracies
    std = abs(high - low) / 2**0.5
    assert f"(std {100 * std:.1f})" in console.export_text()


def test_classes_that_training_lacks_are_warned_of_by_name(store, tmp_path):
    with pytest.warns(DataWarning, match="all folds: no training sequence shows") as caught:
        summary = run(store, tmp_path / "run")
    assert [str(one.message) for one in caught if one.category is DataWarning] == summary.warnings
    assert all(emotion in summary.warnings[0] for emotion in EMOTIONS[3:])
    assert not any(emotion in summary.warnings[0] for emotion in EMOTIONS[:3])
    page = render_report(Run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "Warning: all folds" in page.replace("</strong>", "")


def test_a_class_of_one_subject_is_lacking_in_the_fold_that_holds_it_out():
    shown = ("anger", "fear", "anger", "fear", "surprise", "anger")
    samples = SimpleNamespace(entries=[SimpleNamespace(emotion=emotion) for emotion in shown])
    held_out = np.arange(6) % 3
    folds = [Fold(n + 1, np.flatnonzero(held_out != n), None, np.flatnonzero(held_out == n)) for n in range(3)]
    assert missing_classes(trained_classes(folds, samples), ("anger", "fear", "surprise")) == [
        "fold 2: no training sequence shows surprise; its network cannot learn it"
    ]


def test_a_stack_whose_training_was_begun_stays_together(tmp_path):
    assert assign_to_stacks(25, 10, tmp_path, apart=25) == [(0, 10), (10, 20), (20, 25)]
    (tmp_path / "networks-11-14.training").touch()
    assert assign_to_stacks(25, 10, tmp_path, apart=25) == [(0, 10), (10, 14), (14, 24), (24, 25)]
    (tmp_path / "networks-01-25.training").touch()
    (tmp_path / "networks-11-14.training").unlink()
    assert assign_to_stacks(25, 10, tmp_path, apart=25) == [(0, 25)]


def test_as_many_networks_are_stacked_as_the_memory_holds_and_none_is_said_before_anything_begins():
    config = Config(NetworkConfig().for_maps((7, 7, 512), n_classes=7))
    one = bytes_of_network(config, 400)
    assert networks_that_fit(config, 400, int(7.5 * one / 0.9)) == 7
    with pytest.raises(BadInput, match=r"batches of 16 sequences takes .* GiB .*lower training.batch_size"):
        networks_that_fit(config, 400, one // 2)
