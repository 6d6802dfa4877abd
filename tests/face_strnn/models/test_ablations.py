"""SRNN only and TRNN only: against the reference in float64, in a stack, through training, as files and in an audit."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from random_networks import assert_same, assert_same_gradients, random_maps, small_network
from runs import cross_validated

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn import STRNN, STRNNClassifier
from face_strnn.audit.audit import audit_run
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.run import Run
from face_strnn.models import reference
from face_strnn.models.strnn import MapBatch, logits
from face_strnn.models.time_steps import Taps, time_steps
from face_strnn.training.loss import sparsity_penalty
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

VARIANTS = ["srnn", "trnn"]
GRID, LENGTH = (2, 3), 4
NETWORK = NetworkConfig(
    input_size=4, grid=GRID, spatial_hidden=3, spatial_output=5, spatial_projection=2, temporal_hidden=6, length=LENGTH,
    temporal_projection=2, n_classes=7,
)  # fmt: skip


def network_of(variant, activation="relu", seed=0):
    return small_network(GRID, activation, LENGTH, seed, variant)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_ablation_and_its_gradients_equal_the_reference(variant, activation):
    network, maps = network_of(variant, activation), random_maps(2, LENGTH, *GRID, 4).requires_grad_()
    parameters = dict(network.named_parameters())
    assert {name: tuple(tensor.shape) for name, tensor in parameters.items()} == network.config.shapes()
    expected = torch.stack([reference.forward(network, one)[0] for one in maps])
    assert_same(network(maps), expected)
    assert_same_gradients(network(maps), expected, {**parameters, "maps": maps})


def test_an_ablation_has_no_parameter_of_the_layer_that_it_lacks():
    srnn, trnn = (set(network_of(variant).state_dict()) for variant in VARIANTS)
    whole = set(STRNN(**asdict(NETWORK)).state_dict())
    assert whole - srnn == {"temporal.W", "temporal.G"} and not srnn - whole
    assert whole - trnn == {"spatial.W", "spatial.G", "spatial.V"} and not trnn - whole
    with pytest.raises(BadInput, match="variant is drnn"):
        NetworkConfig(variant="drnn")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stack_of_an_ablation_equals_its_networks_alone_with_dropout_and_either_form_of_time_steps(variant):
    networks = [network_of(variant, seed=seed) for seed in range(3)]
    stacked = {
        name: torch.stack([dict(network.named_parameters())[name] for network in networks])
        for name, _ in networks[0].named_parameters()
    }
    sequences = [random_maps(frames, *GRID, 4, seed=frames) for frames in (1, 3, 9)]
    batch = MapBatch.of(sequences, LENGTH)
    dropout = torch.rand(3, 3, networks[0].config.n_temporal_features, dtype=torch.float64)
    together = logits(stacked, batch, networks[0].scan, dropout=dropout)
    for number, network in enumerate(networks):
        alone = {name: tensor[None] for name, tensor in network.named_parameters()}
        assert_same(together[number], logits(alone, batch, network.scan, dropout=dropout[number, None])[0])
        assert not torch.allclose(together[number], network.logits_of_sequences(sequences))
    taps, first = [], 0
    for frames in (1, 3, 9):
        one = Taps.of(time_steps(frames, LENGTH))
        taps.append((one.frame + first * (one.weight > 0), one.weight))
        first += frames
    flat = MapBatch(batch.frames, Taps(*(torch.cat(parts) for parts in zip(*taps, strict=True)), LENGTH))
    assert_same(logits(stacked, flat, networks[0].scan, dropout=dropout), together)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_is_the_ablation_within_its_rounding(variant):
    network = network_of(variant).float()
    batch = MapBatch.of([random_maps(5, *GRID, 4, dtype=torch.float32)], LENGTH)
    parameters = {name: tensor.detach()[None] for name, tensor in network.named_parameters()}
    exact, rounded = (logits(parameters, batch, network.scan, precision=one) for one in ("float32", "bfloat16"))
    assert rounded.dtype == torch.float32
    assert 1e-6 < (exact - rounded).norm() / exact.norm() < 0.1


def test_the_penalty_is_that_of_the_projection_that_is_left():
    for variant, name, factor in (("srnn", "spatial.G", 0.5), ("trnn", "temporal.G", 0.25)):
        parameters = {key: tensor[None] for key, tensor in network_of(variant).named_parameters()}
        expected = factor * sum(abs(value) for value in parameters[name].flatten().tolist())
        assert sparsity_penalty(parameters, 0.5, 0.25).item() == pytest.approx(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_ablation_learns_in_a_stack_what_it_learns_alone_and_is_saved_for_maps_as_stored(variant, tmp_path):
    rng = np.random.default_rng(0)
    maps = [torch.from_numpy(3 * rng.normal(size=(2 + n % 4, *GRID, 4)) + 5).half() for n in range(12)]
    labels, moments = torch.arange(12) % 7, channel_moments(maps)
    config = Config(replace(NETWORK, variant=variant), TrainingConfig(epochs=3, batch_size=5, learning_rate=0.01))
    networks = [StackedNetwork(fold, 0, np.arange(12) % 3 != fold - 1) for fold in (1, 2, 3)]
    stack = train(networks, TrainingSamples(maps, labels, moments), config)
    for number, network in enumerate(networks):
        alone = train([network], TrainingSamples(maps, labels, moments), config)
        for name, tensor in alone.parameters.items():
            torch.testing.assert_close(stack.parameters[name][number], tensor[0], rtol=2e-4, atol=2e-5, msg=name)
    model = stack.models()[0]
    found = model.logits_of_sequences(maps)
    model.save(tmp_path / "model.safetensors")
    loaded = STRNN.load(tmp_path / "model.safetensors")
    assert loaded.config.variant == variant and torch.equal(loaded.logits_of_sequences(maps), found)
    mean, std = stack.standardisation.mean[0], stack.standardisation.std[0]
    model.set_parameters({name: tensor[0].detach() for name, tensor in stack.parameters.items()})
    standardised = model.logits_of_sequences([(one.float() - mean) / std for one in maps])
    torch.testing.assert_close(found, standardised, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same twelve random sequences of six subjects twice: with a rotated copy of each, and without."""
    made = []
    for rotations in ((0, 7), (0,)):
        rng = np.random.default_rng(0)
        store = FeatureStore.create(tmp_path_factory.mktemp("features"), "random", {"data": "synthetic"})
        for number in range(12):
            for rotation in (0, 7):
                frames = torch.from_numpy(rng.normal(size=(2 + number % 3, *GRID, 4))).half()
                entry = StoredSequence(
                    f"S{number // 2}_{number % 2}", f"S{number // 2}", EMOTIONS[number % 3], rotation, len(frames),
                    "0" * 64,
                )  # fmt: skip
                if rotation in rotations:
                    store.write(entry, frames)
        store.complete()
        made.append(FeatureStore.open(store.folder))
    return made


@pytest.mark.filterwarnings("ignore:all folds")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_run_of_an_ablation_passes_its_audit(stores, tmp_path, variant):
    config = Config(replace(NETWORK, variant=variant), TrainingConfig(epochs=2, batch_size=5))
    summary = cross_validated(stores[0], tmp_path / "run", config, folds=3)
    assert summary.variant == variant
    assert audit_run(Run(tmp_path / "run"), stores[0]).verdict == "13 of 14 checks passed, 1 declared"


@pytest.mark.filterwarnings("ignore:all folds")
def test_without_augmentation_a_store_with_rotated_copies_teaches_what_one_without_them_does(stores, tmp_path):
    config = Config(NETWORK, TrainingConfig(epochs=2, batch_size=5))
    cross_validated(stores[0], tmp_path / "left-out", config, folds=3, learn_from="original")
    cross_validated(stores[1], tmp_path / "lacking", config, folds=3)
    cross_validated(stores[0], tmp_path / "with", config, folds=3)
    left_out, lacking, with_them = (
        (tmp_path / name / "predictions.csv").read_bytes() for name in ("left-out", "lacking", "with")
    )
    assert left_out == lacking != with_them
    assert audit_run(Run(tmp_path / "left-out"), stores[0]).verdict == "13 of 14 checks passed, 1 declared"
    assert "rotation" not in {check.name for check in audit_run(Run(tmp_path / "with"), stores[0]).failed}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_classifier_takes_a_variant(variant):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(3, *GRID, 4)) for _ in range(6)]
    sizes = {"spatial_hidden": 3, "temporal_hidden": 4, "length": LENGTH, "epochs": 1, "dropout": 0.5}
    classifier = STRNNClassifier(variant=variant, **sizes).fit(X, [0, 1] * 3)
    assert classifier.network_.config.variant == variant and classifier.predict_proba(X).shape == (6, 2)
