"""The maps of stored crops, by a backbone that was trained on."""

import torch
from torch import Tensor

from data_prep.backbones.backbone import Backbone
from data_prep.faces.variants import ORIGINAL, cut_variant
from data_prep.store.crops import read_crops
from data_prep.store.store import FeatureStore, StoredSequence


def maps_of_crops(store: FeatureStore, entry: StoredSequence, backbone: Backbone) -> Tensor:
    """Return an unrotated sequence's maps as a backbone gives them: float16 (frames, h, w, C), on the CPU.

    Raises:
        BadInput: the crops are not there.
    """
    # In the blocks in which `prepare` computes maps: the frozen backbone gives the stored ones again.
    blocks = read_crops(store, entry).split(backbone.block)
    upright = (cut_variant(block.numpy(), ORIGINAL, backbone.crop_pixels) for block in blocks)
    return torch.cat([backbone(torch.from_numpy(block)) for block in upright])
