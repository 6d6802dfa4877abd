"""Pretrained VGGs: architectures, weights in all known file formats, and their preprocessing."""
