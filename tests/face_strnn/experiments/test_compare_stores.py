"""Stores compared inside the training folds: the better one is found, without any test subject."""

import json

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.cli.program import main
from face_strnn.experiments.compare_stores import COST, choose_store

N_SUBJECTS, N_FOLDS = 9, 3


def write_store(folder, hint, channels=4, edit=None, n_sequences=3):
    """Maps whose apex hints at the emotion as strongly as ``hint`` says."""
    store = FeatureStore.create(folder, "random", {"data": "synthetic", "hint": hint})
    for subject in range(N_SUBJECTS):
        rng = np.random.default_rng(subject)
        for number in range(n_sequences):
            label = (subject + number) % 3
            maps = rng.normal(size=(3, 2, 2, channels))
            maps[-1, ..., label] += hint
            if subject == edit:
                maps = 30 * rng.normal(size=maps.shape)
            entry = StoredSequence(f"S{subject}_{number}", f"S{subject}", EMOTIONS[label], 0, 3, "0" * 64)
            store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [write_store(folder, hint, channels) for hint, channels in ((0.3, 4), (2.0, 6))]


def test_the_store_that_tells_more_is_chosen_by_every_fold(stores):
    choice = choose_store(stores, n_folds=N_FOLDS)
    assert choice.chosen == [1, 1, 1] and choice.accuracies.shape == (2, 3, 5)
    poor, rich = choice.accuracies.mean((1, 2))
    assert rich > 0.8 > poor + 0.2


def test_an_inner_accuracy_is_that_of_a_literal_computation(stores):
    choice = choose_store(stores, n_folds=N_FOLDS)
    # Fold 1 tests subjects 0, 3 and 6.
    training = [subject for subject in range(N_SUBJECTS) if subject % N_FOLDS]
    held_out = training[::5]  # the first inner fold of the interleaved order
    store = stores[1]
    rows = {True: [], False: []}
    for entry in store.entries():
        number = int(entry.subject[1:])
        if number not in training:
            continue
        maps = store.maps(entry).double().numpy()
        row = np.concatenate([maps[-1].ravel(), (maps[-1] - maps[0]).ravel()])
        rows[number in held_out].append((row, entry.emotion))
    train, held_out = (np.array([row for row, _ in rows[side]]) for side in (False, True))
    mean, std = train.mean(0), train.std(0)
    train, held_out = (train - mean) / std, (held_out - mean) / std
    length = np.sqrt((train**2).sum(1).mean())
    svm = SVC(kernel="linear", C=COST).fit(train / length, [label for _, label in rows[False]])
    right = svm.predict(held_out / length) == np.array([label for _, label in rows[True]])
    assert choice.accuracies[1, 0, 0] == pytest.approx(right.mean())


def test_a_test_subjects_maps_do_not_enter_their_folds_figures(stores, tmp_path):
    edited = [write_store(tmp_path, 2.0, 6, edit=4), stores[0]]  # subject 4 is tested in fold 4 % 3 + 1 = 2
    before, after = (choose_store(two, n_folds=N_FOLDS) for two in ([stores[1], stores[0]], edited))
    assert np.array_equal(before.accuracies[:, 1], after.accuracies[:, 1]) and before.chosen[1] == after.chosen[1]
    assert not np.array_equal(before.accuracies[0, 0], after.accuracies[0, 0])


def test_the_program_prints_the_choice_and_writes_nothing(stores, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["backbones", "--compare", "--features", *(str(store.folder) for store in stores), "--folds", "3"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["chosen_by_folds"] for one in found["stores"]] == [[], [1, 2, 3]]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "1, 2, 3" in said and "is not: together they have seen every subject" in " ".join(said.split())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_compared_is_refused(stores, tmp_path, capsys):
    fewer = write_store(tmp_path, 1.0, n_sequences=2)
    with pytest.raises(BadInput, match=r"of other sequences than .* \(9 differ, such as S0_2"):
        choose_store([stores[0], fewer], n_folds=N_FOLDS)
    for too_few in (stores[:1], [stores[0], stores[0]]):
        with pytest.raises(BadInput, match="two stores or more"):
            choose_store(too_few, n_folds=N_FOLDS)
    assert main(["backbones", "--compare"]) == 2
    assert main(["backbones", "--features", str(stores[0].folder)]) == 2
    assert "--compare and --features belong together" in capsys.readouterr().err
