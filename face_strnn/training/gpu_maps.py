"""Maps of all samples for training on a GPU: in its memory if they fit, else streamed from pinned memory."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SHARE = 0.5
"""Share of free GPU memory that the maps may use; states and parameters need the rest."""


class GpuMaps:
    """Reads samples' maps for a GPU.

    Args:
        maps: N samples, each (frames, h, w, C).
        device: the GPU. (On a CPU, for tests, memory is not pinned.)
        free_bytes: memory that the maps may use; by default :data:`SHARE` of the free memory.

    Attributes:
        n_frames: int64 (N,), frames of each sample.
        resident: whether all maps are on the device.
    """

    def __init__(self, maps: Sequence[Tensor], device: torch.device, free_bytes: float | None = None) -> None:
        self._maps, self._device = maps, device
        self.n_frames = np.array([len(one) for one in maps])
        needed = int(self.n_frames.sum()) * maps[0][0].numel() * maps[0].element_size()
        if free_bytes is None:
            free_bytes = SHARE * torch.cuda.mem_get_info(device)[0]
        self.resident = needed <= free_bytes
        if self.resident:
            self._on_device = [one.to(device) for one in maps]

    def __len__(self) -> int:
        return len(self._maps)

    def __getitem__(self, number: int) -> Tensor:
        """Return one sample's maps, on the device, or pinned, for asynchronous copying."""
        if self.resident:
            return self._on_device[number]
        return self._maps[number].pin_memory() if self._device.type == "cuda" else self._maps[number]
