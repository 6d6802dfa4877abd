"""A store of random maps in which every sequence has three variants, and the settings of a network that fits it."""

import numpy as np
import torch

from data_prep.datasets.emotions import EMOTIONS
from data_prep.faces.variants import Variant
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Config, NetworkConfig, TrainingConfig

VARIANTS = (Variant(), Variant(2.5), Variant(0, flip=True))
SUBJECTS = 6
NETWORK = NetworkConfig(
    input_size=4, grid=(2, 2), spatial_hidden=4, spatial_output=3, spatial_projection=2, temporal_hidden=5, length=4,
    n_classes=7,
)  # fmt: skip
CONFIG = Config(NETWORK, TrainingConfig(epochs=4, batch_size=5, learning_rate=0.02))


def write_store(folder, variants=VARIANTS):
    """Six subjects of two random sequences each, in some variants."""
    rng = np.random.default_rng(0)
    store = FeatureStore.create(folder, "random", {"data": "synthetic"})
    for subject in range(SUBJECTS):
        for number in range(2):
            for variant in variants:
                facts = (EMOTIONS[(subject + number) % 7], variant.rotation, 2 + number, "0" * 64, "", variant.flip)
                maps = torch.from_numpy(rng.normal(size=(2 + number, 2, 2, 4))).half()
                store.write(StoredSequence(f"S{subject}_{number}", f"S{subject}", *facts), maps)
    store.complete()
    return store
