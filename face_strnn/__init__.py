"""From pooling maps to emotions: the STRNN, its training, its protocols and its audit."""

import importlib

_HOME = {
    "NetworkConfig": "face_strnn.config",
    "Plan": "face_strnn.evaluation.settings",
    "Run": "face_strnn.evaluation.run",
    "STRNN": "face_strnn.models.strnn",
    "STRNNClassifier": "face_strnn.estimator",
    "Scan": "face_strnn.models.scan",
    "SubjectKFold": "face_strnn.evaluation.protocols",
    "TrainingConfig": "face_strnn.config",
    "cross_validate": "face_strnn.evaluation.crossval",
}

__all__ = [
    "STRNN",
    "NetworkConfig",
    "Plan",
    "Run",
    "STRNNClassifier",
    "Scan",
    "SubjectKFold",
    "TrainingConfig",
    "cross_validate",
]


def __getattr__(name: str) -> object:
    """Import public names on first use: importing torch takes seconds, and `-h` does not need it."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
