"""Face crops of one kind on disk: one safetensors file per sequence, none for rotated or flipped copies.

They show subjects' faces.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep.faces.crops import side_with_border
from data_prep.faces.variants import ROTATION_BORDER
from data_prep.store.sequence_store import SequenceStore, StoredSequence
from data_prep.store.sourced_files import read_sourced, write_sourced

THUMBNAILS = "thumbnails"


def crops_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what shapes the crops that the maps of a recipe are made from; see :class:`CropStore`."""
    classes = {"classes": recipe["classes"]} if "classes" in recipe else {}
    return {"data": recipe["data"], "crop": recipe["crop"], "room": ROTATION_BORDER, "format": 1, **classes}


class CropStore(SequenceStore):
    """The crops of a data set's sequences: uint8 (frames, side, side, 3), RGB, with a border for rotations.

    A folder in a :class:`data_prep.store.faces.FaceStore`, with its own index and list of omitted sequences. It also
    contains the thumbnails of the contact sheet, so that it may exist without crops.

    Attributes:
        folder: its folder.
        recipe: data set, detector, kind of crop (``per``), ``margin`` and ``pixels``.
    """

    RECIPE_FILE = "crops.json"
    WHAT = "folder of crops"
    TENSOR = "crops"
    DTYPE = torch.uint8

    @property
    def pixels(self) -> int:
        """Side of the crops without their border."""
        return self.recipe["crop"]["pixels"]

    @property
    def side(self) -> int:
        """Side of what is stored: :attr:`pixels` widened by :data:`data_prep.faces.variants.ROTATION_BORDER`."""
        return side_with_border(self.pixels, ROTATION_BORDER)

    def path_of(self, entry: StoredSequence) -> Path:
        """Return where the crops of a sequence are, or will be."""
        return self._path(entry.sequence)

    def crops(self, entry: StoredSequence) -> torch.Tensor:
        """Return a sequence's crops, mapped from the file, not read into memory: uint8 (frames, side, side, 3).

        Raises:
            BadInput: the file is damaged, belongs to another store, or is not what the index says.
        """
        return self._read(entry)

    def write_thumbnails(self, sequence: str, source: str, pictures: np.ndarray) -> None:
        """Write the thumbnails of a sequence for the contact sheet.

        Args:
            sequence: its name.
            source: SHA-256 of its images.
            pictures: uint8 (3, n, n, 3): first, middle and apex crop.
        """
        write_sourced(self._thumbnails(sequence), {"pictures": torch.from_numpy(pictures)}, self._made_of(source))

    def thumbnails(self, sequence: str, source: str | None = None) -> np.ndarray | None:
        """Return the thumbnails of :meth:`write_thumbnails`; None if there are none, or none of this source."""
        found = read_sourced(self._thumbnails(sequence), self._made_of(source))
        return None if found is None else found[0]["pictures"].numpy()

    def remove_thumbnails(self) -> None:
        """Delete the thumbnails of all sequences."""
        for path in self._thumbnails("").parent.glob("*"):
            path.unlink()

    def remove_outdated(self, sequence: str, current: StoredSequence | None) -> None:
        """Delete a sequence's crops and thumbnails where they are not of ``current``; None deletes them."""
        super().remove_outdated(sequence, current)
        if current is None or self.thumbnails(sequence, current.source) is None:
            self._thumbnails(sequence).unlink(missing_ok=True)

    def _files_of(self, sequence: str) -> list[Path]:
        path = self._path(sequence)
        return [path] if path.is_file() else []

    def _path(self, sequence: str) -> Path:
        return self.folder / f"{sequence}.safetensors"

    def _thumbnails(self, sequence: str) -> Path:
        return self.folder / THUMBNAILS / f"{sequence}.thumbnails"

    def _made_of(self, source: str | None) -> dict[str, str]:
        return {"fingerprint": self.fingerprint} | ({} if source is None else {"source": source})
