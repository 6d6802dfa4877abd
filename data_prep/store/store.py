"""The feature store: pooling maps on disk, one safetensors file per sequence and variant.

A store is a folder whose name ends with the fingerprint of everything that shaped its maps. Each file carries the facts
about its sequence in its header, so that the index is only a convenience and can be rebuilt from the files.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from data_prep.atomic_files import UNFINISHED, write_text_whole
from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.tensor_files import tensor_in_parts, write_tensors

RECIPE_FILE = "store.json"
INDEX_FILE = "index.csv"
LEFT_OUT_FILE = "left_out.txt"
TENSOR = "maps"
_OPTIONAL = ("fold", "flip")
"""Facts that are written only where there is something to say."""
_VARIANT_OF_FILE = re.compile(r"_rot[+-]\d\d(\.\d)?(_flip)?\.safetensors")


@dataclass(frozen=True)
class StoredSequence:
    """The facts about one file of a store.

    Attributes:
        sequence: name of the sequence, for example ``"S005_001"``.
        subject: the subject's ID.
        emotion: the label.
        rotation: degrees, counter-clockwise; 0 for the unrotated sequence. An int where they are whole.
        frames: number of frames: those of the part in which the face was followed.
        source: SHA-256 over the files from which the maps were made, see
            :func:`data_prep.datasets.sequence_frames.source_sha256`.
        fold: the fold that the data set itself gives to the sequence; empty where it gives none.
        flip: whether the sequence was flipped, before it was rotated.
    """

    sequence: str
    subject: str
    emotion: str
    rotation: float
    frames: int
    source: str
    fold: str = ""
    flip: bool = False

    @property
    def variant(self) -> Variant:
        """The variant of the sequence."""
        return Variant(self.rotation, self.flip)

    @property
    def file_name(self) -> str:
        """``S005_001_rot+00.safetensors``, ``S005_001_rot-12.safetensors``, ``S005_001_rot+02.5_flip.safetensors``."""
        return f"{self.sequence}_{self.variant.file_part}.safetensors"

    def facts(self) -> dict[str, str | float]:
        """Return the attributes by name, without a fold that is not given and a flip that was not made.

        Stores from before there were any keep their headers and checksums.
        """
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONAL or value}


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that change with anything in the recipe but the name of the weights' file.

    The weights are known by their checksum; a copy under another name gives the same maps.
    """
    shaping = {key: value for key, value in recipe.items() if key != "weights"}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:12]


class FeatureStore:
    """Pooling maps of a data set.

    Made by :meth:`create` for writing and :meth:`open` for reading.

    Attributes:
        folder: the store's folder.
        recipe: what shaped the maps: data set, backbone, weights and their checksum, maps, crop, rotation.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self.folder = folder
        self.recipe = dict(recipe)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits; the end of the folder's name."""
        return fingerprint(self.recipe)

    @classmethod
    def create(cls, parent: Path, name: str, recipe: Mapping[str, Any]) -> "FeatureStore":
        """Make the store's folder in ``parent``, or take up the one that is there.

        Args:
            parent: folder of stores.
            name: first part of the folder's name; the fingerprint follows.
            recipe: what shapes the maps; values that JSON can hold.

        Raises:
            BadInput: ``parent`` cannot be written to.
        """
        # A store that was made under another name, of the weights' file say, is the same store.
        begun = sorted(recipe_file.parent for recipe_file in parent.glob(f"*-{fingerprint(recipe)}/{RECIPE_FILE}"))
        store = cls(begun[0] if begun else parent / f"{name}-{fingerprint(recipe)}", recipe)
        try:
            store.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{store.folder}: cannot be made ({error.strerror}); give another --out") from error
        if not (store.folder / RECIPE_FILE).is_file():
            write_text_whole(store.folder / RECIPE_FILE, json.dumps(store.recipe, indent=2, sort_keys=True) + "\n")
        return store

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """Open a store for reading.

        Args:
            path: the store's folder, or a folder that holds exactly one store.

        Raises:
            BadInput: there is none, there are several, or the folder's name does not carry the fingerprint of its
                recipe.
        """
        if not path.is_dir():
            raise BadInput(f"{path}: no such folder; `face-strnn prepare --out {path}` makes a feature store in it")
        if not (path / RECIPE_FILE).is_file():
            stores = sorted(recipe.parent for recipe in path.glob(f"*/{RECIPE_FILE}"))
            if not stores:
                raise BadInput(f"{path}: holds no feature store; `face-strnn prepare --out {path}` makes one")
            if len(stores) > 1:
                names = ", ".join(store.name for store in stores)
                raise BadInput(f"{path}: holds several feature stores ({names}); give --features one of them")
            path = stores[0]
        try:
            recipe = json.loads((path / RECIPE_FILE).read_text(encoding="utf-8"))
            if not isinstance(recipe, dict):
                raise ValueError("no recipe")
        except (OSError, ValueError) as error:
            raise BadInput(f"{path / RECIPE_FILE}: damaged ({error}); prepare the features again") from error
        store = cls(path, recipe)
        if not path.resolve().name.endswith(f"-{store.fingerprint}"):
            raise BadInput(
                f"{path}: the folder's name must end with {store.fingerprint}, the fingerprint of its {RECIPE_FILE}; "
                "give the store its own name back, or prepare the features again"
            )
        return store

    def path_of(self, entry: StoredSequence) -> Path:
        """Return where the maps of an entry are, or will be."""
        return self.folder / entry.file_name

    def holds(self, entry: StoredSequence) -> bool:
        """Whether the maps of exactly this entry are there, whole and made from the same files.

        The number of frames follows from those files, and is not known of a video before it is decoded: any will do.
        """
        path = self.path_of(entry)
        header = self._try_header(path) if path.is_file() else None
        return header is not None and replace(header, frames=entry.frames) == entry

    def write(self, entry: StoredSequence, maps: torch.Tensor) -> None:
        """Write one file, whole or not at all.

        Args:
            entry: the facts about it.
            maps: float16 (frames, h, w, channels).
        """
        write_tensors(self.path_of(entry), {TENSOR: maps}, self._header_of(entry))

    def write_in_parts(
        self, entry: StoredSequence, shape: Sequence[int]
    ) -> AbstractContextManager[Callable[[torch.Tensor], None]]:
        """Write one file some frames at a time, whole or not at all: :func:`data_prep.tensor_files.tensor_in_parts`.

        Args:
            entry: the facts about it, with the number of frames.
            shape: (h, w, channels) of a frame's maps.
        """
        return tensor_in_parts(self.path_of(entry), TENSOR, (entry.frames, *shape), self._header_of(entry))

    def entries(self) -> list[StoredSequence]:
        """Return the facts about every file, in ascending order of sequence, rotation and flip.

        They come from the index; where that is missing or does not list exactly the files that are there, from the
        files' headers, and the index is written anew.

        Raises:
            BadInput: a file is damaged or belongs to another store.
        """
        entries = self._indexed()
        if entries is None or sorted(entry.file_name for entry in entries) != [file.name for file in self._files()]:
            return self.rebuild_index()
        return entries

    def rebuild_index(self) -> list[StoredSequence]:
        """Write ``index.csv`` anew from the files' headers and return its entries. Raises as :meth:`entries` does."""
        entries = sorted((self._header(file) for file in self._files()), key=lambda e: (e.sequence, e.variant))
        names = [field.name for field in fields(StoredSequence)]
        names = [name for name in names if name not in _OPTIONAL or any(getattr(entry, name) for entry in entries)]
        lines = [",".join(names), *(",".join(str(getattr(entry, name)) for name in names) for entry in entries)]
        write_text_whole(self.folder / INDEX_FILE, "\n".join(lines) + "\n")
        return entries

    def sequence_names(self) -> set[str]:
        """Return the sequences that have a file, by the files' names alone."""
        return {file.name.rsplit("_rot", 1)[0] for file in self._files()}

    def maps(self, entry: StoredSequence) -> torch.Tensor:
        """Return one entry's maps: float16 (frames, h, w, channels), mapped from the file, not read into memory.

        Raises:
            BadInput: the file is damaged, belongs to another store, or is not what the index says.
        """
        path = self.path_of(entry)
        if self._header(path) != entry:
            raise BadInput(f"{path}: not what {INDEX_FILE} says of it; delete {self.folder / INDEX_FILE}, it is remade")
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(TENSOR)

    def write_left_out(self, sequences: Sequence[str]) -> None:
        """Write down, one name a line, the sequences that have no maps because no frame shows a face."""
        write_text_whole(self.folder / LEFT_OUT_FILE, "".join(f"{sequence}\n" for sequence in sequences))

    def left_out(self) -> list[str]:
        """Return the names that :meth:`write_left_out` wrote down; none before `prepare` has come to its end."""
        path = self.folder / LEFT_OUT_FILE
        return path.read_text(encoding="utf-8").split() if path.is_file() else []

    def remove_outdated(self, sequence: str, current: Sequence[StoredSequence]) -> None:
        """Delete a sequence's files that are damaged or of other images or another label than ``current`` says.

        Args:
            sequence: its name.
            current: what its files should be, variants aside; empty deletes them all.
        """
        facts = {(entry.subject, entry.emotion, entry.source, entry.fold) for entry in current}
        for path in self.folder.glob(f"{sequence}_rot*.safetensors"):
            # A sequence P1 has nothing to do with the files of one named P1_rotated.
            if not _VARIANT_OF_FILE.fullmatch(path.name.removeprefix(sequence)):
                continue
            header = self._try_header(path)
            if header is None or (header.subject, header.emotion, header.source, header.fold) not in facts:
                path.unlink()

    def remove_unfinished(self) -> None:
        """Delete what killed writers left half-written. Only whoever is the folder's one writer may call this."""
        for half in self.folder.rglob(f".*{UNFINISHED}"):
            half.unlink(missing_ok=True)

    def _header_of(self, entry: StoredSequence) -> dict[str, str]:
        return {name: str(value) for name, value in entry.facts().items()} | {"fingerprint": self.fingerprint}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def _indexed(self) -> list[StoredSequence] | None:
        try:
            with (self.folder / INDEX_FILE).open(encoding="utf-8", newline="") as text:
                return [_entry(row) for row in csv.DictReader(text)]
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def _try_header(self, path: Path) -> StoredSequence | None:
        try:
            return self._header(path)
        except BadInput:
            return None

    def _header(self, path: Path) -> StoredSequence:
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                shape = file.get_slice(TENSOR).get_shape()
            entry = _entry(header)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise BadInput(f"{path}: damaged ({error}); delete it and run `face-strnn prepare` again") from error
        if header.get("fingerprint") != self.fingerprint:
            raise BadInput(
                f"{path}: made by another recipe (fingerprint {header.get('fingerprint')}, this store has "
                f"{self.fingerprint}); delete it and run `face-strnn prepare` again"
            )
        if shape[0] != entry.frames or path.name != entry.file_name:
            raise BadInput(f"{path}: not what its header says; delete it and run `face-strnn prepare` again")
        return entry


def _entry(row: Mapping[str, str]) -> StoredSequence:
    variant = Variant(float(row["rotation"]), {"": False, "False": False, "True": True}[row.get("flip") or ""])
    return StoredSequence(
        row["sequence"],
        row["subject"],
        row["emotion"],
        variant.rotation,
        int(row["frames"]),
        row["source"],
        row.get("fold") or "",
        variant.flip,
    )
