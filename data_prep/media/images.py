"""Decoding of image files."""

from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import BadInput
from data_prep.media.image_headers import DamagedImage, read_header

PIXEL_LIMIT = 2**26
"""Largest number of pixels of an image: 8192 x 8192, twice a frame of 8K video, 192 MB when decoded."""


def decode_image(data: bytes, path: Path) -> np.ndarray:
    """Decode an image file's bytes.

    The content determines the format, not the file's name. 16 bits per channel are scaled to 8 (65535 becomes 255),
    palettes and CMYK become RGB, an EXIF orientation is applied, and transparency is ignored.

    Args:
        data: the file's content: PNG, JPEG, TIFF or BMP.
        path: the file, for the error message.

    Returns:
        uint8 array (height, width, 3), RGB; grey images have three equal channels.

    Raises:
        BadInput: the bytes are not an image, are truncated or damaged, or have more than :data:`PIXEL_LIMIT` pixels.
    """
    try:
        header = read_header(data)
    except DamagedImage as damage:
        raise _undecodable(path, str(damage)) from None
    if header.width * header.height > PIXEL_LIMIT:
        raise BadInput(
            f"{path}: {header.width} x {header.height} pixels are beyond the {PIXEL_LIMIT:,} that are read; "
            "make it smaller, or restore the file from the data set's distribution"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise _undecodable(path, "its content is damaged, or not of 8 or 16 bits a channel")
    # OpenCV itself would take the upper byte, which is up to one level darker.
    return image if image.dtype == np.uint8 else np.round(image / 257).astype(np.uint8)


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error


def read_image(path: Path) -> np.ndarray:
    """Read an image file: uint8 (height, width, 3), RGB. Raises :class:`BadInput` as :func:`decode_image` does."""
    return decode_image(read_bytes(path), path)


def _undecodable(path: Path, why: str) -> BadInput:
    return BadInput(f"{path}: cannot be decoded as an image: {why}; restore the file from the data set's distribution")
