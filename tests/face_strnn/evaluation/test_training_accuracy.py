"""Each network's accuracy on sequences of its training, beside that on its test sequences."""

import numpy as np
import pytest
from runs import plan_of
from variants_store import CONFIG, write_store

from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.folds import make_folds
from face_strnn.evaluation.training_accuracy import seen_samples
from face_strnn.training.samples import Samples

pytestmark = pytest.mark.filterwarnings("ignore:.*no training sequence shows")

NEXT = {"last": {1: 2, 2: 3, 3: 1}, "oracle": {1: 2, 2: 3, 3: 1}, "inner": {1: 3, 2: 1, 3: 2}}
"""Fold -> the fold whose test sequences it is asked in training; with inner selection the next one chose the epoch."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


@pytest.mark.parametrize("selection", list(NEXT))
def test_every_sequence_is_asked_once_in_training_by_a_fold_that_trains_on_it(selection, store):
    samples = Samples.of(store)
    folds = make_folds(samples, samples.originals(), plan_of(CONFIG, folds=3, selection=selection))
    seen = seen_samples(samples, folds, samples.originals())
    tested = {fold.number: {samples.originals().entries[n].sequence for n in fold.test} for fold in folds}
    for fold in folds:
        asked = seen[fold.number].entries
        assert {entry.sequence for entry in asked} == tested[NEXT[selection][fold.number]]
        assert all(entry.variant.is_original for entry in asked)
        assert {entry.sequence for entry in asked} <= {samples.entries[n].sequence for n in fold.train}
    everyone = [entry.sequence for part in seen.values() for entry in part.entries]
    assert sorted(everyone) == sorted(entry.sequence for entry in samples.originals().entries)


def test_the_summary_has_the_accuracies_that_each_network_gives_sequence_by_sequence(store, tmp_path):
    run = cross_validate(store, tmp_path / "run", plan_of(CONFIG, folds=3, seeds=2))
    samples, rows = Samples.of(store), run.predictions
    by_fold = {fold: set(part["sequence"]) for fold, part in rows.groupby("fold")}
    scores = {(one.fold, one.seed): one for one in run.summary.networks}
    assert len(scores) == 6
    for network in run.networks:
        score = scores[network.fold, network.seed]
        for names, accuracy, count in (
            (by_fold[network.fold], score.held_out_accuracy, score.held_out_sequences),
            (by_fold[NEXT["last"][network.fold]], score.training_accuracy, score.training_sequences),
        ):
            right = []
            for entry in samples.originals().entries:
                if entry.sequence in names:
                    (answer,) = network.model.logits_of_sequences([store.maps(entry)]).argmax(1).tolist()
                    right.append(run.summary.classes[answer] == entry.emotion)
            assert accuracy == pytest.approx(np.mean(right)) and count == len(right)
    assert run.summary.held_out_accuracy == pytest.approx((rows["truth"] == rows["prediction"]).mean())
