"""From pooling maps to emotions: the STRNN, its training, its protocols and its evidence."""

import importlib

_HOME = {
    "STRNN": "face_strnn.network",
    "Scan": "face_strnn.scan",
    "STRNNClassifier": "face_strnn.estimator",
    "SubjectKFold": "face_strnn.protocols",
}

__all__ = ["STRNN", "STRNNClassifier", "Scan", "SubjectKFold"]


def __getattr__(name: str) -> object:
    """Import public names when they are first asked for: importing torch takes seconds, and `-h` needs none of it."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
