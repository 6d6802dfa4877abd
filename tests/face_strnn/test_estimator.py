"""The classifier under scikit-learn's own tools, on random maps of a tiny grid."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from data_prep.errors import BadInput
from face_strnn import STRNNClassifier, SubjectKFold

SMALL = {"spatial_hidden": 6, "spatial_output": 5, "temporal_hidden": 8, "length": 6, "batch_size": 8}


@pytest.fixture(scope="module")
def rising_or_falling():
    """48 sequences of 8 subjects, of different lengths: one channel rises or falls at a random node."""
    rng = np.random.default_rng(0)
    X, y, subjects = [], [], []
    for number in range(48):
        maps = rng.normal(size=(rng.integers(4, 9), 2, 3, 4)).astype(np.float16)
        falls = number % 2
        ramp = np.linspace(0, 6, len(maps))
        maps[:, 1, 2, 0] += ramp[::-1] if falls else ramp
        X.append(maps)
        y.append("falls" if falls else "rises")
        subjects.append(f"S{number // 6}")
    return X, np.array(y), np.array(subjects)


def test_it_learns_what_only_the_order_of_time_tells(rising_or_falling):
    X, y, _ = rising_or_falling
    classifier = STRNNClassifier(**SMALL, epochs=25, learning_rate=0.01).fit(X[:36], y[:36])
    assert classifier.score(X[36:], y[36:]) >= 0.9
    assert classifier.score(X[36:], y[36:]) == accuracy_score(y[36:], classifier.predict(X[36:]))


def test_probabilities_follow_the_order_of_the_classes(rising_or_falling):
    X, y, _ = rising_or_falling
    classifier = STRNNClassifier(**SMALL, epochs=3).fit(X, y)
    probabilities = classifier.predict_proba(X)
    assert classifier.classes_.tolist() == ["falls", "rises"]
    assert probabilities.shape == (48, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (classifier.classes_[probabilities.argmax(1)] == classifier.predict(X)).all()
    logits = classifier.network_.logits_of_sequences([torch.from_numpy(X[5])])
    np.testing.assert_allclose(probabilities[5], logits.double().softmax(1)[0].detach(), rtol=1e-5)


def test_cross_val_predict_tests_each_fold_with_a_network_of_the_others(rising_or_falling):
    X, y, subjects = rising_or_falling
    classifier = STRNNClassifier(**SMALL, epochs=3)
    predictions = cross_val_predict(classifier, X, y, groups=subjects, cv=SubjectKFold(4), method="predict_proba")
    train, test = next(iter(SubjectKFold(4).split(X, y, groups=subjects)))
    by_hand = clone(classifier).fit([X[n] for n in train], y[train]).predict_proba([X[n] for n in test])
    np.testing.assert_array_equal(predictions[test], by_hand)


def test_grid_search_and_pipelines_reach_every_setting(rising_or_falling):
    X, y, subjects = rising_or_falling
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: [maps[::-1] for maps in X]), STRNNClassifier(**SMALL, epochs=2)
    )
    search = GridSearchCV(pipeline, {"strnnclassifier__lambda1": [0.0, 0.01]}, cv=SubjectKFold(2))
    search.fit(X, y, groups=subjects)
    assert search.best_params_["strnnclassifier__lambda1"] in (0.0, 0.01)
    settings = STRNNClassifier().get_params()
    assert clone(STRNNClassifier(**SMALL)).get_params() == {**settings, **SMALL}


def test_the_same_random_state_gives_the_same_network(rising_or_falling):
    X, y, _ = rising_or_falling
    first, second, other = (STRNNClassifier(**SMALL, epochs=2, random_state=seed).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_bad_input_is_named(rising_or_falling):
    X, y, _ = rising_or_falling
    broken = [maps.copy() for maps in X]
    broken[7][0, 0, 0, 0] = np.nan
    with pytest.raises(BadInput, match="sequence 7 holds NaN"):
        STRNNClassifier(**SMALL).fit(broken, y)
    with pytest.raises(BadInput, match="sequence 1 has the shape"):
        STRNNClassifier(**SMALL).fit([X[0], X[1][:, :1]], y[:2])
    with pytest.raises(BadInput, match="no sequences"):
        STRNNClassifier(**SMALL).fit([], [])
    with pytest.raises(BadInput, match="of the class rises"):
        STRNNClassifier(**SMALL).fit(X[:6:2], y[:6:2])
    with pytest.raises(BadInput, match="epochs is 0"):
        STRNNClassifier(**{**SMALL, "epochs": 0}).fit(X, y)
    fitted = STRNNClassifier(**SMALL, epochs=1).fit(X, y)
    with pytest.raises(BadInput, match="where the network takes"):
        fitted.predict([maps[..., :3] for maps in X])
