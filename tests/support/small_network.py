"""Sizes of a network that is trained in a moment."""

SMALL_NETWORK = {
    "spatial_hidden": 6,
    "spatial_output": 5,
    "spatial_projection": 3,
    "temporal_hidden": 8,
    "length": 8,
    "temporal_projection": 2,
}
