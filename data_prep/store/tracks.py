"""What following a sequence's face came to, kept beside its maps.

One small file for each sequence in the folder ``faces`` of a store. After an interruption it spares the search for
faces, the tables are put together from it, and of a sequence without any face it is the only trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack
from data_prep.store.store import FeatureStore
from data_prep.tensor_files import write_tensors

FOLDER = "faces"
SUFFIX = ".track"

_HOW = ("none", "detected", "checked", "bridged")


@dataclass(frozen=True, eq=False)
class Followed:
    """One sequence's face.

    Attributes:
        sequence: name of the sequence.
        source: SHA-256 of what it is made from, see :func:`data_prep.datasets.sequence_frames.source_sha256`.
        n_frames: number of its frames.
        track: its face; None where the images are given as crops, so that none was sought.
        thumbnails: uint8 (3, side, side, 3), first, middle and apex crop; None where no contact sheet is wanted or no
            face is seen.
    """

    sequence: str
    source: str
    n_frames: int
    track: FaceTrack | None
    thumbnails: np.ndarray | None = None

    @property
    def usable(self) -> range:
        """The frames from which maps are made."""
        return range(self.n_frames) if self.track is None else self.track.usable


def write_followed(store: FeatureStore, followed: Followed) -> None:
    """Write it down in the store, whole or not at all."""
    path = _path(store, followed.sequence)
    path.parent.mkdir(exist_ok=True)
    tensors = {} if followed.track is None else _tensors(followed.track)
    if followed.thumbnails is not None:
        tensors["thumbnails"] = torch.from_numpy(followed.thumbnails)
    facts = {"sequence": followed.sequence, "source": followed.source, "fingerprint": store.fingerprint}
    write_tensors(path, tensors, {**facts, "frames": str(followed.n_frames)})


def read_followed(store: FeatureStore, sequence: str, source: str | None = None) -> Followed | None:
    """Read it back.

    Args:
        store: where it is.
        sequence: its name.
        source: what it must be made from; None for whatever is there.

    Returns:
        None where it is not there, damaged, of another making or of another source.
    """
    try:
        with safe_open(_path(store, sequence), framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        made_so = {"sequence": sequence, "source": source or facts["source"], "fingerprint": store.fingerprint}
        if made_so.items() <= facts.items():
            thumbnails = tensors.pop("thumbnails", None)
            return Followed(
                sequence,
                facts["source"],
                int(facts["frames"]),
                _track(tensors) if tensors else None,
                None if thumbnails is None else thumbnails.numpy(),
            )
    except (SafetensorError, OSError, KeyError, ValueError):
        pass
    return None


def keep_only(store: FeatureStore, sequences: set[str]) -> None:
    """Delete those of all other sequences."""
    for path in (store.folder / FOLDER).glob(f"*{SUFFIX}"):
        if path.name.removesuffix(SUFFIX) not in sequences:
            path.unlink()


def _path(store: FeatureStore, sequence: str) -> Path:
    return store.folder / FOLDER / f"{sequence}{SUFFIX}"


def _tensors(track: FaceTrack) -> dict[str, torch.Tensor]:
    """All numbers at full precision: the crops that are cut by them later must be the same to the pixel."""
    boxes, landmarks = np.full((len(track.faces), 4), np.nan), np.full((len(track.faces), 5, 2), np.nan)
    probabilities, how = np.full(len(track.faces), np.nan), np.zeros(len(track.faces), np.uint8)
    for frame, face in enumerate(track.faces):
        if face is not None:
            boxes[frame], landmarks[frame], probabilities[frame] = face.box, face.landmarks, face.probability
            how[frame] = _HOW.index(face.how)
    arrays = {"boxes": boxes, "landmarks": landmarks, "probabilities": probabilities, "how": how}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _track(tensors: Mapping[str, torch.Tensor]) -> FaceTrack:
    names = ("boxes", "probabilities", "landmarks", "how")
    rows = zip(*(tensors[name].numpy() for name in names), strict=True)
    return FaceTrack(
        tuple(
            Face(box, float(probability), landmarks, _HOW[how]) if how else None
            for box, probability, landmarks, how in rows
        )
    )
