"""What the first bytes of an image file say: its format and size, known before memory is spent on its pixels."""

import struct
import zlib
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "BMP": (".bmp",)}
"""Formats that are read, and the names of their files."""

_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MARKERS_ALONE = {0x01, *range(0xD0, 0xD8)}
_START_OF_SCAN = 0xDA


class DamagedImage(ValueError):
    """Bytes that are no whole image; the message says why in a few words."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded.

    Attributes:
        format: ``"PNG"``, ``"JPEG"``, ``"TIFF"`` or ``"BMP"``: what the file is, whatever its name says.
        width: pixels, before any rotation that the file asks for.
        height: pixels.
    """

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """Read an image's format and size, and see that the file is whole as far as its format tells.

    Args:
        data: the file's content.

    Raises:
        DamagedImage: empty, of no known format, cut short, or a PNG whose checksums do not fit.
    """
    if not data:
        raise DamagedImage("it is empty")
    try:
        if data.startswith(PNG_SIGNATURE):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return ImageHeader("BMP", abs(width), abs(height))
    except (struct.error, IndexError):
        raise DamagedImage("it is cut short") from None
    raise DamagedImage(f"it is no {', '.join(SUFFIXES)} file")


def _png(data: bytes) -> ImageHeader:
    view, start, kind = memoryview(data), len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        is_critical = not kind[0] & 0x20
        if is_critical and zlib.crc32(view[start + 4 : end]) != checksum:
            raise DamagedImage("its checksums do not fit its content")
        start = end + 4
    width, height = struct.unpack_from(">II", data, len(PNG_SIGNATURE) + 8)
    return ImageHeader("PNG", width, height)


def _jpeg(data: bytes) -> ImageHeader:
    start, size = 2, None
    while True:
        if data[start] != 0xFF:
            raise DamagedImage("its segments do not follow one another")
        marker = data[start + 1]
        if marker == 0xFF or marker in _MARKERS_ALONE:  # filling, or a marker without a segment
            start += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, start + 2)
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, start + 5)
            size = (width, height)
        start += 2 + length
        if marker == _START_OF_SCAN:
            break
    if size is None:
        raise DamagedImage("it does not say its size")
    # The end marker cannot occur within compressed data; before it, it can: in an embedded thumbnail.
    if data.find(b"\xff\xd9", start) < 0:
        raise DamagedImage("it is cut short")
    return ImageHeader("JPEG", *size)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (n_entries,) = struct.unpack_from(f"{order}H", data, directory)
    size = {}
    for entry in range(n_entries):
        at = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (256, 257):
            (size[tag],) = struct.unpack_from(f"{order}H" if kind == 3 else f"{order}I", data, at + 8)
    if len(size) < 2:
        raise DamagedImage("it does not say its size")
    return ImageHeader("TIFF", size[256], size[257])
