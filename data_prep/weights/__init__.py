"""Pretrained weights of VGG's feature part, each with the preprocessing that it was trained with."""

from data_prep.weights.loading import PUBLISHED, Weights, load_weights
from data_prep.weights.own import write_backbone
from data_prep.weights.preprocessing import PREPROCESSINGS, Preprocessing, PreprocessingName

__all__ = [
    "PREPROCESSINGS",
    "PUBLISHED",
    "Preprocessing",
    "PreprocessingName",
    "Weights",
    "load_weights",
    "write_backbone",
]
