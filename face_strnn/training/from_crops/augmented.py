"""Augmented clips of training sequences, as inputs of the thawed part of the backbone.

The frozen part never changes: its maps of a clip are computed once, for all folds and epochs, and kept in a scratch
folder.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from data_prep.backbones.split import SplitBackbone
from data_prep.faces.augmentation import CropAugmentation, seed_of
from data_prep.store.crops import read_crops
from data_prep.store.store import FeatureStore, StoredSequence
from data_prep.tensor_files import write_tensors

_TENSOR = "inputs"
_CHECKSUM = "sha256"
"""Entry of a kept clip's header: what was damaged meanwhile is computed anew."""


class AugmentedClips:
    """Augmented clips of sequences: some frames, augmented, through the frozen part of the backbone.

    Args:
        store: where the crops are.
        split: the backbone.
        n_frames: largest number of frames of a clip; 0 for all.
        scratch: folder in which the frozen part's maps are kept; None computes them anew each time.
    """

    def __init__(self, store: FeatureStore, split: SplitBackbone, n_frames: int, scratch: Path | None) -> None:
        self._store, self._split, self._n_frames = store, split, n_frames
        self._frozen = split.frozen_part()
        self._augmentation = CropAugmentation(split.whole.crop_pixels)
        # Augmenting pixels again is faster than reading them: without a frozen part nothing is kept.
        self._scratch = scratch if len(split.frozen) else None
        if self._scratch:
            self._scratch.mkdir(exist_ok=True)

    def __call__(self, entry: StoredSequence, number: int) -> Tensor:
        """Return a clip of a sequence.

        Args:
            entry: the original sequence.
            number: of the clip; the draw depends only on it and on the sequence's name.

        Returns:
            The input of the thawed part: (frames, channels, height, width), float32 in channels-last memory, on the
            backbone's device.

        Raises:
            BadInput: the crops are missing.
        """
        device = self._split.whole.device
        if not len(self._split.frozen):
            return self._split.whole.preprocessing(self._crops(entry, number).to(device))
        maps = self._kept(entry, number)
        if maps is None:
            maps = self._frozen(self._crops(entry, number))
            if self._scratch:
                write_tensors(self._path(entry, number), {_TENSOR: maps}, {_CHECKSUM: _checksum(maps)})
        return maps.to(device).float().permute(0, 3, 1, 2)

    def _crops(self, entry: StoredSequence, number: int) -> Tensor:
        key = f"{entry.sequence} {number}"
        crops = read_crops(self._store, entry)
        chosen = frames_of_clip(len(crops), self._n_frames, key)
        return torch.from_numpy(self._augmentation(crops[chosen].numpy(), key))

    def _kept(self, entry: StoredSequence, number: int) -> Tensor | None:
        if self._scratch is None:
            return None
        try:
            with safe_open(self._path(entry, number), framework="pt") as file:
                maps = file.get_tensor(_TENSOR)
                return maps if (file.metadata() or {}).get(_CHECKSUM) == _checksum(maps) else None
        except (SafetensorError, OSError):
            return None

    def _path(self, entry: StoredSequence, number: int) -> Path:
        return self._scratch / f"{entry.sequence}-{number}.safetensors"


def _checksum(maps: Tensor) -> str:
    """SHA-256 of a tensor's type, shape and bytes."""
    start = f"{maps.dtype} {tuple(maps.shape)}".encode()
    return hashlib.sha256(start + maps.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def frames_of_clip(n_frames: int, n_wanted: int, key: str) -> list[int]:
    """Draw frames of a sequence, in order: the first, the last, and one from each equal stretch between them.

    Args:
        n_frames: of the sequence.
        n_wanted: how many, at least 2; 0, or more than there are, for all.
        key: the draw depends only on it.
    """
    if not 0 < n_wanted < n_frames:
        return list(range(n_frames))
    edges = np.linspace(1, n_frames - 1, n_wanted - 1).round().astype(int)
    between = np.random.default_rng(seed_of(key)).integers(edges[:-1], edges[1:])
    return [0, *between.tolist(), n_frames - 1]
