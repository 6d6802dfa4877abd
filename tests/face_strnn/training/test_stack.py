"""Training a stack of folds, on random maps and a tiny network: the numbers mean nothing, only that they agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train
from face_strnn.training.standardisation import Standardisation

N, FOLDS = 18, 3
NETWORK = NetworkConfig(
    input_size=5,
    grid=(2, 3),
    spatial_hidden=4,
    spatial_output=3,
    spatial_projection=2,
    n_classes=7,
    temporal_hidden=5,
    length=6,
    temporal_projection=2,
)
TRAINING = TrainingConfig(epochs=4, batch_size=5, learning_rate=0.01, label_smoothing=0.05)
CONFIG = Config(NETWORK, TRAINING)
LABELS = torch.arange(N) % 7


def random_maps(seed=0):
    rng = np.random.default_rng(seed)
    scale, shift = np.array([1, 3, 0.5, 2, 1]), np.array([0, 2, 0.5, -1, 4])
    return [
        torch.from_numpy(rng.normal(size=(int(rng.integers(2, 9)), 2, 3, 5)) * scale + shift).half() for _ in range(N)
    ]


def fold_networks(folds=range(1, FOLDS + 1), seed=0):
    """Fold f holds out every third sample."""
    return [StackedNetwork(fold, seed, np.arange(N) % FOLDS != fold - 1) for fold in folds]


def run(networks=None, maps=None, config=CONFIG, **options):
    maps = maps or random_maps()
    return train(networks or fold_networks(), TrainingSamples(maps, LABELS, channel_moments(maps)), config, **options)


def parameters_of(model):
    return dict(model.named_parameters())


def assert_identical(first, second):
    for name, tensor in parameters_of(first).items():
        assert torch.equal(tensor, parameters_of(second)[name]), name


@pytest.mark.parametrize("batch_size", [N, 5, 1])
def test_a_fold_of_a_stack_learns_what_it_learns_alone(batch_size):
    config = replace(CONFIG, training=replace(TRAINING, batch_size=batch_size))
    together = run(config=config)
    for number, network in enumerate(fold_networks()):
        alone = run([network], config=config)
        for name, tensor in parameters_of(alone.models()[0]).items():
            in_stack = parameters_of(together.models()[number])[name]
            torch.testing.assert_close(in_stack, tensor, rtol=2e-4, atol=2e-5, msg=f"fold {network.fold}: {name}")


def test_training_changes_every_parameter_and_lowers_the_loss():
    begun, trained = run(config=replace(CONFIG, training=replace(TRAINING, epochs=1))), run()
    for name, tensor in trained.parameters.items():
        assert (tensor != begun.parameters[name]).any(), name
    long = run(config=replace(CONFIG, training=replace(TRAINING, epochs=60)))
    for fold in range(1, FOLDS + 1):
        losses = [epoch.cross_entropy for epoch in long.history if epoch.fold == fold]
        assert len(losses) == 60 and losses[-1] < 0.7 * losses[0]


def test_maps_of_held_out_samples_do_not_influence_a_folds_model_at_all():
    untouched, wild = random_maps(), random_maps()
    rng = np.random.default_rng(9)
    for number in range(0, N, FOLDS):  # held out by fold 1
        wild[number] = torch.from_numpy(rng.uniform(-6e4, 6e4, wild[number].shape)).half()
    before, after = run(maps=untouched), run(maps=wild)
    assert_identical(before.models()[0], after.models()[0])
    one = [vars(epoch) for epoch in before.history if epoch.fold == 1]
    assert one == [vars(epoch) for epoch in after.history if epoch.fold == 1]
    changed = parameters_of(after.models()[1])["spatial.U"]
    assert not torch.equal(changed, parameters_of(before.models()[1])["spatial.U"]), "the others do learn from them"


def test_labels_of_held_out_samples_do_not_influence_a_folds_model_at_all():
    maps, labels = random_maps(), LABELS.clone()
    labels[::FOLDS] = (labels[::FOLDS] + 3) % 7
    moments = channel_moments(maps)
    before, after = (train(fold_networks(), TrainingSamples(maps, one, moments), CONFIG) for one in (LABELS, labels))
    assert_identical(before.models()[0], after.models()[0])


def test_standardisation_is_that_of_a_networks_own_training_samples():
    maps = random_maps()
    fitted = Standardisation.fit(channel_moments(maps), torch.from_numpy(np.stack([m.train for m in fold_networks()])))
    for number, network in enumerate(fold_networks()):
        values = np.concatenate([maps[n].double().numpy().reshape(-1, 5) for n in np.flatnonzero(network.train)])
        assert np.allclose(fitted.mean[number], values.mean(0), atol=1e-3)
        assert np.allclose(fitted.std[number], values.std(0), rtol=1e-3)


def test_a_channel_that_is_always_zero_is_not_scaled_up():
    maps = random_maps()
    for sample in maps:
        sample[..., 2] = 0
    stack = run(maps=maps)
    assert stack.standardisation.std[:, 2].min() > 0.01
    assert all(tensor.isfinite().all() for tensor in stack.models()[0].parameters())


def test_a_model_for_maps_as_stored_equals_the_network_on_standardised_maps():
    maps = [sample.float() for sample in random_maps()]
    stack = run()
    for number, model in enumerate(stack.models()):
        mean, std = stack.standardisation.mean[number], stack.standardisation.std[number]
        found = model.logits_of_sequences(maps)
        model.set_parameters({name: tensor[number].detach() for name, tensor in stack.parameters.items()})
        expected = model.logits_of_sequences([(sample - mean) / std for sample in maps])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_network():
    first, second, other = run(), run(), run(fold_networks(seed=1))
    for one, two, three in zip(first.models(), second.models(), other.models(), strict=True):
        assert_identical(one, two)
        assert not torch.equal(one.spatial.W, three.spatial.W)
    assert [vars(epoch) for epoch in first.history] == [vars(epoch) for epoch in second.history]


class Interrupted(Exception):
    """Stands for whatever ends a run in the middle."""


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_run_taken_up_in_the_middle_ends_in_the_same_bits(tmp_path, epochs_before):
    def interrupt(stack):
        if stack.epochs_done == epochs_before:
            raise Interrupted

    state_file = tmp_path / "folds-01-03.training"
    with pytest.raises(Interrupted):
        run(state_file=state_file, progress=interrupt)
    seen = []
    resumed = run(state_file=state_file, progress=lambda stack: seen.append(stack.epochs_done))
    assert seen == list(range(epochs_before + 1, TRAINING.epochs + 1))
    undisturbed = run()
    for one, two in zip(resumed.models(), undisturbed.models(), strict=True):
        assert_identical(one, two)
    assert [vars(epoch) for epoch in resumed.history] == [vars(epoch) for epoch in undisturbed.history]
    assert [file.name for file in tmp_path.iterdir()] == [state_file.name]


def test_history_states_the_accuracy_over_the_training_samples():
    stack = run(config=replace(CONFIG, training=replace(TRAINING, batch_size=N, learning_rate=1e-12)))
    maps = random_maps()
    for number, (network, model) in enumerate(zip(fold_networks(), stack.models(), strict=True)):
        predictions = model.logits_of_sequences(maps).argmax(1)
        correct = (predictions == LABELS)[torch.from_numpy(network.train)].double().mean().item()
        epoch = stack.history[-FOLDS:][number]
        assert (epoch.fold, epoch.epoch) == (network.fold, TRAINING.epochs)
        assert epoch.train_accuracy == pytest.approx(correct)
