"""The probabilities that a trained network predicts for sequences."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from face_strnn.config import Interpolation
from face_strnn.models.strnn import STRNN

SEQUENCES_PER_BATCH = 16


@torch.inference_mode()
def probabilities(network: STRNN, sequences: Sequence[Tensor], how: Interpolation = "linear") -> np.ndarray:
    """Return the probability of each class, equation (9).

    Args:
        network: a trained STRNN.
        sequences: N sequences of maps, each (frames, h, w, C), read one batch at a time; at least one.
        how: see :func:`face_strnn.models.time_steps.time_steps`.

    Returns:
        float64 (N, classes).

    Raises:
        BadInput: the maps have other sizes than the network.
    """
    numbers = np.arange(len(sequences))
    batches = np.array_split(numbers, math.ceil(len(sequences) / SEQUENCES_PER_BATCH))
    outputs = [network.logits_of_sequences([sequences[n] for n in batch], how) for batch in batches]
    return torch.cat(outputs).double().softmax(1).numpy()
