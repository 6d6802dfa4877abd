"""The sequences that networks learn from: maps read as they are stored, labels, subjects."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data_prep.datasets.emotions import chosen_classes, classes_of
from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.store.sequence_store import AGAIN, StoredSequence
from data_prep.store.store import FeatureStore
from face_strnn.config import LearnFrom


@dataclass(frozen=True)
class Samples:
    """Every sequence and variant of a feature store, in ascending order of sequence, rotation and flip.

    Attributes:
        store: where the maps are.
        entries: the N samples.
        class_names: the classes to distinguish; a label is an index into them.
        population: the original samples of the whole store, of all its classes: their subjects are split into folds.
        n_expected: number of sequences that the store should hold; more than ``population`` if it is partial.
    """

    store: FeatureStore
    entries: tuple[StoredSequence, ...]
    class_names: tuple[str, ...]
    population: tuple[StoredSequence, ...]
    n_expected: int

    @classmethod
    def of(cls, store: FeatureStore, classes: Sequence[str] | None = None, partial: bool = False) -> "Samples":
        """Return the samples of a store.

        Args:
            store: the features.
            classes: those to distinguish, of the store's own; the samples of the others are omitted. None for all.
            partial: take a store that is not complete; a sequence that lacks variants is omitted.

        Raises:
            BadInput: the store is not complete, is written to, or has changed since it was completed; it is empty, a
                sequence lacks a variant that others have, its variants differ in images or label, or a label or one of
                ``classes`` is not a class of the store.
        """
        n_expected = store.require_complete(partial)
        entries = _with_all_variants(store, store.entries(), partial)
        if not entries:
            raise BadInput(f"{store.folder}: holds no features yet; run `face-strnn prepare` to the end")
        known = store.recipe.get("classes") or classes_of(store.recipe["data"], {entry.emotion for entry in entries})
        if strange := [entry for entry in entries if entry.emotion not in known]:
            path, emotion = store.path_of(strange[0]), strange[0].emotion
            raise BadInput(f"{path}: its emotion {emotion} is not one of {', '.join(known)}")
        population = tuple(entry for entry in entries if entry.variant.is_original)
        class_names = tuple(known) if classes is None else chosen_classes(classes, known)
        chosen = tuple(entry for entry in entries if entry.emotion in class_names)
        return cls(store, chosen, class_names, population, n_expected)

    def learnable(self, learn_from: LearnFrom) -> "Samples":
        """Return the samples to learn from: all, or with ``"original"`` only the original sequences.

        The original sequences have the order and the steps of an epoch that they have in a store without variants.
        """
        return self.originals() if learn_from == "original" else self

    def originals(self) -> "Samples":
        """Return the samples that are neither rotated nor flipped."""
        return self.subset(self.original_numbers)

    def subset(self, numbers: Iterable[int]) -> "Samples":
        """Return the samples of these numbers, in this order."""
        return replace(self, entries=tuple(self.entries[n] for n in numbers))

    @property
    def is_partial(self) -> bool:
        """Whether the store should hold more sequences."""
        return len(self.population) < self.n_expected

    def sha256(self) -> str:
        """Return a checksum over the facts of all samples: sequences, subjects, labels, variants, image files."""
        return hashlib.sha256(json.dumps([entry.facts() for entry in self.entries]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Tensor:
        """Return one sample's maps, float16 (frames, h, w, C).

        Raises:
            BadInput: the file is damaged or changed, or holds NaN or infinity.
        """
        return self.store.maps(self.entries[number])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))

    def names(self) -> list[tuple[str, Variant]]:
        """Return sequence and variant of all samples."""
        return [(entry.sequence, entry.variant) for entry in self.entries]

    def variant_facts(self) -> dict[str, list[float]]:
        """Return the variants of every sequence, as a run records them.

        ``rotations`` are the degrees of those that are not flipped, ``flipped`` those of the flipped ones, if any.
        """
        variants = sorted({entry.variant for entry in self.entries})
        facts = {"rotations": [one.rotation for one in variants if not one.flip]}
        flipped = [one.rotation for one in variants if one.flip]
        return {**facts, "flipped": flipped} if flipped else facts

    @property
    def n_variants(self) -> int:
        """Number of variants of every sequence, with the original one."""
        return len({entry.variant for entry in self.entries})

    @property
    def sequence_numbers(self) -> np.ndarray:
        """(N,) ints: which sequence each sample shows, from 0 in ascending order of name."""
        return np.unique([entry.sequence for entry in self.entries], return_inverse=True)[1]

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.tensor([self.class_names.index(entry.emotion) for entry in self.entries])

    @property
    def subjects(self) -> np.ndarray:
        """(N,) strings."""
        return np.array([entry.subject for entry in self.entries])

    @property
    def predefined_folds(self) -> np.ndarray:
        """(N,) strings: the data set's predefined folds; empty if it has none."""
        return np.array([entry.fold for entry in self.entries])

    @property
    def original_numbers(self) -> np.ndarray:
        """Numbers of the samples that are neither rotated nor flipped: those that the protocol tests."""
        return np.flatnonzero([entry.variant.is_original for entry in self.entries])


def _with_all_variants(store: FeatureStore, entries: Sequence[StoredSequence], partial: bool) -> list[StoredSequence]:
    """Return the samples of the sequences that have all variants; if not ``partial``, all must have them."""
    variants = {entry.variant for entry in entries}
    by_sequence: dict[str, list[StoredSequence]] = {}
    for entry in entries:
        of_sequence = by_sequence.setdefault(entry.sequence, [])
        of_sequence.append(entry)
        first = of_sequence[0]
        if replace(entry, rotation=first.rotation, flip=first.flip) != first:
            raise BadInput(f"{store.path_of(entry)}: of other images or another label than {first.file_name}; {AGAIN}")
    whole = []
    for sequence, found in by_sequence.items():
        if lacking := variants - {entry.variant for entry in found}:
            if not partial:
                raise BadInput(
                    f"{store.folder}: {sequence} lacks the variants {', '.join(map(str, sorted(lacking)))} that others "
                    "have; run `face-strnn prepare` to the end"
                )
        else:
            whole += found
    return whole


def names_sha256(names: Iterable[tuple[str, Variant]]) -> str:
    """Return a checksum over the names of samples, (sequence, variant), in any order."""
    lines = sorted(f"{sequence} {variant}" for sequence, variant in names)
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
        # float32 sums of squares lose the deviation of a channel whose mean is much larger.
        values = sample.flatten(0, -2).to(torch.float64, copy=True)
        moments[number, 0] = len(values)
        moments[number, 1] = values.sum(0)
        moments[number, 2] = values.square_().sum(0)
    return moments
