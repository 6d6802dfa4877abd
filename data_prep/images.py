"""Decoding of image files."""

from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import BadInput

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# OpenCV would print its own lines about a damaged file; the error raised here says it once.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_image(data: bytes, path: Path) -> np.ndarray:
    """Decode an image file's bytes.

    Args:
        data: the file's content (PNG, JPEG, TIFF or another format that OpenCV reads).
        path: named in the error.

    Returns:
        uint8 array (height, width, 3), RGB; grey images have three equal channels.

    Raises:
        BadInput: the bytes are no image or are cut short.
    """
    # libpng would print a line of its own about a PNG that is cut short.
    cut_short = data.startswith(PNG_SIGNATURE) and b"IEND" not in data
    image = None if cut_short or not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise BadInput(f"{path}: cannot be decoded as an image; restore the file from the data set's distribution")
    return image


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
