"""Backbone and STRNN trained on together: what changes, what stays, where it starts, and whose crops are read."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from random_networks import small_network
from runs import cross_validated
from safetensors import safe_open
from scipy.stats import kstest
from small_network import SMALL_NETWORK
from torch import nn

from data_prep.backbones.backbone import load_backbone
from data_prep.errors import BadInput
from data_prep.store import crops as stored_crops
from data_prep.store.store import FeatureStore
from data_prep.tensor_files import write_tensors
from face_strnn import STRNN
from face_strnn.config import Config, FinetuningConfig, NetworkConfig, TrainingConfig
from face_strnn.evaluation.settings import Plan
from face_strnn.models import reference
from face_strnn.models.strnn import MapBatch, logits
from face_strnn.models.time_steps import in_time_steps, time_steps
from face_strnn.training.from_crops import augmented as clips_module
from face_strnn.training.from_crops.augmented import AugmentedClips
from face_strnn.training.from_crops.crop_maps import maps_of_crops
from face_strnn.training.from_crops.fold import finetune_fold
from face_strnn.training.from_crops.joint import JointNetwork
from face_strnn.training.from_crops.mixup import Mixture
from face_strnn.training.from_crops.thawed import load_thawed, maps_with_gradient, split_for_finetuning
from face_strnn.training.probabilities import probabilities
from face_strnn.training.samples import Samples, channel_moments
from face_strnn.training.standardisation import Standardisation

CONFIG = Config(NetworkConfig(**SMALL_NETWORK), TrainingConfig(epochs=2, batch_size=8))


@pytest.fixture(scope="module")
def store(crop_features):
    return FeatureStore.open(crop_features)


@pytest.fixture(scope="module")
def samples(store):
    return Samples.of(store)


@pytest.fixture(scope="module")
def originals(samples):
    return [samples.entries[n] for n in samples.original_numbers]


@pytest.fixture(scope="module")
def split(vgg_file):
    return split_for_finetuning(load_backbone("vgg11", str(vgg_file()), "pool4"), "last-block")


@pytest.fixture(scope="module")
def standardisation(samples):
    return Standardisation.fit(channel_moments(samples), torch.ones(1, len(samples), dtype=torch.bool))


@pytest.fixture
def joint(split, standardisation):
    def make(start=None, of=split, **settings):
        torch.manual_seed(0)
        start = start or STRNN(**SMALL_NETWORK)
        return JointNetwork(start, standardisation, of, CONFIG, FinetuningConfig(**settings))

    return make


@pytest.fixture
def batch(store, split, originals):
    return [AugmentedClips(store, split, 2, None)(entry, 0) for entry in originals[:3]]


LABELS = torch.tensor([0, 3, 5])


def test_before_any_step_the_probabilities_are_those_of_the_frozen_networks(finetuned_run, store, originals, joint):
    """The maps are those of the store to the bit; taking the standardisation out and in again rounds."""
    frozen = finetuned_run / "frozen"
    start = STRNN.load(frozen / "checkpoints" / "fold-01.safetensors")
    network = joint(start)
    backbone = network.backbone.rejoined()
    for entry in originals:
        assert torch.equal(maps_of_crops(store, entry, backbone), store.maps(entry))
    table = pd.read_csv(frozen / "predictions.csv").query("fold == 1").set_index("sequence")
    tested = [entry for entry in originals if entry.sequence in table.index]
    found = probabilities(network.model(), [maps_of_crops(store, entry, backbone) for entry in tested])
    wanted = table.loc[[entry.sequence for entry in tested], [name for name in table if name.startswith("p_")]]
    np.testing.assert_allclose(found, wanted.to_numpy(), atol=1e-5)


def test_taking_the_standardisation_out_undoes_folding_it_in(standardisation):
    parameters = {
        name: parameter.detach().unsqueeze(0) for name, parameter in STRNN(**SMALL_NETWORK).named_parameters()
    }
    again = standardisation.take_out(standardisation.fold_in(parameters))
    for name, tensor in parameters.items():
        torch.testing.assert_close(again[name], tensor, rtol=1e-4, atol=1e-5)


LAYERS = {"last-block": [11, 13], "last-two-blocks": [6, 8, 11, 13], "all": [0, 3, 6, 8, 11, 13]}
"""The convolutions of vgg11 below pool4 that learn: one each in the first two blocks, two each in the others."""


@pytest.mark.parametrize("what", LAYERS)
def test_thawed_layers_change_and_frozen_ones_stay_to_the_bit(what, vgg_file, joint, store, originals):
    whole = load_backbone("vgg11", str(vgg_file()), "pool4")
    of = split_for_finetuning(whole, what)
    before = {name: tensor.clone() for name, tensor in whole.features.state_dict().items()}
    network = joint(of=of, backbone_rate=1e-3)
    network.step([AugmentedClips(store, of, 3, None)(entry, 0) for entry in originals[:3]], LABELS, 1.0, None)
    after = network.backbone.rejoined().features.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed == {f"{layer}.{kind}" for layer in LAYERS[what] for kind in ("weight", "bias")}
    assert all(torch.equal(whole.features.state_dict()[name], before[name]) for name in before)


def test_statistics_of_batch_norm_stay_and_its_weights_are_trained(vgg_file, joint, store, originals):
    of = split_for_finetuning(load_backbone("vgg11_bn", str(vgg_file("vgg11_bn")), "pool4"), "last-block")
    network = joint(of=of, backbone_rate=1e-3)
    before = {name: tensor.clone() for name, tensor in network.backbone.trained.state_dict().items()}
    assert not any(layer.training for layer in network.backbone.trained)
    network.step([AugmentedClips(store, of, 3, None)(entry, 0) for entry in originals[:3]], LABELS, 1.0, None)
    after = network.backbone.trained.state_dict()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert statistics and changed == before.keys() - statistics


def test_the_gradient_of_the_maps_is_that_through_the_equations_as_written():
    """Through standardised parameters, the compiled scan where there is one, and interpolation from few frames."""
    network = small_network(grid=(3, 4), length=5)
    parameters = {name: tensor.detach().float().unsqueeze(0) for name, tensor in network.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    standard = Standardisation(torch.randn(1, 4, generator=generator), torch.rand(1, 4, generator=generator) + 0.5)
    sequences = [torch.randn(n, 3, 4, 4, generator=generator).requires_grad_() for n in (3, 4, 9)]
    weights = torch.randn(3, 7, generator=generator)
    found = logits(standard.fold_in(parameters), MapBatch.of(sequences, 5), network.scan)[0]
    gradients = torch.autograd.grad((found * weights).sum(), sequences)
    for maps, weight, gradient, answer in zip(sequences, weights, gradients, found, strict=True):
        exact = maps.detach().double().requires_grad_()
        steps = torch.einsum("lf,fhwc->lhwc", time_steps(len(maps), 5).double(), exact)
        one = {name: tensor[0].double() for name, tensor in parameters.items()}
        standardised = (steps - standard.mean[0].double()) / standard.std[0].double()
        expected = reference.logits(one, standardised.flatten(1, 2), reference.corners(3, 4), torch.relu)
        torch.testing.assert_close(answer.double(), expected, rtol=1e-4, atol=1e-4)
        (wanted,) = torch.autograd.grad((expected * weight).sum(), exact)
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-3, atol=1e-4)


def test_blocks_that_are_computed_again_give_the_maps_and_gradients_of_plain_layers(vgg_file, store, originals):
    of = split_for_finetuning(load_backbone("vgg11", str(vgg_file()), "pool4"), "all")
    images = AugmentedClips(store, of, 2, None)(originals[0], 0)
    found, wanted = of.anew(), of.anew().trained
    maps = maps_with_gradient(found, images)
    plain = wanted(images).permute(0, 2, 3, 1)
    torch.testing.assert_close(maps, plain)
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(maps.shape, generator=generator)
    (maps * weights).sum().backward()
    (plain * weights).sum().backward()
    for one, other in zip(found.trained.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-3 * float(other.grad.abs().max()))


def test_bfloat16_is_of_the_gradients_alone(split, joint, batch, store, originals):
    """Gradients are those of float32 but for its rounding; weights, and the maps of a test, are float32."""
    gradients = {}
    for precision in ("float32", "bfloat16"):
        network = joint(of=replace(split, precision=precision), pull=0.0)
        network.step(batch, LABELS, 0.0)
        gradients[precision] = torch.cat([tensor.grad.flatten() for tensor in network.backbone.trained.parameters()])
    exact, rounded = gradients.values()
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.1
    assert all(tensor.dtype == torch.float32 for _, tensor in network.named())
    maps = maps_of_crops(store, originals[0], network.backbone.rejoined())
    assert torch.equal(maps, store.maps(originals[0])), "no step has moved them"


@pytest.mark.parametrize("what", ["last-block", "last-two-blocks"])
def test_the_frozen_blocks_see_each_variant_once_in_all_folds_and_epochs(
    vgg_file, joint, store, originals, tmp_path, monkeypatch, what
):
    of = split_for_finetuning(load_backbone("vgg11", str(vgg_file()), "pool4"), what)
    clips, seen = AugmentedClips(store, of, 2, tmp_path / "scratch"), []

    def counted(crops):
        seen.append(crops)
        return of.frozen_part()(crops)

    monkeypatch.setattr(clips, "_frozen", counted)
    settings = {"epochs": 4, "batch_size": 3, "frames": 2, "variants": 2}
    for fold, sequences in enumerate((originals[:4], originals[2:6]), start=1):
        finetune_fold(joint(of=of, **settings), (fold, 0), sequences, [0, 3, 5, 6], clips, tmp_path / f"{fold}")
    kept = sorted(path.name for path in (tmp_path / "scratch").iterdir())
    assert len(seen) == len(kept) <= 6 * 2 < 2 * 4 * 4, "six sequences in two variants, in 32 clips"
    channels, side = (256, 14) if what == "last-block" else (128, 28)
    assert clips(originals[3], 0).shape == (2, channels, side, side)


def test_the_first_step_moves_every_weight_by_its_rate_and_the_pull_leads_back(joint, batch):
    """Adam's first step is the rate times the gradient's sign."""
    network = joint(network_rate=1e-3, backbone_rate=1e-5)
    before = {name: tensor.detach().clone() for name, tensor in network.named()}
    network.step(batch, LABELS, 0.5, None)
    for name, tensor in network.named():
        largest = (tensor - before[name]).abs().max().item()
        assert largest == pytest.approx(0.5 * (1e-3 if name.startswith("strnn") else 1e-5), rel=0.05), name
    distances = {}
    for pull in (0.0, 1e3):
        network = joint(network_rate=1e-3, backbone_rate=1e-4, pull=pull)
        for _ in range(4):
            network.step(batch, LABELS, 1.0, None)
        distances[pull] = sum((tensor - before[name]).square().sum().item() for name, tensor in network.named())
    assert distances[1e3] < 0.5 * distances[0.0]


def test_each_block_learns_more_slowly_than_the_one_above_it(vgg_file, joint, store, originals):
    """Adam's first step moves the weights of a layer by its rate."""
    of = split_for_finetuning(load_backbone("vgg11", str(vgg_file()), "pool4"), "all")
    network = joint(of=of, backbone_rate=1e-3, falloff=0.5)
    before = {name: tensor.detach().clone() for name, tensor in network.named()}
    network.step([AugmentedClips(store, of, 2, None)(entry, 0) for entry in originals[:3]], LABELS, 1.0, None)
    after = dict(network.named())
    for layer, rate in {0: 1.25e-4, 3: 2.5e-4, 6: 5e-4, 8: 5e-4, 11: 1e-3, 13: 1e-3}.items():
        name = f"backbone/{layer}.weight"
        assert (after[name] - before[name]).abs().max().item() == pytest.approx(rate, rel=0.05), name
    rates = [group["lr"] for group in network.optimiser.param_groups]
    assert rates == pytest.approx([1e-4, 1e-3, 5e-4, 2.5e-4, 1.25e-4]), "the STRNN's own, then from above"


def test_the_share_lies_between_the_weights_before_and_those_trained(joint, batch):
    network = joint(share=0.25, backbone_rate=1e-3)
    before = {name: tensor.detach().clone() for name, tensor in network.named()}
    network.step(batch, LABELS, 1.0, None)
    trained = {name: tensor.detach().clone() for name, tensor in network.named()}
    network.set_kept_weights()
    for name, tensor in network.named():
        torch.testing.assert_close(tensor.detach(), 0.75 * before[name] + 0.25 * trained[name])


def test_the_average_over_steps_is_the_literal_weighted_mean_of_their_weights(joint, batch):
    network = joint(ema=0.8, share=0.5, backbone_rate=1e-3)
    before = {name: tensor.detach().clone() for name, tensor in network.named()}
    steps = []
    for _ in range(3):
        network.step(batch, LABELS, 1.0)
        steps.append({name: tensor.detach().clone() for name, tensor in network.named()})
    network.set_kept_weights()
    for name, tensor in network.named():
        one, two, three = (step[name].double() for step in steps)
        average = (0.64 * one + 0.8 * two + three) / 2.44
        wanted = (before[name].double() + average) / 2
        torch.testing.assert_close(tensor.detach().double(), wanted, rtol=1e-5, atol=1e-6)
        assert not torch.equal(tensor, (before[name] + steps[-1][name]) / 2), name


def test_without_settings_for_them_the_weights_of_the_last_step_are_kept_to_the_bit(joint, batch):
    network = joint()
    network.step(batch, LABELS, 1.0)
    trained = {name: tensor.detach().clone() for name, tensor in network.named()}
    network.set_kept_weights()
    assert network.average is None and all(torch.equal(tensor, trained[name]) for name, tensor in network.named())


@pytest.mark.parametrize("interpolation", ["linear", "zero-pad"])
def test_mixed_sequences_are_the_literal_mixtures_of_their_time_steps(interpolation):
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randn(n, 3, 4, 5, generator=generator) for n in (2, 9, 4)]
    mixed = Mixture(torch.tensor([2, 0, 1]), 0.7).of_maps(MapBatch.of(sequences, 6, interpolation))
    found = in_time_steps(mixed.frames.flatten(1).unsqueeze(0), mixed.steps)[0].view(3, 6, 3, 4, 5)

    def at_steps(maps):
        weights = time_steps(len(maps), 6, interpolation)
        padded = torch.cat((maps, torch.zeros(weights.shape[1] - len(maps), 3, 4, 5)))
        return torch.einsum("lf,fhwc->lhwc", weights, padded)

    for number, partner in enumerate((2, 0, 1)):
        wanted = 0.7 * at_steps(sequences[number]) + 0.3 * at_steps(sequences[partner])
        torch.testing.assert_close(found[number], wanted)


def test_the_loss_of_mixed_sequences_is_that_of_the_equations_with_both_labels(joint, batch, standardisation):
    network = joint()
    parameters = {name: tensor[0].detach().double() for name, tensor in network.parameters.items()}
    maps = maps_with_gradient(network.backbone, torch.cat(batch)).detach().double().split([len(one) for one in batch])
    steps = [torch.einsum("lf,fhwc->lhwc", time_steps(len(one), 8).double(), one) for one in maps]
    partners, share, entropies, right = [1, 2, 0], 0.6, [], []
    for number, partner in enumerate(partners):
        mixed = share * steps[number] + (1 - share) * steps[partner]
        standard = (mixed - standardisation.mean[0].double()) / standardisation.std[0].double()
        outputs = reference.logits(parameters, standard.flatten(1, 2), reference.corners(7, 7), torch.relu)
        labels = LABELS[number], LABELS[partner]
        entropies.append(-share * outputs.log_softmax(0)[labels[0]] - (1 - share) * outputs.log_softmax(0)[labels[1]])
        right.append(share * (outputs.argmax() == labels[0]) + (1 - share) * (outputs.argmax() == labels[1]))
    _, entropy, accuracy = network.step(batch, LABELS, 1.0, None, Mixture(torch.tensor(partners), share))
    assert entropy.item() == pytest.approx(float(sum(entropies)) / 3, rel=1e-4)
    assert accuracy.item() == pytest.approx(float(sum(right)) / 3)


def test_mixtures_depend_on_their_key_alone_and_follow_the_beta_distribution():
    drawn = [Mixture.draw(0.4, 5, f"mixup 0 1 0 {step}") for step in range(200)]
    again = Mixture.draw(0.4, 5, "mixup 0 1 0 7")
    assert (again.share, again.partners.tolist()) == (drawn[7].share, drawn[7].partners.tolist())
    assert all(sorted(one.partners.tolist()) == list(range(5)) for one in drawn)
    assert kstest([one.share for one in drawn], "beta", (0.4, 0.4)).pvalue > 0.01


def test_fine_tuning_that_diverges_keeps_the_state_of_the_epoch_before(joint, store, split, originals, tmp_path):
    clips, state_file = AugmentedClips(store, split, 2, None), tmp_path / "fold-02.finetuning"

    def finetune(progress=None, **settings):
        labels = [number % 7 for number in range(len(originals))]
        network = joint(epochs=3, batch_size=4, warmup=0, **settings)
        return finetune_fold(network, (2, 5), originals, labels, clips, state_file, progress)

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(interrupt)
    before = state_file.read_bytes()
    for _ in range(2):
        with pytest.raises(BadInput, match=r"^fine-tuning, fold 2, seed 5, epoch 2: .*1e\+38 .*parameters not"):
            finetune(network_rate=1e38)
        assert state_file.read_bytes() == before


def test_kept_maps_of_the_frozen_part_are_those_computed_anew(store, split, originals, tmp_path):
    kept, anew = AugmentedClips(store, split, 3, tmp_path / "scratch"), AugmentedClips(store, split, 3, None)
    for number in (0, 1):
        first = kept(originals[0], number)
        assert torch.equal(first, anew(originals[0], number)) and torch.equal(first, kept(originals[0], number))
    assert not torch.equal(kept(originals[0], 0), kept(originals[0], 1))
    assert len(list((tmp_path / "scratch").iterdir())) == 2


def test_no_crop_of_a_held_out_subject_is_read_in_the_training_of_its_fold(
    store, originals, vgg_file, tmp_path, monkeypatch
):
    read, by_fold = [], {}

    def counted(of, entry):
        read.append(entry)
        return stored_crops.read_crops(of, entry)

    def after_epoch(stage, history, _):
        if stage == "fine-tuning":
            by_fold.setdefault(history[-1].fold, []).extend(read)
            read.clear()

    monkeypatch.setattr(clips_module, "read_crops", counted)
    finetuning = FinetuningConfig(epochs=2, frames=2, variants=0)
    cross_validated(
        store, tmp_path / "run", CONFIG, after_epoch, str(vgg_file()),
        folds=3, finetune="last-block", finetuning=finetuning,
    )  # fmt: skip
    roles = pd.read_csv(tmp_path / "run" / "folds.csv")
    for fold in (1, 2, 3):
        tested = set(roles.query("fold == @fold and role == 'test'")["subject"])
        train_mask = roles.query("fold == @fold and role == 'train'").drop_duplicates("sequence")["sequence"]
        assert not tested & {entry.subject for entry in by_fold[fold]}
        # Drawn anew in every epoch, so that each training sequence is read once in each.
        assert sorted(entry.sequence for entry in by_fold[fold]) == sorted([*train_mask, *train_mask])
    assert len(originals) == 11


@pytest.mark.parametrize(
    ("more", "precision"), [({}, "float32"), ({"ema": 0.9, "mixup": 0.4, "share": 0.8}, "bfloat16")]
)
def test_a_training_that_stops_after_an_epoch_goes_on_to_the_same_bits(
    joint, store, split, originals, tmp_path, more, precision
):
    split = replace(split, precision=precision)
    settings = {"epochs": 2, "batch_size": 2, "frames": 2, "variants": 2, "backbone_rate": 1e-3, **more}
    variants = AugmentedClips(store, split, 2, tmp_path / "scratch")

    def trained(name, stop_after=None):
        def record(done):
            if done.epochs_done == stop_after:
                raise KeyboardInterrupt

        network = joint(of=split, **settings)
        done = finetune_fold(network, (1, 0), originals[:4], [0, 3, 5, 6], variants, tmp_path / name, record)
        return {key: tensor.detach() for key, tensor in network.named()}, done

    whole, history = trained("whole")
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", stop_after=1)
    resumed, after = trained("stopped")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert (after.history, after.read) == (history.history, history.read)


@pytest.mark.parametrize(
    "damage",
    [
        lambda average: average.update(n_steps=3),
        lambda average: average["tensors"]["strnn/temporal.V"].fill_(torch.nan),
        lambda average: average["tensors"].pop("backbone/11.weight"),
    ],
)
def test_a_state_with_another_average_is_refused(joint, store, split, originals, tmp_path, damage):
    """The average of two steps: an epoch of four sequences, two a step."""
    arguments = (originals[:4], [0, 3, 5, 6], AugmentedClips(store, split, 2, None))
    settings = {"epochs": 1, "batch_size": 2, "ema": 0.9}
    finetune_fold(joint(**settings), (1, 0), *arguments, tmp_path / "state")
    finetune_fold(joint(**settings), (1, 0), *arguments, tmp_path / "state")
    state = torch.load(tmp_path / "state")
    assert state["average"]["n_steps"] == 2
    damage(state["average"])
    torch.save(state, tmp_path / "state")
    with pytest.raises(BadInput, match="state: damaged"):
        finetune_fold(joint(**settings), (1, 0), *arguments, tmp_path / "state")


def test_a_damaged_state_and_weights_of_another_backbone_are_refused(joint, store, split, originals, tmp_path):
    (tmp_path / "state").write_bytes(b"not a state")
    arguments = (originals, [0] * len(originals), AugmentedClips(store, split, 2, None))
    with pytest.raises(BadInput, match="state: damaged"):
        finetune_fold(joint(), (1, 0), *arguments, tmp_path / "state")
    file = tmp_path / "fold-01.backbone.safetensors"
    write_tensors(file, {"features.11.weight": torch.zeros(3)}, {})
    with pytest.raises(BadInput, match=r"fold-01.backbone.safetensors: not the thawed weights of this backbone"):
        load_thawed(file, split)
    with pytest.raises(BadInput, match="not the thawed weights"):
        load_thawed(tmp_path / "absent", split)


def test_the_files_beside_the_checkpoints_hold_the_thawed_weights_alone(finetuned_run, split):
    for fold in (1, 2):
        path = finetuned_run / "checkpoints" / f"fold-{fold:02d}.backbone.safetensors"
        with safe_open(path, framework="pt") as file:
            assert set(file.keys()) == {f"features.{layer}.{kind}" for layer in (11, 13) for kind in ("weight", "bias")}
            assert file.metadata()["fold"] == str(fold)
        layers = zip(load_thawed(path, split).features, split.whole.features, strict=True)
        changed = [not torch.equal(one.weight, other.weight) for one, other in layers if isinstance(one, nn.Conv2d)]
        assert changed == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"frames": 1}, {"share": 0.0}, {"dropout": 1.0}, {"pull": -1.0}, {"backbone_rate": -1e-5},
        {"falloff": 0.0}, {"falloff": 1.5}, {"falloff": float("nan")},
        {"ema": 1.0}, {"ema": -0.1}, {"mixup": -0.2}, {"mixup": float("inf")}, {"precision": "float16"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(BadInput, match=f"finetuning: {next(iter(wrong))} is"):
        replace(FinetuningConfig(), **wrong)


def test_an_unknown_part_of_the_backbone_is_named_with_those_that_are_known(split):
    for refused in (lambda: split_for_finetuning(split.whole, "head"), lambda: Plan(finetune="head")):
        with pytest.raises(BadInput, match=r"--finetune head: must be one of .*last-block, last-two-blocks, all"):
            refused()


def test_an_ablation_is_finetuned_too(store, vgg_file, tmp_path):
    config = replace(
        CONFIG, network=replace(CONFIG.network, variant="trnn"), training=replace(CONFIG.training, epochs=1)
    )
    finetuning = FinetuningConfig(epochs=1, frames=2, backbone_rate=1e-3)
    summary = cross_validated(
        store, tmp_path / "run", config, weights=str(vgg_file()),
        folds=2, finetune="last-block", finetuning=finetuning,
    )  # fmt: skip
    assert summary.variant == "trnn"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["finetune"] == "last-block"
