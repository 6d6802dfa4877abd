"""Pretrained VGGs: their architectures, their weights in all known forms, the preprocessing that goes with each."""
