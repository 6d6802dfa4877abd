"""The feature store: pooling maps on disk, one safetensors file per sequence and variant."""

from pathlib import Path

import torch

from data_prep.store.sequence_store import SequenceStore, StoredSequence


class FeatureStore(SequenceStore):
    """Pooling maps of a data set: float16 (frames, h, w, channels).

    Made by :meth:`create` for writing and :meth:`open` for reading.

    Attributes:
        folder: the store's folder.
        recipe: what shaped the maps: data set, backbone, weights and their checksum, maps, crop, rotation.
    """

    RECIPE_FILE = "store.json"
    WHAT = "feature store"
    TENSOR = "maps"
    DTYPE = torch.float16

    def path_of(self, entry: StoredSequence) -> Path:
        """Return where the maps of an entry are, or will be."""
        return self.folder / entry.file_name

    def maps(self, entry: StoredSequence) -> torch.Tensor:
        """Return one entry's maps: float16 (frames, h, w, channels), mapped from the file, not read into memory.

        Raises:
            BadInput: the file is damaged, belongs to another store, or is not what the index says.
        """
        return self._read(entry)

    def sequence_names(self) -> set[str]:
        """Return the sequences that have a file, by the files' names alone."""
        return {_sequence(self.folder / name) for name in self._file_names()}

    def _files_of(self, sequence: str) -> list[Path]:
        # A sequence P1 has nothing to do with the files of one named P1_rotated.
        return [path for path in self.folder.glob(f"{sequence}_rot*.safetensors") if _sequence(path) == sequence]


def _sequence(path: Path) -> str:
    return path.name.rsplit("_rot", 1)[0]
