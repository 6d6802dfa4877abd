"""Subject-independent folds against the published list and against their own promises."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict, cross_validate

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.errors import BadInput
from face_strnn import SubjectKFold
from face_strnn.evaluation.protocols import splitter

LISTED = ckplus_sequences()
SUBJECTS = np.array([listed.subject for listed in LISTED])


def folds_of(protocol, groups):
    """The fold, from 0, in which each sample is tested."""
    tested = np.full(len(groups), -1)
    for fold, (_, test) in enumerate(protocol.split(groups, groups=groups)):
        assert (tested[test] == -1).all(), "a sample is tested twice"
        tested[test] = fold
    return tested


def test_the_list_is_that_of_the_published_protocol():
    assert len(LISTED) == 327 and len(set(SUBJECTS)) == 118
    assert sum(listed.frames for listed in LISTED) == 5876
    assert min(listed.frames for listed in LISTED) == 6 and max(listed.frames for listed in LISTED) == 71
    counts = {"anger": 45, "contempt": 18, "disgust": 59, "fear": 25, "happiness": 69, "sadness": 28, "surprise": 83}
    emotions = [listed.emotion for listed in LISTED]
    assert {emotion: emotions.count(emotion) for emotion in set(emotions)} == counts


def test_interleaved_folds_are_the_published_ones():
    published = [listed.fold_interleaved for listed in LISTED]
    assert (folds_of(splitter("interleaved"), SUBJECTS) + 1).tolist() == published


def test_interleaved_folds_do_not_depend_on_the_order_of_the_samples():
    order = np.random.default_rng(0).permutation(len(SUBJECTS))
    published = np.array([listed.fold_interleaved for listed in LISTED])
    assert (folds_of(SubjectKFold(10), SUBJECTS[order]) + 1).tolist() == published[order].tolist()


def test_contiguous_folds_are_ascending_blocks_of_nearly_equal_size():
    tested = folds_of(splitter("contiguous"), SUBJECTS)
    assert (np.diff(tested) >= 0).all(), "the list is in ascending order of subject, so folds must ascend"
    per_fold = [len(set(SUBJECTS[tested == fold])) for fold in range(10)]
    assert per_fold == [12] * 8 + [11] * 2


def test_leave_one_subject_out_has_a_fold_for_each_of_the_118_subjects():
    protocol = splitter("leave-one-subject-out")
    tested = folds_of(protocol, SUBJECTS)
    assert protocol.get_n_splits(groups=SUBJECTS) == 118
    assert all(len(set(SUBJECTS[tested == fold])) == 1 for fold in range(118)) and tested.max() == 117


@pytest.mark.parametrize("assignment", ["interleaved", "contiguous"])
def test_no_subject_is_ever_on_both_sides_and_every_sample_is_tested_once(assignment):
    rng = np.random.default_rng(7)
    for _ in range(60):
        n_subjects, n_splits = int(rng.integers(2, 25)), int(rng.integers(2, 12))
        names = [f"S{number:03d}" for number in rng.choice(999, n_subjects, replace=False)]
        groups = rng.permutation([*names, *rng.choice(names, rng.integers(0, 40))])
        protocol = SubjectKFold(n_splits, assignment)
        if n_subjects < n_splits:
            with pytest.raises(BadInput, match=f"{n_subjects} subjects are fewer than {n_splits} folds"):
                list(protocol.split(groups, groups=groups))
            continue
        for train, test in protocol.split(groups, groups=groups):
            assert not set(groups[train]) & set(groups[test])
            assert len(test) and sorted([*train, *test]) == list(range(len(groups)))
        tested = folds_of(protocol, groups)
        assert (tested >= 0).all()
        sizes = [len(set(groups[tested == fold])) for fold in range(n_splits)]
        assert max(sizes) - min(sizes) <= 1
        literal = sorted(names).index
        if assignment == "interleaved":
            assert tested.tolist() == [literal(name) % n_splits for name in groups]


def test_folds_work_as_a_scikit_learn_splitter():
    labels = np.array([listed.emotion for listed in LISTED])
    X = np.zeros((len(labels), 1))
    for protocol in (SubjectKFold(), SubjectKFold(5, "contiguous"), LeaveOneGroupOut()):
        predictions = cross_val_predict(DummyClassifier(), X, labels, groups=SUBJECTS, cv=protocol)
        for train, test in protocol.split(X, labels, SUBJECTS):
            names, counts = np.unique(labels[train], return_counts=True)
            assert set(predictions[test]) == {names[counts.argmax()]}
    scores = cross_validate(DummyClassifier(), X, labels, groups=SUBJECTS, cv=SubjectKFold())
    assert len(scores["test_score"]) == SubjectKFold().get_n_splits() == 10


def test_predefined_folds_are_tested_in_the_order_of_their_numbers():
    subjects = np.array(["P3", "P1", "P2", "P1", "P4"])
    folds = np.array(["10", "2", "2", "2", "1"])
    protocol = splitter("given", subjects=subjects.tolist(), folds=folds.tolist())
    assert protocol.get_n_splits() == 3
    assert folds_of(protocol, subjects).tolist() == [2, 1, 1, 1, 0]
    assert folds_of(protocol, subjects[[3, 0]]).tolist() == [1, 2], "of some of the samples too"
    for train, test in protocol.split(subjects, groups=subjects):
        assert not set(subjects[train]) & set(subjects[test])


def test_predefined_folds_that_share_a_subject_are_refused():
    with pytest.raises(BadInput, match="subject P1 is in the folds 1 and 2, and would be in training and test"):
        splitter("given", subjects=["P1", "P2", "P1"], folds=["1", "1", "2"])
    with pytest.raises(BadInput, match="the features of P2 have no fold; give every sequence one"):
        splitter("given", subjects=["P1", "P2"], folds=["1", ""])
    with pytest.raises(BadInput, match="there is one fold"):
        splitter("given", subjects=["P1", "P2"], folds=["1", "1"])
    with pytest.raises(BadInput, match="groups"):
        list(splitter("given", subjects=["P1", "P2"], folds=["1", "2"]).split([0, 1]))


def test_what_cannot_be_split_is_refused():
    with pytest.raises(BadInput, match="at least 2"):
        list(SubjectKFold(1).split(SUBJECTS, groups=SUBJECTS))
    with pytest.raises(BadInput, match="groups"):
        list(SubjectKFold(3).split(SUBJECTS))
    with pytest.raises(BadInput, match="random"):
        splitter("random")
    with pytest.raises(BadInput, match="shuffled"):
        list(SubjectKFold(3, "shuffled").split(SUBJECTS, groups=SUBJECTS))
