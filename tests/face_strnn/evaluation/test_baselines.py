"""The baselines against plain scikit-learn under the same folds."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.evaluation.baselines import COSTS, INNER_FOLDS, apex_svm, baseline_predictions, most_frequent
from face_strnn.evaluation.protocols import SubjectKFold
from face_strnn.evaluation.settings import Plan
from face_strnn.training.samples import Samples

N_SUBJECTS, PER_SUBJECT = 12, 3


def samples_in(folder, wild=()):
    """Noisy maps whose last frame tells three emotions apart; those of ``wild`` subjects are blown up."""
    store = FeatureStore.create(folder, "ckplus", {"data": "CK+"})
    rng = np.random.default_rng(0)
    centres = 1.2 * rng.normal(size=(3, 2, 2, 3))
    for subject in range(N_SUBJECTS):
        for number in range(PER_SUBJECT):
            label = int(rng.integers(3)) if subject else number  # unequal frequencies
            for rotation in (0, 7):
                frames = 2 + (subject + number) % 3
                maps = rng.normal(size=(frames, 2, 2, 3))
                maps[-1] += centres[label] * (1 if rotation == 0 else -1)
                if subject in wild:
                    maps = 1000 * maps - 300
                name = f"S{subject:03d}"
                entry = StoredSequence(f"{name}_{number:03d}", name, EMOTIONS[label], rotation, frames, "0" * 64)
                store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    return Samples.of(store)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return samples_in(tmp_path_factory.mktemp("baselines"))


def original_numbers(samples):
    """Apex maps, labels and subjects, read anew from the store."""
    entries = [entry for entry in samples.store.entries() if entry.rotation == 0]
    apex = np.stack([samples.store.maps(entry)[-1].numpy().astype(np.float32).ravel() for entry in entries])
    labels = np.array([EMOTIONS.index(entry.emotion) for entry in entries])
    return apex, labels, np.array([entry.subject for entry in entries])


@pytest.mark.parametrize(
    ("plan", "protocol"),
    [
        (Plan(folds=3), SubjectKFold(3)),
        (Plan(protocol="contiguous", folds=4), SubjectKFold(4, "contiguous")),
        (Plan(protocol="leave-one-subject-out"), LeaveOneGroupOut()),
    ],
    ids=["interleaved", "contiguous", "leave-one-subject-out"],
)
def test_the_svm_is_scikit_learns_with_everything_fitted_inside_the_training_folds(samples, plan, protocol):
    apex, labels, subjects = original_numbers(samples)
    found = baseline_predictions(samples, plan, apex_svm)
    assert list(found.columns) == ["sequence", "subject", "fold", "truth", "prediction"]
    for fold, (train, test) in enumerate(protocol.split(labels, groups=subjects), start=1):
        scaler = StandardScaler().fit(apex[train])
        search = GridSearchCV(
            SVC(kernel="linear"), {"C": COSTS}, cv=SubjectKFold(min(INNER_FOLDS, len(set(subjects[train]))))
        )
        search.fit(scaler.transform(apex[train]), labels[train], groups=subjects[train])
        rows = found[found["fold"] == fold]
        assert set(rows["subject"]) == set(subjects[test])
        predictions = search.predict(scaler.transform(apex[test]))
        assert rows["prediction"].tolist() == [EMOTIONS[label] for label in predictions]
        assert rows["truth"].tolist() == [EMOTIONS[label] for label in labels[test]]


def test_the_svm_learns_what_the_apex_shows(samples):
    found = baseline_predictions(samples, Plan(folds=4), apex_svm)
    assert len(found) == N_SUBJECTS * PER_SUBJECT
    assert (found["truth"] == found["prediction"]).mean() > 0.75
    apex, labels, _ = original_numbers(samples)
    assert make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(apex, labels).score(apex, labels) > 0.9


def test_held_out_maps_do_not_reach_the_svm(samples, tmp_path):
    """Subjects 0, 4 and 8 make up the first of four folds; one of them is blown up."""
    disturbed = baseline_predictions(samples_in(tmp_path, wild={4}), Plan(folds=4), apex_svm)
    found = baseline_predictions(samples, Plan(folds=4), apex_svm)
    others = (found["fold"] == 1) & (found["subject"] != "S004")
    assert others.sum() == 2 * PER_SUBJECT
    pd.testing.assert_frame_equal(found[others], disturbed[others])


def test_chance_is_the_most_frequent_emotion_of_the_training_folds(samples):
    _, labels, subjects = original_numbers(samples)
    found = baseline_predictions(samples, Plan(folds=3), most_frequent)
    for fold, (train, _) in enumerate(SubjectKFold(3).split(labels, groups=subjects), start=1):
        expected = EMOTIONS[int(np.bincount(labels[train]).argmax())]
        assert set(found.loc[found["fold"] == fold, "prediction"]) == {expected}


def test_few_subjects_with_few_emotions_can_still_be_compared(tmp_path):
    """Four subjects of one sequence each: the inner folds see one emotion only."""
    store = FeatureStore.create(tmp_path, "ckplus", {"data": "CK+"})
    for number, emotion in enumerate(["anger", "fear", "fear", "anger"]):
        entry = StoredSequence(f"S00{number}_001", f"S00{number}", emotion, 0, 2, "0" * 64)
        store.write(entry, torch.randn(2, 2, 2, 3).half())
    store.complete()
    assert len(baseline_predictions(Samples.of(store), Plan(folds=2), apex_svm)) == 4
