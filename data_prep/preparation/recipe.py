"""The recipe of crops and maps, everything that shapes them; its fingerprint names the store."""

from pathlib import Path

from data_prep.backbones.backbone import Backbone
from data_prep.faces.search import EVERY
from data_prep.faces.tracking import MAX_GAP
from data_prep.faces.variants import ROTATION_BORDER
from data_prep.preparation.options import DEFAULT, PrepareOptions


def crop_recipe(data: str, pixels: int, options: PrepareOptions = DEFAULT) -> dict[str, object]:
    """Return everything that shapes a data set's crops; a crop's margin and kind only where faces are cut out.

    Args:
        data: the data set's name.
        pixels: side of the crops.
        options: say where the faces come from, and how they are cut out.
    """
    if options.faces == "given":
        return {"data": data, "crop": {"detector": "given", "pixels": pixels}}
    per = "sequence" if options.crop == "per-sequence" else options.crop
    found = {"detector": "mtcnn", "every": EVERY, "max_gap": MAX_GAP}
    return {"data": data, "crop": {**found, "per": per, "margin": options.margin, "pixels": pixels}}


def recipe(data: str, backbone: Backbone, options: PrepareOptions = DEFAULT) -> dict[str, object]:
    """Return everything that shapes a store's maps.

    The precision is part of it only where it is not float32. The grid follows from the maps and the crop's pixels.

    Args:
        data: the data set's name.
        backbone: the frozen network.
        options: say how faces are cut out.
    """
    shaping = {
        **crop_recipe(data, backbone.crop_pixels, options),
        "nodes": {"grid": list(backbone.map_shape[:2])},
        "backbone": backbone.architecture,
        "weights": backbone.weights.name,
        "weights_sha256": backbone.weights.sha256,
        "maps": backbone.maps,
        "preprocessing": backbone.preprocessing.as_json(),
        "rotation": {"interpolation": "linear", "room": ROTATION_BORDER},
        "format": 1,
    }
    return shaping if backbone.precision == "float32" else {**shaping, "precision": backbone.precision}


def store_name(data: str, backbone: Backbone) -> str:
    """Return the first part of a store's name, for people: the fingerprint follows it."""
    known_as = Path(backbone.weights.name).stem
    finer = f"-{backbone.grid}x{backbone.grid}" if backbone.grid != 7 else ""
    return f"{data.lower().replace('+', 'plus')}-{backbone.architecture}-{known_as}-{backbone.maps}{finer}"
