"""An image file's format and size, read before any memory is allocated for its pixels."""

import io
import warnings

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "BMP": (".bmp",)}
"""Supported formats, and the suffixes of their files."""

_READERS = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"BM": BmpImageFile,
}


class DamagedImage(ValueError):
    """Bytes that are not a complete image; the message gives the reason in a few words."""


def read_header(data: bytes) -> ImageFile:
    """Read an image's format and size, and check that the file is complete as far as its format tells.

    Args:
        data: the file's content.

    Returns:
        The image, not decoded: ``format`` is one of :data:`SUFFIXES`, whatever the file's suffix; ``width`` and
            ``height`` are in pixels.

    Raises:
        DamagedImage: empty, of unknown format, truncated, or a PNG with wrong checksums.
    """
    if not data:
        raise DamagedImage("it is empty")
    reader = next((reader for start, reader in _READERS.items() if data.startswith(start)), None)
    if reader is None:
        raise DamagedImage(f"it is no {', '.join(SUFFIXES)} file")
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings(action="ignore"):
            # Image.open has a limit of its own and does not report the size of an image beyond it.
            image = reader(stream)
        # The end marker cannot occur within compressed data, but can before it, in an embedded thumbnail.
        is_cut = image.format == "JPEG" and data.find(b"\xff\xd9", stream.tell()) < 0
        if image.format == "PNG":
            image.verify()
    except Exception as error:  # damaged bytes raise more than Pillow's own exceptions
        raise DamagedImage("it is cut short, or its header or checksums do not fit its content") from error
    if is_cut:
        raise DamagedImage("it is cut short")
    return image
