"""Pixels out of files: images, videos, cameras."""
