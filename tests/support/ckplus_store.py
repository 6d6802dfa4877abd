"""A feature store named CK+: random maps under the names, subjects and labels of the published list, no images."""

import numpy as np
import torch

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore, StoredSequence


def write_ckplus_store(folder, sequences=None):
    """Write two random frames of 1 x 2 nodes and 3 channels for each (name, subject, emotion), by default all 327."""
    rng = np.random.default_rng(0)
    recipe = {"data": "CK+", "nodes": {"grid": [1, 2]}, "classes": list(EMOTIONS)}
    store = FeatureStore.create(folder, "ckplus", recipe)
    for name, subject, emotion in sequences or [(one.name, one.subject, one.emotion) for one in ckplus_sequences()]:
        entry = StoredSequence(name, subject, emotion, 0, 2, "0" * 64)
        store.write(entry, torch.from_numpy(rng.normal(size=(2, 1, 2, 3))).half())
    store.complete()
    store.entries()
    return FeatureStore.open(store.folder)
