"""From a catalogue of image files to a feature store: crop, rotation, backbone, strung together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data_prep.backbone import Backbone
from data_prep.catalogue import Catalogue, LabelledSequence
from data_prep.crops import MARGIN, MAXIMUM_MARGIN, crops_of, cut
from data_prep.errors import BadInput
from data_prep.face_search import EVERY
from data_prep.face_track import FaceFollower
from data_prep.frames import frames_of, source_sha256
from data_prep.rotation import ROOM, ROTATIONS, STEEPEST, rotate
from data_prep.store import FeatureStore, StoredSequence


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` did.

    Attributes:
        store: the feature store.
        computed: number of files written.
        kept: number of files that were there and whole.
        without_face: names of the sequences in which no frame shows a face; they are not in the store.
    """

    store: FeatureStore
    computed: int
    kept: int
    without_face: tuple[str, ...]


def prepare(
    catalogue: Catalogue,
    out: Path,
    backbone: Backbone,
    rotations: Sequence[int] = ROTATIONS,
    margin: float = MARGIN,
    progress: Callable[[str], None] | None = None,
) -> Prepared:
    """Write the pooling maps of every sequence and rotation of a data set.

    What is there, whole and made from the same image files, is not computed again.

    Args:
        catalogue: a usable catalogue.
        out: folder in which the store's folder is made or taken up.
        backbone: the frozen network.
        rotations: degrees of the copies beside the unrotated sequence; empty for none.
        margin: see :func:`data_prep.crops.sequence_crop`.
        progress: called with the name of each sequence that is done.

    Raises:
        BadInput: the catalogue is not usable, margin or rotation is out of range, no sequence shows a face, an image
            cannot be decoded, or the store holds sequences that the data set does not have.
    """
    catalogue.usable()
    if not 0 <= margin <= MAXIMUM_MARGIN:
        raise BadInput(f"--margin {margin}: must be from 0 to {MAXIMUM_MARGIN}, as a share of the face's box")
    store = FeatureStore.create(out, _store_name(catalogue, backbone), recipe(catalogue.data, backbone, margin))
    _refuse_strangers(store, catalogue)
    follower = FaceFollower(backbone.device)
    steep = [angle for angle in rotations if abs(angle) > STEEPEST]
    if steep:
        raise BadInput(f"--rotations {steep[0]}: beyond {STEEPEST} degrees the corners of a crop would be empty")
    angles = tuple(dict.fromkeys((0, *rotations)))
    entries: list[StoredSequence] = []
    without_face: list[str] = []
    computed = 0
    for sequence in catalogue.sequences:
        source = source_sha256(sequence)
        wanted = [_entry(sequence, angle, source) for angle in angles]
        store.remove_outdated(sequence.name, wanted)
        missing = [entry for entry in wanted if not store.holds(entry)]
        if missing:
            frames = [frame.image for frame in frames_of(sequence)]
            # Only now is the number of a video's frames known.
            missing = [replace(entry, frames=len(frames)) for entry in missing]
            crops = wide_crops(frames, follower, backbone.crop_pixels, margin)
            if crops is None:
                without_face.append(sequence.name)
                store.remove_outdated(sequence.name, [])
                wanted = missing = []
        for entry in missing:
            store.write(entry, backbone(torch.from_numpy(rotate(crops, entry.rotation, backbone.crop_pixels))))
            computed += 1
        entries.extend(wanted)
        if progress:
            progress(sequence.name)
    if not entries:
        raise BadInput(f"{catalogue.root}: no sequence shows a face; see that its images are upright and of faces")
    # Rotations of an earlier call stay in the store; the index lists them too.
    store.rebuild_index()
    store.write_left_out(without_face)
    return Prepared(store, computed, len(entries) - computed, tuple(without_face))


def wide_crops(frames: Sequence[np.ndarray], follower: FaceFollower, pixels: int, margin: float) -> np.ndarray | None:
    """Cut the sequence's one square crop out of every frame, with room for a rotation around it.

    Returns:
        uint8 (frames, n, n, 3) with n = ``pixels`` times :data:`data_prep.rotation.ROOM`, or None where no frame shows
        a face.
    """
    crops = crops_of(follower.track(frames), "per-sequence", margin)
    return np.stack([cut(frame, crops[0], pixels, ROOM) for frame in frames]) if crops else None


def recipe(data: str, backbone: Backbone, margin: float) -> dict[str, object]:
    """Return everything that shapes a store's maps; its fingerprint names the store."""
    preprocessing = backbone.preprocessing
    return {
        "data": data,
        "backbone": backbone.architecture,
        "weights": backbone.weights.name,
        "weights_sha256": backbone.weights.sha256,
        "maps": backbone.maps,
        "preprocessing": [
            preprocessing.channels, preprocessing.scale, list(preprocessing.mean), list(preprocessing.std)
        ],
        "crop": {
            "detector": "mtcnn", "every": EVERY, "per": "sequence", "margin": margin, "pixels": backbone.crop_pixels
        },
        "rotation": {"interpolation": "linear", "room": ROOM},
        "format": 1,
    }  # fmt: skip


def _store_name(catalogue: Catalogue, backbone: Backbone) -> str:
    data = catalogue.data.lower().replace("+", "plus")
    weights = Path(backbone.weights.name).stem
    return f"{data}-{backbone.architecture}-{weights}-{backbone.maps}"


def _refuse_strangers(store: FeatureStore, catalogue: Catalogue) -> None:
    known = {sequence.name for sequence in catalogue.sequences}
    strangers = sorted(store.sequence_names() - known)
    if strangers:
        raise BadInput(
            f"{store.folder}: holds {len(strangers)} sequences that {catalogue.root} does not have "
            f"({', '.join(strangers[:3])}, ...); give another --out, or delete the store"
        )


def _entry(sequence: LabelledSequence, rotation: int, source: str) -> StoredSequence:
    return StoredSequence(
        sequence.name, sequence.subject, sequence.emotion, rotation, sequence.n_frames, source, sequence.fold
    )
