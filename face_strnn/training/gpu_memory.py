"""How many networks are trained together on a GPU, from the memory that is free on it.

The estimate is some 1.3 times the memory of a step on a CPU (119 MiB per network at CK+ size, batches of 16).
"""

import torch

from data_prep.errors import BadInput
from face_strnn.config import Config

N_DIRECTIONS = 4
COPIES_OF_STATES = 4
"""Arrays as large as the states at a step's peak: the states, their gradient, the states between waves, scratch."""

COPIES_OF_PROJECTIONS = 3
"""Arrays as large as U x of a batch: itself in two orders, and both gradients."""

COPIES_OF_PARAMETERS = 8
"""Parameters, gradients, both moments of AdamW, and the copy into which the standardisation is folded, with its own."""

SHARE = 0.9
"""Share of the free memory that is used: PyTorch and its libraries need the rest."""


def bytes_of_network(config: Config, most_frames: int) -> int:
    """Return the bytes of one network in a stack.

    Args:
        config: the settings.
        most_frames: frames of the longest batch.
    """
    network, steps = config.network, config.training.batch_size * config.network.length
    nodes = network.n_nodes * N_DIRECTIONS * network.spatial_hidden
    projected = N_DIRECTIONS * network.spatial_projection * network.spatial_hidden
    temporal = 2 * network.temporal_hidden
    floats = (
        COPIES_OF_STATES * steps * nodes
        + COPIES_OF_PROJECTIONS * most_frames * nodes
        + COPIES_OF_PARAMETERS * sum(torch.Size(shape).numel() for shape in network.shapes().values())
        + 4 * steps * (projected + 4 * temporal)
    )
    return 4 * floats


def networks_that_fit(config: Config, most_frames: int, free: int) -> int:
    """Return the number of networks that can be trained together in ``free`` bytes.

    Args:
        config: the settings.
        most_frames: frames of the longest batch.
        free: bytes of memory.

    Raises:
        BadInput: not even one fits.
    """
    needed = bytes_of_network(config, most_frames)
    n_networks = int(SHARE * free // needed)
    if n_networks < 1:
        raise BadInput(
            f"training one network on batches of {config.training.batch_size} sequences takes {needed / 2**30:.1f} GiB "
            f"and the GPU has {free / 2**30:.1f} GiB free; lower training.batch_size, or use --device cpu"
        )
    return n_networks
