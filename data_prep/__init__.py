"""From image files to face crops and pooling maps; knows nothing of any network that learns from them."""

import importlib
import os

# Read by albumentations and OpenCV when they are imported: neither asks the network for a newer version nor prints
# FFmpeg's remarks on damaged videos, which errors name in our own words.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_HOME = {
    "FaceStore": "data_prep.store.faces",
    "FeatureStore": "data_prep.store.store",
    "PrepareOptions": "data_prep.preparation.options",
    "load_backbone": "data_prep.backbones.backbone",
    "prepare": "data_prep.preparation.pipeline",
    "read_dataset": "data_prep.datasets.registry",
    "write_synthetic": "data_prep.synthetic.dataset",
}

__all__ = ["FaceStore", "FeatureStore", "PrepareOptions", "load_backbone", "prepare", "read_dataset", "write_synthetic"]


def __getattr__(name: str) -> object:
    """Import public names when they are first asked for: importing torch takes seconds, and `-h` needs none of it."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
