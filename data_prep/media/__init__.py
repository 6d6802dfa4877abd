"""Decoding of images, videos and camera streams."""
