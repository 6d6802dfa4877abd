"""Stores on disk: tracks, crops and pooling maps, with their tables."""
