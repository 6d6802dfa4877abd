"""The baselines of a reproduction: nothing held out reaches what they fit, scale or choose."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.baselines import apex_svm, baseline_predictions
from face_strnn.evaluation.nested import nested_predictions
from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.evaluation.settings import Plan
from face_strnn.experiments.pooled_baselines import (
    COSTS,
    BidirectionalLSTM,
    CNNClassifier,
    LSTMClassifier,
    TemporalCNN,
    logistic_regression,
    pooled_network,
)
from face_strnn.training.samples import Samples

N_SUBJECTS, PER_SUBJECT, FOLDS, INNER_FOLDS = 8, 3, 4, 3
CONFIG = Config(NetworkConfig(input_size=3, grid=(2, 2), length=6), TrainingConfig(epochs=3, batch_size=8))


def samples_in(folder, changed=()):
    """Random maps, each with a copy; the maps and labels of ``changed`` subjects are others."""
    store = FeatureStore.create(folder, "random", {"data": "synthetic"})
    rng = np.random.default_rng(0)
    for subject in range(N_SUBJECTS):
        for number in range(PER_SUBJECT):
            for rotation in (0, 7):
                label = (subject + number) % 3
                maps = rng.normal(size=(3 + number, 2, 2, 3))
                maps[..., label] += np.linspace(0, 1.5, len(maps))[:, None, None]
                if subject in changed:
                    maps, label = 500 * maps + 100, (label + 1) % 3
                entry = StoredSequence(
                    f"S{subject}_{number}", f"S{subject}", EMOTIONS[label], rotation, len(maps), "0" * 64
                )
                store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    return Samples.of(store)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return samples_in(tmp_path_factory.mktemp("samples"))


def first_fold(samples):
    """Numbers of the training samples and of the unrotated test samples, of subjects S0 and S4."""
    train, test = next(SubjectKFold(FOLDS).split(samples.labels, groups=samples.subjects))
    return train, np.intersect1d(test, samples.original_numbers)


def small_network(kind, samples, config=CONFIG, seed=0):
    size = {LSTMClassifier: ("hidden", (3, 5)), CNNClassifier: ("kernel", (1, 3))}[kind]
    settings = tuple({size[0]: value, "learning_rate": 0.02} for value in size[1])
    return pooled_network(type(kind.__name__, (kind,), {"settings": settings}), samples, config, seed)


BASELINES = {
    "svm": apex_svm,
    "logistic": logistic_regression,
    "lstm": lambda samples: small_network(LSTMClassifier, samples),
    "cnn": lambda samples: small_network(CNNClassifier, samples),
}


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_maps_and_labels_change_no_answer_and_no_setting(samples, tmp_path, name):
    """S0 and S4 are held out; what S4 shows and how it is labelled must not matter to the answers for S0."""
    train, test = first_fold(samples)
    assert set(samples.subjects[test]) == {"S0", "S4"}
    before, setting = BASELINES[name](samples)(train, test)
    after, other_setting = BASELINES[name](samples_in(tmp_path, changed=(4,)))(train, test)
    of_s0 = samples.subjects[test] == "S0"
    assert before[of_s0].tolist() == after[of_s0].tolist() and setting == other_setting


@pytest.mark.parametrize("name", ["logistic", "lstm", "cnn"])
def test_scalers_see_the_samples_that_are_taught_and_no_others(samples, monkeypatch, name):
    seen, fit = [], StandardScaler.fit

    def validation(self, X, *rest):
        seen.append(np.array(X))
        return fit(self, X, *rest)

    monkeypatch.setattr(StandardScaler, "fit", validation)
    train, test = first_fold(samples)
    BASELINES[name](samples)(train, test)
    per_sample = 1 if name == "logistic" else CONFIG.network.length
    inner = [len(fitted) for fitted, _ in SubjectKFold(INNER_FOLDS).split(train, groups=samples.subjects[train])]
    n_settings = len(COSTS) if name == "logistic" else 2
    assert [len(rows) for rows in seen] == [per_sample * count for count in inner * n_settings + [len(train)]]
    # Time steps are weighted frames: a channel's range over those of the training subjects bounds what may be seen.
    means = np.stack([samples[n].float().mean((0, 1, 2)).numpy() for n in train])
    if name == "logistic":
        assert np.allclose(seen[-1], means)
    else:
        steps = seen[-1].reshape(len(train), per_sample, 3)
        for row, n in zip(steps, train, strict=True):
            frames = samples[n].float().mean((1, 2)).numpy()
            assert np.allclose(row[0], frames[0], atol=1e-5) and np.allclose(row[-1], frames[-1], atol=1e-5)


class Recorder(ClassifierMixin, BaseEstimator):
    """Features are the samples' numbers: records what it is fitted to and predicts; every n-th prediction is wrong."""

    def __init__(self, labels=None, every=1, calls=None):
        self.labels, self.every, self.calls = labels, every, calls

    def __sklearn_clone__(self):
        return Recorder(self.labels, self.every, self.calls)  # one list of calls for all

    def fit(self, numbers, labels):
        assert labels.tolist() == self.labels[numbers].tolist()
        self.fitted_ = numbers
        return self

    def predict(self, numbers):
        self.calls.append((self.fitted_, numbers, self.every))
        wrong = np.arange(len(numbers)) % self.every == 0
        return np.where(wrong, (self.labels[numbers] + 1) % 3, self.labels[numbers])


def test_a_setting_is_chosen_on_original_sequences_of_training_subjects_that_were_not_fitted(samples):
    train, test = first_fold(samples)
    recorder = Recorder(samples.labels.numpy(), calls=[])
    settings, numbers = ({"every": 2}, {"every": 4}, {"every": 3}), np.arange(len(samples))
    _, setting = nested_predictions(recorder, settings, numbers, samples, train, test)
    assert setting == {"every": 4}, "the one that is right most often"
    *inner, (fitted, predicted, used) = recorder.calls
    assert len(inner) == 3 * INNER_FOLDS and used == 4
    assert fitted.tolist() == train.tolist() and predicted.tolist() == test.tolist()
    for fitted, predicted, _ in inner:
        assert not set(samples.subjects[fitted]) & set(samples.subjects[predicted])
        assert not {"S0", "S4"} & (set(samples.subjects[fitted]) | set(samples.subjects[predicted]))
        rotations = np.array([entry.rotation for entry in samples.entries])
        assert (rotations[predicted] == 0).all() and (rotations[fitted] != 0).any()
    held_out = np.concatenate([predicted for _, predicted, _ in inner[:INNER_FOLDS]])
    assert sorted(held_out) == np.intersect1d(train, samples.original_numbers).tolist()


def test_few_subjects_take_the_middle_setting(samples):
    train, test = np.flatnonzero(samples.subjects == "S1"), np.flatnonzero(samples.subjects == "S2")
    settings, recorder = [{"every": every} for every in (2, 4, 3)], Recorder(samples.labels.numpy(), calls=[])
    assert nested_predictions(recorder, settings, np.arange(len(samples)), samples, train, test)[1] == {"every": 4}


def test_the_logistic_regression_is_scikit_learns_grid_search(samples):
    train, test = first_fold(samples)
    answers, setting = logistic_regression(samples)(train, test)
    means = np.stack([samples[n].float().mean((0, 1, 2)).numpy() for n in range(len(samples))])
    inner = [
        (fitted, np.flatnonzero(np.isin(train, samples.original_numbers) & np.isin(np.arange(len(train)), held_out)))
        for fitted, held_out in SubjectKFold(INNER_FOLDS).split(train, groups=samples.subjects[train])
    ]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": COSTS},
        cv=inner,
    )
    search.fit(means[train], samples.labels.numpy()[train])
    assert answers.tolist() == search.predict(means[test]).tolist()
    assert setting["C"] == search.best_params_["logisticregression__C"]


def test_the_svm_fold_by_fold_is_the_one_of_a_runs_summary(samples):
    whole, of_fold = baseline_predictions(samples, Plan(folds=FOLDS), apex_svm), apex_svm(samples)
    for fold, (train, test) in enumerate(SubjectKFold(FOLDS).split(samples.labels, groups=samples.subjects), start=1):
        test = np.intersect1d(test, samples.original_numbers)
        expected = whole[whole["fold"] == fold].set_index("sequence")["prediction"]
        answers, setting = of_fold(train, test)
        assert [EMOTIONS[label] for label in answers] == expected[[samples.entries[n].sequence for n in test]].tolist()
        assert setting.keys() == {"C"}


@pytest.mark.parametrize("kind", [LSTMClassifier, CNNClassifier])
def test_a_seed_gives_the_same_answers_and_leaves_the_global_generator_alone(samples, kind):
    train, test = first_fold(samples)
    state = torch.random.get_rng_state()
    first, second = (small_network(kind, samples, seed=3)(train, test) for _ in range(2))
    assert first[0].tolist() == second[0].tolist() and first[1] == second[1]
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("network", [BidirectionalLSTM(3, 7, hidden=4), TemporalCNN(3, 7, kernel=3)])
def test_a_sequences_logits_do_not_depend_on_its_batch_and_do_on_the_order_of_time(network):
    steps = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))
    together = network(steps)
    assert together.shape == (5, 7)
    torch.testing.assert_close(together, torch.cat([network(one[None]) for one in steps]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, network(steps.flip(1)), atol=1e-3)


@pytest.mark.parametrize("kind", [LSTMClassifier, CNNClassifier])
def test_the_networks_learn_what_only_the_order_of_time_tells(kind, tmp_path):
    """Anger rises and contempt falls over the same values: their means over time are alike."""
    store, rng = FeatureStore.create(tmp_path, "ramps", {"data": "synthetic"}), np.random.default_rng(0)
    for number in range(40):
        ramp = np.linspace(-1, 1, 6) * (1 if number % 2 else -1)
        maps = ramp[:, None, None, None] + 0.1 * rng.normal(size=(6, 2, 2, 3))
        entry = StoredSequence(f"S{number // 4}_{number}", f"S{number // 4}", EMOTIONS[number % 2], 0, 6, "0" * 64)
        store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    samples = Samples.of(store)
    config = Config(CONFIG.network, TrainingConfig(epochs=25, batch_size=8))
    train, test = next(SubjectKFold(5).split(samples.labels, groups=samples.subjects))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers, _ = small_network(kind, samples, config)(train, test)
    assert (answers == samples.labels.numpy()[test]).all()
