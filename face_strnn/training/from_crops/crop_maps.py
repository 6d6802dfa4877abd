"""The maps of stored crops, by a fine-tuned backbone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_prep.backbones.backbone import Backbone
from data_prep.faces.variants import ORIGINAL, cut_variant
from data_prep.store.crops import read_crops
from data_prep.store.store import FeatureStore, StoredSequence


def maps_of_crops(store: FeatureStore, entry: StoredSequence, backbone: Backbone) -> Tensor:
    """Return a backbone's maps of a sequence: float16 (frames, h, w, C), on the CPU.

    Args:
        store: the features whose crops are read; crops have a border with room for every variant of a store.
        entry: the sequence, in any of the store's variants.
        backbone: of the maps.

    Raises:
        BadInput: the crops are missing.
    """
    original = replace(entry, rotation=ORIGINAL.rotation, flip=ORIGINAL.flip)
    # In the same blocks as `prepare`: the frozen backbone then gives exactly the stored maps.
    blocks = read_crops(store, original).split(backbone.block)
    crops = (cut_variant(block.numpy(), entry.variant, backbone.crop_pixels) for block in blocks)
    return torch.cat([backbone(torch.from_numpy(block)) for block in crops])


@dataclass(frozen=True)
class CropMaps(Sequence[Tensor]):
    """The maps of sequences, each computed when it is asked for: those of all would fill the memory.

    Attributes:
        store: the features whose crops are read.
        entries: the sequences, in any of the store's variants.
        backbone: of the maps.
    """

    store: FeatureStore
    entries: Sequence[StoredSequence]
    backbone: Backbone

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Tensor:
        """Return one sequence's maps; see :func:`maps_of_crops`."""
        return maps_of_crops(self.store, self.entries[number], self.backbone)
