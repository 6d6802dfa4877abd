"""From image files to face crops and pooling maps; independent of the networks that are trained on them."""

import importlib
import os

# albumentations and OpenCV read these when they are imported. They keep albumentations from looking for updates online,
# and FFmpeg from printing remarks on damaged videos, which our own errors report.
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
    """Import public names on first use: importing torch takes seconds, and `-h` does not need it."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
