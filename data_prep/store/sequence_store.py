"""Folders of one safetensors file for each sequence, or each of its variants, with their tables.

Each file carries the facts about its sequence in its header, so that the index is only a convenience and can be rebuilt
from the files.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.faces.variants import Variant
from data_prep.store.contents import CONTENTS_FILE, Contents
from data_prep.store.lock import refuse_writer
from data_prep.store.recipe_folder import RecipeFolder
from data_prep.tensor_files import CHECKSUM, tensor_checksum, tensor_in_parts

INDEX_FILE = "index.csv"
LEFT_OUT_FILE = "left_out.txt"
AGAIN = "delete it and run `face-strnn prepare` again"
_OPTIONAL = ("fold", "flip")
"""Facts that are only written if they are not empty."""


@dataclass(frozen=True)
class StoredSequence:
    """The facts about one file of a store.

    Attributes:
        sequence: name of the sequence, for example ``"S005_001"``.
        subject: the subject's ID.
        emotion: the label.
        rotation: degrees, counter-clockwise; 0 for the original sequence. An int if whole.
        frames: number of frames: those of the part in which the face was followed.
        source: SHA-256 over the files from which it was made, see
            :func:`data_prep.datasets.sequence_frames.source_sha256`.
        fold: the fold predefined by the data set; empty if there is none.
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
        """Return the attributes by name, without an empty fold and a false flip.

        So a data set without folds has the headers and checksums that it would have if there were no such facts.
        """
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONAL or value}


class _Header(NamedTuple):
    """What a file says of itself."""

    entry: StoredSequence
    checksum: str


class SequenceStore(RecipeFolder, ABC):
    """A folder of sequences' tensors, one file each; the first axis is that of the frames.

    Its writer calls :meth:`begin`, writes the files, and at last calls :meth:`complete`.

    Attributes:
        TENSOR: name of the tensor in each file.
        DTYPE: its type.
    """

    TENSOR: ClassVar[str]
    DTYPE: ClassVar[torch.dtype]

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        super().__init__(folder, recipe)
        self._verified: set[Path] = set()

    @abstractmethod
    def path_of(self, entry: StoredSequence) -> Path:
        """Return where the file of an entry is, or will be."""

    @abstractmethod
    def _files_of(self, sequence: str) -> list[Path]:
        """The files of a sequence that are there."""

    def holds(self, entry: StoredSequence) -> bool:
        """Whether the file of exactly this entry exists, complete and made from the same images."""
        return self._try_header(self.path_of(entry)) == entry

    def write(self, entry: StoredSequence, tensor: torch.Tensor) -> None:
        """Write one file atomically.

        Args:
            entry: the facts about it.
            tensor: of the store's type, (frames, ...), contiguous on the CPU.
        """
        with self.write_in_parts(entry, tensor.shape[1:]) as append:
            append(tensor)

    def write_in_parts(
        self, entry: StoredSequence, shape: Sequence[int]
    ) -> AbstractContextManager[Callable[[torch.Tensor], None]]:
        """Write one file atomically, some frames at a time; see :func:`data_prep.tensor_files.tensor_in_parts`.

        Args:
            entry: the facts about it, with the number of frames.
            shape: of what there is for each frame.
        """
        path = self.path_of(entry)
        return tensor_in_parts(path, self.TENSOR, (entry.frames, *shape), self._header_of(entry), self.DTYPE)

    def begin(self, sequences: Iterable[str]) -> None:
        """Write down which sequences the store should hold; it is incomplete from now on."""
        Contents(tuple(sequences)).write(self.folder)

    def complete(self) -> None:
        """Write down that the store is complete, and the checksums of its files: the last thing that is written."""
        Contents(tuple(self._sequences()), True, self._checksums()).write(self.folder)

    def require_complete(self, partial: bool = False) -> int:
        """Refuse a store that its writer has not finished or is writing to, or that has changed since it was finished.

        Args:
            partial: accept one that holds only a part of its sequences.

        Returns:
            The number of sequences that it should hold.

        Raises:
            BadInput: it is not complete, or not what was written; the message says how to finish it.
        """
        refuse_writer(self.folder, "prepare")
        contents, held = Contents.read(self.folder), self._sequences()
        finish = f"run the same `face-strnn prepare` again with --out {self.folder.parent}, it resumes"
        if contents is None:
            raise BadInput(f"{self.folder}: has no {CONTENTS_FILE}, which lists what it should hold; {finish}")
        expected = {*held, *contents.sequences}
        found = self._checksums() if contents.complete else {}
        if changed := sorted(name for name, checksum in found.items() if contents.files.get(name) != checksum):
            raise BadInput(
                f"{self.folder}: {_some(changed)} changed since `face-strnn prepare` finished; delete what changed and "
                f"{finish}"
            )
        whole = contents.complete and found.keys() == contents.files.keys()
        if not whole and not partial:
            what = "`face-strnn prepare` has not finished it"
            if contents.complete:
                what = f"{_some(sorted(contents.files.keys() - found.keys()))} removed from it"
            raise BadInput(
                f"{self.folder}: {what}, {len(held)} of {len(expected)} sequences are there; {finish}; or use "
                "those that are there: cv, reproduce and backbones --compare take --partial"
            )
        return len(expected)

    def checksum_of(self, entries: Iterable[StoredSequence]) -> str:
        """Return BLAKE2b over the names and checksums of the files of entries, in any order.

        Raises:
            BadInput: a file is damaged or belongs to another store.
        """
        lines = (f"{path.name} {self._header(path).checksum}\n" for path in sorted(map(self.path_of, entries)))
        return blake2b("".join(lines).encode(), digest_size=16).hexdigest()

    def entries(self) -> list[StoredSequence]:
        """Return the facts about every file, in ascending order of sequence, rotation and flip.

        They come from the index. If it is missing or does not list exactly the existing files, they come from the
        files' headers, and the index is rewritten.

        Raises:
            BadInput: a file is damaged or belongs to another store.
        """
        entries = self._indexed()
        if entries is None or sorted(self.path_of(entry).name for entry in entries) != self._file_names():
            return self.rebuild_index()
        return entries

    def rebuild_index(self) -> list[StoredSequence]:
        """Write ``index.csv`` anew from the files' headers and return its entries. Raises as :meth:`entries` does."""
        entries = [self._header(path).entry for path in self._paths()]
        entries.sort(key=lambda entry: (entry.sequence, entry.variant))
        names = [field.name for field in fields(StoredSequence)]
        names = [name for name in names if name not in _OPTIONAL or any(getattr(entry, name) for entry in entries)]
        lines = [",".join(names), *(",".join(str(getattr(entry, name)) for name in names) for entry in entries)]
        write_text_whole(self.folder / INDEX_FILE, "\n".join(lines) + "\n")
        return entries

    def _read(self, entry: StoredSequence) -> torch.Tensor:
        """Return one entry's tensor, mapped from the file, not read into memory.

        On the first reading the whole tensor is compared with its checksum, and its numbers must be finite.

        Raises:
            BadInput: the file is damaged, belongs to another store, or is not what the index says.
        """
        path = self.path_of(entry)
        found, checksum = self._header(path)
        if found != entry:
            raise BadInput(f"{path}: not what {INDEX_FILE} says of it; delete {self.folder / INDEX_FILE}, it is remade")
        with safe_open(path, framework="pt") as file:
            tensor = file.get_tensor(self.TENSOR)
        if path not in self._verified:
            if tensor_checksum(tensor) != checksum:
                raise BadInput(f"{path}: not what was written (its {CHECKSUM} is another); {AGAIN}")
            if not torch.isfinite(tensor).all():
                raise BadInput(f"{path}: holds NaN or infinity; {AGAIN}")
            self._verified.add(path)
        return tensor

    def write_left_out(self, sequences: Sequence[str]) -> None:
        """Write the names of the sequences without a file, because no frame shows a face, one per line."""
        write_text_whole(self.folder / LEFT_OUT_FILE, "".join(f"{sequence}\n" for sequence in sequences))

    def left_out(self) -> list[str]:
        """Return the names written by :meth:`write_left_out`; none before `prepare` has finished.

        Raises:
            BadInput: the file is no text.
        """
        path = self.folder / LEFT_OUT_FILE
        try:
            return path.read_text(encoding="utf-8").split() if path.is_file() else []
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: damaged ({error}); run the same `face-strnn prepare` again") from error

    def remove_outdated(self, sequence: str, current: StoredSequence | None) -> None:
        """Delete a sequence's files that are damaged or of other images or another label than ``current`` says.

        Args:
            sequence: its name.
            current: what its files should be, variant and number of frames aside; None deletes them all.
        """
        for path in self._files_of(sequence):
            if current is None or _origin(self._try_header(path)) != _origin(current):
                path.unlink()

    def _header_of(self, entry: StoredSequence) -> dict[str, str]:
        return {name: str(value) for name, value in entry.facts().items()} | {"fingerprint": self.fingerprint}

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def _file_names(self) -> list[str]:
        return [path.name for path in self._paths()]

    def _checksums(self) -> dict[str, str]:
        return {path.name: self._header(path).checksum for path in self._paths()}

    def _sequences(self) -> list[str]:
        return sorted({entry.sequence for entry in self.entries()})

    def _indexed(self) -> list[StoredSequence] | None:
        try:
            with (self.folder / INDEX_FILE).open(encoding="utf-8", newline="") as text:
                return [_entry(row) for row in csv.DictReader(text)]
        except (OSError, KeyError, TypeError, ValueError, csv.Error):
            return None

    def _try_header(self, path: Path) -> StoredSequence | None:
        try:
            return self._header(path).entry
        except BadInput:
            return None

    def _header(self, path: Path) -> _Header:
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                stored = file.get_slice(self.TENSOR)
                if not stored.get_shape() or stored[:0].dtype != self.DTYPE:
                    raise ValueError(f"its {self.TENSOR} are not {str(self.DTYPE).removeprefix('torch.')}")
                shape = file.get_slice(self.TENSOR).get_shape()
            found = _Header(_entry(header), header[CHECKSUM])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise BadInput(f"{path}: damaged ({error}); {AGAIN}") from error
        if header.get("fingerprint") != self.fingerprint:
            raise BadInput(
                f"{path}: made by another recipe (fingerprint {header.get('fingerprint')}, this store has "
                f"{self.fingerprint}); {AGAIN}"
            )
        if shape[0] != found.entry.frames or path.name != self.path_of(found.entry).name:
            raise BadInput(f"{path}: not what its header says; {AGAIN}")
        return found


def _some(names: Sequence[str]) -> str:
    """Name the first, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


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


def _origin(entry: StoredSequence | None) -> tuple[str, ...] | None:
    """What all files of a sequence have in common."""
    return entry and (entry.subject, entry.emotion, entry.source, entry.fold)
