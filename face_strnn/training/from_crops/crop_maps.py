"""The maps of stored crops, by a fine-tuned backbone."""

import torch
from torch import Tensor

from data_prep.backbones.backbone import Backbone
from data_prep.faces.variants import ORIGINAL, cut_variant
from data_prep.store.crops import read_crops
from data_prep.store.store import FeatureStore, StoredSequence


def maps_of_crops(store: FeatureStore, entry: StoredSequence, backbone: Backbone) -> Tensor:
    """Return a backbone's maps of an original sequence: float16 (frames, h, w, C), on the CPU.

    Raises:
        BadInput: the crops are missing.
    """
    # In the same blocks as `prepare`: the frozen backbone then gives exactly the stored maps.
    blocks = read_crops(store, entry).split(backbone.block)
    crops = (cut_variant(block.numpy(), ORIGINAL, backbone.crop_pixels) for block in blocks)
    return torch.cat([backbone(torch.from_numpy(block)) for block in crops])
