"""Training on one variant of every sequence per epoch, drawn anew for each."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from runs import cross_validated
from safetensors import safe_open
from variants_store import CONFIG, SUBJECTS, VARIANTS, write_store

from data_prep.faces.variants import Variant
from face_strnn.audit.audit import audit_run
from face_strnn.cli.program import main
from face_strnn.evaluation.run import Run
from face_strnn.training import stack as training
from face_strnn.training.samples import Samples, channel_moments, names_sha256
from face_strnn.training.stack import StackedNetwork, TrainingSamples, draw_one_of_each, train


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


class Watched:
    """Samples that note which of them are read."""

    def __init__(self, samples):
        self.samples, self.read = samples, []

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, number):
        self.read.append(int(number))
        return self.samples[number]


def trained(samples, networks, config=CONFIG, state_file=None):
    """Train on one variant an epoch; return the stack, and the numbers of the samples that each epoch read."""
    recorder, epochs = Watched(samples), []

    def note(_):
        epochs.append(recorder.read)
        recorder.read = []

    moments = channel_moments(samples)
    stack = train(
        networks, TrainingSamples(recorder, samples.labels, moments, samples.sequence_numbers), config, state_file, note
    )
    return stack, epochs


def fold_networks(samples, seed=0, folds=(1, 2)):
    return [StackedNetwork(fold, seed, samples.subjects != f"S{fold}") for fold in folds]


def test_an_epoch_takes_one_variant_of_every_training_sequence_and_another_epoch_others(store):
    samples = Samples.of(store)
    _, epochs = trained(samples, fold_networks(samples))
    assert len(epochs) == CONFIG.training.epochs
    for read in epochs:
        names = [samples.entries[n].sequence for n in read]
        assert sorted(names) == sorted({entry.sequence for entry in samples.entries}), "each sequence once"
    assert len({tuple(sorted(read)) for read in epochs}) == len(epochs), "no two epochs take the same variants"


def test_every_variant_is_drawn_and_none_more_often_than_chance_allows():
    sequences = np.repeat(np.arange(5), 3)
    drawn = np.stack([draw_one_of_each(sequences, seed=7, epoch=epoch) for epoch in range(300)])
    assert (sequences[drawn] == np.arange(5)).all()
    counts = np.bincount(drawn.ravel(), minlength=15)
    # 300 draws of three: 100 expected, standard deviation 8.2
    assert counts.min() > 60 and counts.max() < 140
    assert not np.array_equal(drawn, np.stack([draw_one_of_each(sequences, 8, epoch) for epoch in range(300)]))
    mixed = np.array([2, 0, 1, 0, 2, 2])
    for epoch in range(20):
        assert mixed[draw_one_of_each(mixed, 0, epoch)].tolist() == [0, 1, 2], "in whatever order samples come"


def test_an_epoch_has_as_many_steps_as_one_over_the_sequences_alone(store, monkeypatch):
    steps = []
    honest = training.DirectStep.__call__
    monkeypatch.setattr(training.DirectStep, "__call__", lambda self, *given: (steps.append(1), honest(self, *given)))
    samples = Samples.of(store)
    trained(samples, fold_networks(samples))
    n_batches = -(-SUBJECTS * 2 // CONFIG.training.batch_size)
    assert len(steps) == CONFIG.training.epochs * n_batches


def test_a_fold_that_is_trained_alone_draws_what_it_draws_among_others(store):
    samples = Samples.of(store)
    together, read = trained(samples, fold_networks(samples))
    for number, network in enumerate(fold_networks(samples)):
        alone, read_alone = trained(samples, [network])
        for epoch, of_both in zip(read_alone, read, strict=True):
            assert epoch == [n for n in of_both if network.train[n]]
        for name, tensor in alone.parameters.items():
            torch.testing.assert_close(tensor[0], together.parameters[name][number], rtol=1e-4, atol=1e-5)


def test_networks_of_several_seeds_are_not_trained_on_the_same_draws(store, tmp_path):
    samples = Samples.of(store)
    with pytest.raises(ValueError, match="several seeds"):
        trained(samples, [*fold_networks(samples), *fold_networks(samples, seed=1)])
    both = tmp_path / "both"
    cross_validated(store, both, CONFIG, folds=2, seeds=2, learn_from="one")
    cross_validated(store, tmp_path / "second", CONFIG, folds=2, seed=1, learn_from="one")
    of_second = pd.read_csv(both / "history.csv").query("seed == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(of_second, pd.read_csv(tmp_path / "second" / "history.csv"))


def test_a_run_that_was_stopped_goes_on_with_the_draws_of_its_next_epoch(store, tmp_path):
    samples, state = Samples.of(store), tmp_path / "state"
    whole, read = trained(samples, fold_networks(samples))

    class Killed(Exception):
        pass

    def kill(stack):
        if stack.epochs_done == 2:
            raise Killed

    of_sequences = TrainingSamples(samples, samples.labels, channel_moments(samples), samples.sequence_numbers)
    with pytest.raises(Killed):
        train(fold_networks(samples), of_sequences, CONFIG, state, kill)
    resumed, rest = trained(samples, fold_networks(samples), state_file=state)
    assert rest == read[2:]
    assert all(torch.equal(tensor, whole.parameters[name]) for name, tensor in resumed.parameters.items())


def test_a_run_that_draws_variants_lists_them_all_for_training_and_passes_its_audit(store, tmp_path):
    out = tmp_path / "run"
    cross_validated(store, out, CONFIG, folds=2, learn_from="one")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["learn_from"], summary["tested"], summary["n_samples"]) == ("one", "unrotated", 36)
    assert summary["features"]["rotations"] == [0, 2.5] and summary["features"]["flipped"] == [0]
    folds = pd.read_csv(out / "folds.csv")
    trained_on = folds[(folds["role"] == "train") & (folds["fold"] == 1)]
    assert len(trained_on) == 18 and trained_on.groupby("sequence").size().eq(3).all()
    tested = folds[folds["role"] == "test"]
    assert len(tested) == 12 and not tested["flip"].any() and tested["rotation"].eq(0).all()
    with safe_open(out / "checkpoints" / "fold-01.safetensors", framework="pt") as file:
        checksum = file.metadata()["train_sha256"]
    variants = map(Variant, trained_on["rotation"], trained_on["flip"])
    assert checksum == names_sha256(zip(trained_on["sequence"], variants, strict=True))
    assert audit_run(Run(out), store).verdict == "13 of 14 checks passed, 1 declared"
    assert audit_run(Run(out)).failed == ()


def test_it_is_refused_where_the_features_have_one_variant(tmp_path, capsys):
    single = write_store(tmp_path / "features", VARIANTS[:1])
    for options, option in ((["--learn-from", "one"], "--learn-from one"), (["--test-average"], "--test-average")):
        status = main(["cv", "--features", str(single.folder), "--out", str(tmp_path / "run"), *options])
        printed = capsys.readouterr().err
        assert status == 2 and option in printed and "--augment" in printed and not (tmp_path / "run").exists()


def test_all_variants_are_the_default_and_the_former_name_is_no_choice(store, tmp_path, capsys):
    cross_validated(store, tmp_path / "run", replace(CONFIG, training=replace(CONFIG.training, epochs=1)), folds=2)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["learn_from"] == "all"
    with pytest.raises(SystemExit) as ended:
        main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "b"), "--learn-from", "rotations"])
    assert ended.value.code == 2 and "--learn-from rotations: must be one of" in capsys.readouterr().err
