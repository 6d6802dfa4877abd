"""Accuracy of a linear classifier on a backbone's maps, for synthetic people who are not trained on."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.backbones.split import SplitBackbone
from data_prep.pretraining.synthetic_store import SyntheticStore

PENALTIES = np.logspace(2, 7, 11)
"""Of the ridge classifier; leave-one-out error on its own training faces chooses one."""


@dataclass(frozen=True)
class Probed:
    """Accuracies on apexes, 0 to 1; chance is a seventh.

    Attributes:
        apex: from the maps of the apex.
        change: from the maps of the apex minus those of the same person at rest.
        apex_unseen, change_unseen: the same people in a style not trained on, neither by the backbone
            nor by the classifier.
        n_tested: apexes.
    """

    apex: float
    change: float
    apex_unseen: float
    change_unseen: float
    n_tested: int


def probe(backbone: SplitBackbone, learned: SyntheticStore, tested: SyntheticStore, unseen: SyntheticStore) -> Probed:
    """Train and test a linear classifier.

    Args:
        backbone: as it is now.
        learned: people that the classifier learns from, with all emotions.
        tested: other people, in the same style.
        unseen: the people of ``tested`` in another style.
    """
    accuracies = []
    training, test, shifted = (_maps(backbone, store) for store in (learned, tested, unseen))
    for kind in ("apex", "change"):
        classifier = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
        classifier.fit(training[kind], training["emotion"])
        accuracies.append([float(classifier.score(faces[kind], faces["emotion"])) for faces in (test, shifted)])
    (apex, apex_unseen), (change, change_unseen) = accuracies
    return Probed(apex, change, apex_unseen, change_unseen, len(test["emotion"]))


def _maps(backbone: SplitBackbone, store: SyntheticStore) -> dict[str, np.ndarray]:
    """Maps of all apexes and their change, (n, values), and their emotions (n,)."""
    apexes, changes, emotions = [], [], []
    with backbone.evaluated():
        for person in range(store.people):
            batch = store.batch([person])
            maps = backbone.maps(batch.below).flatten(1).cpu().numpy()
            apexes.append(maps[1:])
            changes.append(maps[1:] - maps[:1])
            emotions.append(batch.emotions[1:].numpy())
    return {"apex": np.concatenate(apexes), "change": np.concatenate(changes), "emotion": np.concatenate(emotions)}
