"""Frames in order of time, from a folder of images or a video file."""

import re
from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import BadInput
from data_prep.images import read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_frames(path: Path) -> list[np.ndarray]:
    """Read all frames of a video file, or all images of a folder in the order of the numbers in their names.

    Returns:
        uint8 arrays (height, width, 3), RGB, all of one size.

    Raises:
        BadInput: nothing there, not decodable, or images of different sizes.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
        frames = [read_image(file) for file in sorted(files, key=_number_order)]
        missing = f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}); give a folder of frames or a video"
    elif path.is_file():
        frames = _decode_video(path)
        missing = f"{path}: no frame of it can be decoded; give a video file that OpenCV reads, or a folder of frames"
    else:
        raise BadInput(f"{path}: no such file or folder; give a video file or a folder of frames")
    if not frames:
        raise BadInput(missing)
    require_one_size(frames, path)
    return frames


def require_one_size(frames: list[np.ndarray], path: Path) -> None:
    """Raise :class:`BadInput` naming ``path`` unless all frames have one size."""
    sizes = sorted({(frame.shape[1], frame.shape[0]) for frame in frames})
    if len(sizes) > 1:
        listed = " and ".join(f"{width} x {height}" for width, height in sizes[:3])
        raise BadInput(f"{path}: its frames differ in size ({listed}); one sequence must have one size")


def _decode_video(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return frames
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()


def _number_order(file: Path) -> list[int | str]:
    """frame2 comes before frame10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
