"""Training that diverges ends by name, and its state on disk stays that of the last good epoch."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import plan_of
from safetensors.torch import load_file, save_file
from variants_store import CONFIG, NETWORK, write_store

from data_prep.backbones.split import split_backbone
from data_prep.errors import BadInput
from data_prep.pretraining.learning import PretrainingOptions, learn
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn import STRNNClassifier
from face_strnn.cli.program import main
from face_strnn.config import Config, TrainingConfig
from face_strnn.evaluation.crossval import cross_validate
from face_strnn.experiments.pooled_baselines import LSTMClassifier
from face_strnn.experiments.reproduction import Reproduction
from face_strnn.training.samples import Samples, channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

pytestmark = pytest.mark.filterwarnings("ignore:.*no training sequence")

WILD = Config(NETWORK, TrainingConfig(epochs=4, batch_size=5, learning_rate=1e30, gradient_clip=math.inf, warmup=0.0))
OUTCOMES = ("summary.json", "predictions.csv", "history.csv", "checkpoints/*.safetensors")


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "features")


def outcomes(run):
    return [path.name for pattern in OUTCOMES for path in run.glob(pattern)]


def test_a_run_that_diverges_ends_with_status_2_by_name_and_does_so_again(store, tmp_path, capsys):
    options = ["--features", str(store.folder), "--out", str(tmp_path / "run"), "--folds", "3", "--seed", "7"]
    options += ["--training.learning_rate", "1e30", "--training.gradient_clip", ".inf", "--epochs", "2"]
    said = []
    for _ in range(2):
        assert main(["cv", *options]) == 2
        said.append(capsys.readouterr().err.splitlines()[-1])
        assert not outcomes(tmp_path / "run")
    assert said[0] == said[1]
    for named in ("fold 1, seed 7, epoch 1", "training.learning_rate 1e+30", "another --out"):
        assert named in said[0]


class Interrupted(Exception):
    """Stands for whatever ends a run in the middle."""


def trained(store, config, state_file, progress=None):
    samples = Samples.of(store)
    folds = [StackedNetwork(fold, 7, samples.sequence_numbers % 3 != fold - 1) for fold in (1, 2, 3)]
    moments = channel_moments(samples)
    return train(folds, TrainingSamples(samples, samples.labels, moments), config, state_file, progress)


@pytest.fixture
def second_epoch(store, tmp_path):
    """The state of a sound training after its second epoch."""

    def interrupt(stack):
        if stack.epochs_done == 2:
            raise Interrupted

    state_file = tmp_path / "networks-01-03.training"
    with pytest.raises(Interrupted):
        trained(store, CONFIG, state_file, interrupt)
    return state_file


def test_the_state_of_the_last_good_epoch_stays(store, second_epoch):
    before = second_epoch.read_bytes()
    for _ in range(2):
        with pytest.raises(BadInput, match="seed 7, epoch 3"):
            trained(store, WILD, second_epoch)
        assert second_epoch.read_bytes() == before


@pytest.mark.parametrize("name", ["spatial.G", "temporal.V"])
def test_the_fold_that_diverged_is_named_among_those_that_did_not(store, second_epoch, name):
    state = torch.load(second_epoch, weights_only=True)
    state["parameters"][name][1].view(-1)[0] = math.nan
    torch.save(state, second_epoch)
    with pytest.raises(BadInput, match=r"^fold 2, seed 7, epoch 3: .* loss and parameters not finite"):
        trained(store, CONFIG, second_epoch)


def test_parameters_that_the_last_step_of_an_epoch_breaks_are_not_saved(store, tmp_path):
    """In a single step the loss is still that of the initial parameters."""
    wild = replace(WILD.training, batch_size=100, epochs=1, learning_rate=1e38, weight_decay=9)
    with pytest.raises(BadInput, match=r"epoch 1: .*e\+38: parameters not finite"):
        trained(store, replace(WILD, training=wild), tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_networks_whose_outputs_on_held_out_sequences_are_not_finite_give_no_figures(store, tmp_path):
    out, plan = tmp_path / "run", plan_of(CONFIG, folds=3)
    cross_validate(store, out, plan)
    for name in ("summary.json", "predictions.csv"):
        (out / name).unlink()
    path = out / "checkpoints" / "fold-02.safetensors"
    whole = facts_of(path)
    save_file({name: torch.full_like(tensor, 3e38) for name, tensor in load_file(path).items()}, path, whole)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"fold 2, seed 0.* 0.02: probabilities of held-out sequences not finite"):
            cross_validate(store, out, plan)
        assert not (out / "summary.json").exists() and not (out / "predictions.csv").exists()


def facts_of(path):
    header = path.read_bytes()
    size = int.from_bytes(header[:8], "little")
    return json.loads(header[8 : 8 + size])["__metadata__"]


def random_sequences():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(4, 2, 2, 3)) for _ in range(8)], ["fear", "anger"] * 4


def test_the_classifier_says_that_it_diverged():
    sizes = {"spatial_hidden": 4, "temporal_hidden": 4, "length": 4, "epochs": 2, "batch_size": 4}
    wild = STRNNClassifier(**sizes, random_state=3, learning_rate=1e30, gradient_clip=math.inf)
    with pytest.raises(BadInput, match=r"seed 3, epoch 1: .* diverged at training.learning_rate 1e\+30"):
        wild.fit(*random_sequences())
    with pytest.raises(BadInput, match=r"^X: every channel of the maps is constant"):
        STRNNClassifier(**sizes).fit([np.full((40, 9, 9, 3), 0.1) for _ in range(8)], ["fear", "anger"] * 4)
    sound = STRNNClassifier(**sizes, random_state=3).fit(*random_sequences())
    with torch.no_grad():
        for parameter in sound.network_.parameters():
            parameter.fill_(3e38)
    with pytest.raises(BadInput, match=r"random_state 3, .* learning_rate 0.002: probabilities not finite"):
        sound.predict(random_sequences()[0])


def test_a_pooled_baseline_that_diverges_is_named_with_its_fold_and_leaves_no_predictions(store, tmp_path, monkeypatch):
    monkeypatch.setattr(LSTMClassifier, "settings", ({"learning_rate": 1e-3}, {"learning_rate": 1e30}))
    whole = Reproduction(store, tmp_path / "out", plan_of(CONFIG, folds=3), ["lstm"])
    cell = whole.cells[-1]
    cell.folder.parent.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"fold 1, BidirectionalLSTM, seed 0, epoch \d.* 1e\+30: .*--only"):
            whole.run(cell)
        assert [path.name for path in cell.folder.iterdir()] == ["settings.yaml"]


class OneLayer:
    """A task of pretraining: the squared distance of a layer's output to 1; it turns wild in an epoch."""

    steps = 2

    def __init__(self, wild_from):
        self.heads, self._wild_from, self.wild = torch.nn.Linear(2, 1), wild_from, False

    def batches(self, epoch):
        self.wild = epoch >= self._wild_from
        yield from torch.ones(2, 4, 2)

    def loss(self, batch, heads_only):
        return (self.heads(batch) - 1).square().mean() * (math.inf if self.wild else 1)

    def validation_loss(self, epoch):
        return 1.0


def test_pretraining_that_diverges_keeps_the_checkpoint_of_the_epoch_before(vgg_file, tmp_path):
    backbone = split_backbone("vgg11", str(vgg_file()), "pool4", 1)
    checkpoint, options = tmp_path / "checkpoint.pt", PretrainingOptions(3, rate=0.5, seed=4)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"pretraining, seed 4, epoch 3: .* 0.5: loss and parameters not finite"):
            learn(backbone, OneLayer(wild_from=2), options, checkpoint)
        state = torch.load(checkpoint, weights_only=True)
        assert len(state["history"]) == 2 and all(tensor.isfinite().all() for tensor in state["modules"].values())


@pytest.mark.parametrize("level", [0.0, 0.1, 700.0])
def test_maps_that_are_constant_for_a_folds_training_are_refused_by_name(level, tmp_path):
    store = FeatureStore.create(tmp_path / "features", "random", {"data": "synthetic"})
    rng = np.random.default_rng(0)
    for subject in range(6):
        for emotion in ("anger", "fear"):
            varied = subject in (1, 4)  # the subjects of the second of three folds
            maps = rng.normal(size=(3, 2, 2, 4)) if varied else np.full((3, 2, 2, 4), level)
            entry = StoredSequence(f"S{subject}_{emotion}", f"S{subject}", emotion, 0, 3, "0" * 64)
            store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    with pytest.raises(BadInput, match=f"^{store.folder}: every channel .* constant .* fold 2, .* make the maps again"):
        cross_validate(store, tmp_path / "run", plan_of(CONFIG, folds=3))
    assert not outcomes(tmp_path / "run")


def test_moments_keep_a_deviation_that_is_small_beside_the_mean():
    rng = np.random.default_rng(0)
    maps = [torch.from_numpy(2000 + rng.integers(0, 2, size=(30, 7, 7, 3))).half() for _ in range(4)]
    untouched = [sample.clone() for sample in maps]
    count, total, squares = channel_moments(maps).sum(0)
    values = np.concatenate([sample.numpy().astype(np.float64).reshape(-1, 3) for sample in maps])
    deviation = (squares / count - (total / count).square()).sqrt()
    np.testing.assert_allclose(deviation, values.std(0), rtol=1e-6)
    doubles = [sample.double() for sample in maps]
    assert torch.equal(channel_moments(doubles), channel_moments(maps))
    unchanged = [torch.equal(one.half(), other) for one, other in zip(doubles, untouched, strict=True)]
    assert all(unchanged)
