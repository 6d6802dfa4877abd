"""What fine-tuned networks answer about sequences, from their stored crops."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from data_prep.backbones.backbone import Backbone
from data_prep.faces.variants import ORIGINAL, cut_variant
from data_prep.store.crops import read_crops
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Interpolation
from face_strnn.models.strnn import STRNN


def maps_of_crops(store: FeatureStore, entry: StoredSequence, backbone: Backbone) -> Tensor:
    """Return an unrotated sequence's maps as a backbone gives them: float16 (frames, h, w, C), on the CPU.

    Raises:
        BadInput: the crops are not there.
    """
    # In the blocks in which `prepare` computes maps: the frozen backbone gives the stored ones again.
    blocks = read_crops(store, entry).split(backbone.block)
    upright = (cut_variant(block.numpy(), ORIGINAL, backbone.crop_pixels) for block in blocks)
    return torch.cat([backbone(torch.from_numpy(block)) for block in upright])


@torch.inference_mode()
def answers(
    store: FeatureStore, entries: Sequence[StoredSequence], backbone: Backbone, model: STRNN, how: Interpolation
) -> np.ndarray:
    """Return the probability of each class.

    Args:
        store: where the crops are.
        entries: N unrotated sequences.
        backbone: the fine-tuned one.
        model: the STRNN that was trained with it.
        how: see :func:`face_strnn.models.time_steps.time_steps`.

    Returns:
        float64 (N, classes).

    Raises:
        BadInput: crops are not there.
    """
    outputs = [model.logits_of_sequences([maps_of_crops(store, entry, backbone)], how) for entry in entries]
    return torch.cat(outputs).double().softmax(1).numpy()
