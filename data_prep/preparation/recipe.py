"""Everything that shapes a feature store's maps, as data; its fingerprint names the store."""

from pathlib import Path
from typing import Literal

from data_prep.backbones.backbone import Backbone
from data_prep.faces.crops import MARGIN, CropKind
from data_prep.faces.search import EVERY
from data_prep.faces.tracking import MAX_GAP
from data_prep.faces.variants import ROOM

Faces = Literal["mtcnn", "given"]
"""Where the faces come from: found by MTCNN, or the images are the crops."""


def recipe(
    data: str, backbone: Backbone, margin: float = MARGIN, crop: CropKind = "per-sequence", faces: Faces = "mtcnn"
) -> dict[str, object]:
    """Return everything that shapes a store's maps.

    The precision is part of it only where it is not float32, and a crop's margin and kind only where faces are cut out.
    The grid follows from the maps and the crop's pixels.

    Args:
        data: the data set's name.
        backbone: the frozen network.
        margin, crop: see :func:`data_prep.faces.crops.crops_of`.
        faces: found by MTCNN, or given.
    """
    if faces == "given":
        square = {"detector": "given", "pixels": backbone.crop_pixels}
    else:
        per = "sequence" if crop == "per-sequence" else crop
        found = {"detector": "mtcnn", "every": EVERY, "max_gap": MAX_GAP}
        square = {**found, "per": per, "margin": margin, "pixels": backbone.crop_pixels}
    shaping = {
        "data": data,
        "backbone": backbone.architecture,
        "weights": backbone.weights.name,
        "weights_sha256": backbone.weights.sha256,
        "maps": backbone.maps,
        "preprocessing": backbone.preprocessing.as_json(),
        "crop": square,
        "rotation": {"interpolation": "linear", "room": ROOM},
        "format": 1,
    }
    return shaping if backbone.precision == "float32" else {**shaping, "precision": backbone.precision}


def store_name(data: str, backbone: Backbone) -> str:
    """Return the first part of a store's name, for people: the fingerprint follows it."""
    known_as = Path(backbone.weights.name).stem
    finer = f"-{backbone.grid}x{backbone.grid}" if backbone.grid != 7 else ""
    return f"{data.lower().replace('+', 'plus')}-{backbone.architecture}-{known_as}-{backbone.maps}{finer}"
