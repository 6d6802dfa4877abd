"""The stored crops that a feature store's maps were computed from, for training on pixels."""

from collections.abc import Sequence

import torch

from data_prep.errors import BadInput
from data_prep.store.faces import FaceStore
from data_prep.store.sequence_store import StoredSequence
from data_prep.store.store import FeatureStore


def read_crops(store: FeatureStore, entry: StoredSequence) -> torch.Tensor:
    """Return a sequence's crops, mapped from the file, not read into memory.

    Args:
        store: the maps.
        entry: the original sequence.

    Returns:
        uint8 (frames, n, n, 3), RGB, with n the side of the backbone's crops plus the border of
        :data:`data_prep.faces.variants.ROTATION_BORDER`.

    Raises:
        BadInput: they are not there, damaged, or of other images.
    """
    crops = FaceStore.beside(store).crops(store.recipe)
    if not crops.holds(entry):
        path = crops.path_of(entry)
        what = "damaged, or of other images than the maps" if path.is_file() else "does not exist"
        raise BadInput(f"{path}: {what}; {_remedy(store)}")
    return crops.crops(entry)


def require_crops(store: FeatureStore, entries: Sequence[StoredSequence]) -> None:
    """Refuse a feature store whose crops are not there.

    Args:
        store: the maps.
        entries: the original sequences whose crops are needed.

    Raises:
        BadInput: crops are missing, damaged or of other images; the message says how to make them.
    """
    crops = FaceStore.beside(store).crops(store.recipe)
    lacking = [entry.sequence for entry in entries if not crops.holds(entry)]
    if lacking:
        raise BadInput(
            f"{crops.folder}: holds no face crops of {len(lacking)} of {len(entries)} sequences "
            f"({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); {_remedy(store)}"
        )


def _remedy(store: FeatureStore) -> str:
    return (
        f"run `face-strnn prepare` as before with --keep-crops: face-strnn prepare --root DATA --out "
        f"{store.folder.parent} ... --keep-crops; the maps that are there are kept"
    )
