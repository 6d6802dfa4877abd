"""The faces store, below the maps: the face in every frame of a data set, and the crops derived from it.

It depends only on the data set and the detector, so that all feature stores of a data set in one folder share it:
another backbone, other weights or another crop need no new detection.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.store.crop_store import CropStore, crops_recipe
from data_prep.store.recipe_folder import RecipeFolder, fingerprint
from data_prep.store.sourced_files import read_sourced, write_sourced
from data_prep.store.store import FeatureStore
from data_prep.store.tracks import SequenceTrack, tensors_of, track_of

TRACKS, CROPS = "tracks", "crops"
SUFFIX = ".track"
_DETECTION = ("detector", "every", "max_gap")


def faces_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what shapes the tracks that the crops or maps of a recipe are made from: data set and detector."""
    detection = {name: recipe["crop"][name] for name in _DETECTION if name in recipe["crop"]}
    return {"data": recipe["data"], **detection, "format": 1}


class FaceStore(RecipeFolder):
    """The faces of a data set: a small file for each sequence in ``tracks``, and folders of crops in ``crops``.

    It lies beside the feature stores that were made from it; :meth:`beside` finds that of a feature store, :meth:`open`
    the one in a folder.

    Attributes:
        folder: the store's folder.
        recipe: what shaped the tracks: data set and detector.

    Example:
        >>> for crops in FaceStore.open(Path("features")).crop_stores():  # doctest: +SKIP
        ...     print(crops.pixels, [crops.crops(entry).shape for entry in crops.entries()])
    """

    RECIPE_FILE = "faces.json"
    WHAT = "faces store"

    @classmethod
    def begin(cls, parent: Path, recipe: Mapping[str, Any]) -> "FaceStore":
        """Make the store that a feature store's or crops' recipe builds on, or resume with the one that is there.

        Raises:
            BadInput: ``parent`` cannot be written to.
        """
        return cls.create(parent, _name(recipe), faces_recipe(recipe))

    @classmethod
    def beside(cls, store: FeatureStore) -> "FaceStore":
        """Return the faces store that a feature store was made from, whether it still exists or not."""
        recipe = faces_recipe(store.recipe)
        return cls(store.folder.resolve().parent / f"{_name(recipe)}-{fingerprint(recipe)}", recipe)

    def track(self, sequence: str, source: str | None = None) -> SequenceTrack | None:
        """Return a sequence's face.

        Args:
            sequence: its name.
            source: SHA-256 of the images that it must be made from; None for whatever is there.

        Returns:
            None if it is absent, damaged, of another recipe or of another source.
        """
        wanted = {"sequence": sequence, "fingerprint": self.fingerprint}
        found = read_sourced(self._track(sequence), wanted if source is None else wanted | {"source": source})
        if found is None:
            return None
        tensors, facts = found
        if bool(tensors) == (self.recipe.get("detector") == "given"):
            return None
        try:
            n_frames = int(facts["frames"])
            return SequenceTrack(sequence, facts["source"], n_frames, track_of(tensors, n_frames) if tensors else None)
        except (KeyError, TypeError, ValueError):
            return None

    def write_track(self, track: SequenceTrack) -> None:
        """Write a sequence's face atomically."""
        facts = {"sequence": track.sequence, "source": track.source, "frames": str(track.n_frames)}
        tensors = {} if track.faces is None else tensors_of(track.faces)
        write_sourced(self._track(track.sequence), tensors, {**facts, "fingerprint": self.fingerprint})

    def sequence_names(self) -> set[str]:
        """Return the sequences that have a track, by the files' names alone."""
        return {path.name.removesuffix(SUFFIX) for path in (self.folder / TRACKS).glob(f"*{SUFFIX}")}

    def remove_outdated(self, sequence: str, source: str | None) -> None:
        """Delete a sequence's track where it is damaged or not of this source; None deletes it."""
        if source is None or self.track(sequence, source) is None:
            self._track(sequence).unlink(missing_ok=True)

    def crops(self, recipe: Mapping[str, Any]) -> CropStore:
        """Return the crops that a feature store's recipe builds on, whether they are there or not."""
        found = crops_recipe(recipe)
        return CropStore(self.folder / CROPS / f"{_kind(found)}-{fingerprint(found)}", found)

    def begin_crops(self, recipe: Mapping[str, Any]) -> CropStore:
        """Make the folder of these crops, or resume with the one that is there."""
        found = crops_recipe(recipe)
        return CropStore.create(self.folder / CROPS, _kind(found), found)

    def crop_stores(self) -> list[CropStore]:
        """Return all crops that are here, in order of the folders' names.

        Raises:
            BadInput: the recipe of one is damaged.
        """
        recipe_files = sorted((self.folder / CROPS).glob(f"*/{CropStore.RECIPE_FILE}"))
        return [CropStore.open(path.parent) for path in recipe_files]

    def _track(self, sequence: str) -> Path:
        return self.folder / TRACKS / f"{sequence}{SUFFIX}"


def _name(recipe: Mapping[str, Any]) -> str:
    """The first part of the folder's name, for people: the fingerprint follows it."""
    return f"{recipe['data'].lower().replace('+', 'plus')}-faces"


def _kind(recipe: Mapping[str, Any]) -> str:
    """The first part of the name of a folder of crops: ``sequence-0.2-112``, ``given-112``."""
    crop = recipe["crop"]
    cut = f"{crop['per']}-{crop['margin']}" if "per" in crop else crop["detector"]
    return f"{cut}-{crop['pixels']}"
