"""The sequences that networks learn from: maps read as they are stored, labels, subjects."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data_prep.emotions import EMOTIONS, classes_of
from data_prep.errors import BadInput
from data_prep.store import FeatureStore, StoredSequence
from face_strnn.protocols import Augmentation


@dataclass(frozen=True)
class Samples:
    """Every sequence and rotation of a feature store, in ascending order of sequence and rotation.

    Attributes:
        store: where the maps are.
        entries: the N samples.
        class_names: the data set's classes, see :func:`data_prep.emotions.classes_of`; a label is a place in them.
    """

    store: FeatureStore
    entries: tuple[StoredSequence, ...]
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, store: FeatureStore) -> "Samples":
        """Take all samples of a store.

        Raises:
            BadInput: the store is empty, a sequence lacks a rotation that others have, its rotations are not of the
                same images and label, or a label is no emotion.
        """
        entries = tuple(store.entries())
        if not entries:
            raise BadInput(f"{store.folder}: holds no features yet; run `face-strnn prepare` to the end")
        angles = {entry.rotation for entry in entries}
        by_sequence: dict[str, set[int]] = {}
        first_of: dict[str, StoredSequence] = {}
        for entry in entries:
            first = first_of.setdefault(entry.sequence, entry)
            if replace(entry, rotation=first.rotation) != first:
                raise BadInput(
                    f"{store.path_of(entry)}: of other images or another label than {first.file_name}; "
                    "delete it and run `face-strnn prepare` again"
                )
            by_sequence.setdefault(entry.sequence, set()).add(entry.rotation)
            if entry.emotion not in EMOTIONS:
                raise BadInput(
                    f"{store.path_of(entry)}: its emotion {entry.emotion} is not one of {', '.join(EMOTIONS)}"
                )
        for sequence, found in by_sequence.items():
            if found != angles:
                lacking = ", ".join(f"{angle:+d}" for angle in sorted(angles - found))
                raise BadInput(
                    f"{store.folder}: {sequence} lacks the rotations {lacking} that others have; "
                    "run `face-strnn prepare` to the end"
                )
        return cls(store, entries, classes_of(store.recipe.get("data", ""), {entry.emotion for entry in entries}))

    def learned_with(self, augmentation: Augmentation) -> "Samples":
        """Return what there is to learn from: all samples, or with ``"none"`` those that are not rotated.

        Without them everything is as if the store held none: the order of the samples, and the steps of an epoch.
        """
        if augmentation == "rotations":
            return self
        return replace(self, entries=tuple(entry for entry in self.entries if entry.rotation == 0))

    def sha256(self) -> str:
        """Return a checksum over the facts of all samples: sequences, subjects, labels, rotations, image files."""
        return hashlib.sha256(json.dumps([entry.facts() for entry in self.entries]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Tensor:
        """Return one sample's maps, float16 (frames, h, w, C).

        Raises:
            BadInput: the file is damaged, or holds NaN or infinity.
        """
        maps = self.store.maps(self.entries[number])
        if not torch.isfinite(maps).all():
            path = self.store.path_of(self.entries[number])
            raise BadInput(f"{path}: holds NaN or infinity; delete it and run `face-strnn prepare` again")
        return maps

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))

    def names(self, chosen: np.ndarray) -> list[tuple[str, int]]:
        """Return sequence and rotation of the samples that a bool (N,) mask chooses."""
        return [(self.entries[n].sequence, self.entries[n].rotation) for n in np.flatnonzero(chosen)]

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.tensor([self.class_names.index(entry.emotion) for entry in self.entries])

    @property
    def subjects(self) -> np.ndarray:
        """(N,) strings."""
        return np.array([entry.subject for entry in self.entries])

    @property
    def given_folds(self) -> np.ndarray:
        """(N,) strings: the folds that the data set itself gives; empty where it gives none."""
        return np.array([entry.fold for entry in self.entries])

    @property
    def rotations(self) -> np.ndarray:
        """(N,) degrees; 0 marks the samples that may be tested."""
        return np.array([entry.rotation for entry in self.entries])

    @property
    def unrotated(self) -> np.ndarray:
        """Numbers of the samples that are not rotated."""
        return np.flatnonzero(self.rotations == 0)


def names_sha256(names: Iterable[tuple[str, int]]) -> str:
    """Return a checksum over which samples these are, (sequence, rotation in degrees), in whatever order they come."""
    lines = sorted(f"{sequence} {rotation:+d}" for sequence, rotation in names)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def channel_moments(maps: Sequence[Tensor]) -> Tensor:
    """Return count, sum and sum of squares of every channel over each sample's nodes and frames.

    Args:
        maps: N samples, each (frames, h, w, C).

    Returns:
        float64 (N, 3, C).
    """
    # Written in place: small results kept between large freed copies would fragment memory, a copy per sample.
    moments = torch.empty(len(maps), 3, maps[0].shape[-1], dtype=torch.float64)
    for number, sample in enumerate(maps):
        values = sample.flatten(0, -2).float()
        moments[number, 0] = len(values)
        moments[number, 1] = values.sum(0)
        moments[number, 2] = values.square().sum(0)
    return moments
