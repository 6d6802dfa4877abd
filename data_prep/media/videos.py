"""Decoding of video files, one frame at a time."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import BadInput
from data_prep.media.images import PIXEL_LIMIT

_SIGNATURES = {
    0: (b"RIFF", b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"0&\xb2u\x8ef\xcf\x11", b"FLV\1", b"OggS"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"),
}
"""Offset in the file -> signatures of AVI, Matroska and WebM, MPEG, WMV, FLV and Ogg; of MP4 and QuickTime."""

_TRANSPORT_PACKET = 188


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        image: uint8 (height, width, 3), RGB, rotated upright if the file gives the camera's orientation.
        seconds: its time from the beginning of the video; None for image files, whose rate is unknown.
    """

    image: np.ndarray
    seconds: float | None


def frames_of_video(path: Path, first: int = 0, last: int | None = None) -> Iterator[Frame]:
    """Decode a video file frame by frame.

    Frames have the container's timestamps, so that a variable frame rate is kept; where these do not ascend, times
    follow from the mean rate. The container's rotation is applied.

    Args:
        path: the video file.
        first: number of the first frame to yield, from 0.
        last: number of the last one; None for all to the end.

    Yields:
        The frames in order of time, at least one.

    Raises:
        BadInput: no known video file, no frame in it can be decoded, a frame is damaged or has more than
            :data:`data_prep.media.images.PIXEL_LIMIT` pixels, or the file is truncated or ends before ``last``.
    """
    with _opened(path) as capture:
        number = 0
        for seconds in _times(capture, path, last):
            if number >= first:
                decoded, image = capture.retrieve()
                if not decoded:
                    raise BadInput(f"{path}: its frame {number + 1} cannot be decoded; restore the file")
                yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), seconds)
            number += 1
    if number == 0:
        raise _no_frame(path)
    if last is not None and number <= last:
        raise BadInput(f"{path}: ends after frame {number}, and frame {last + 1} is asked for; restore the file")


def _times(capture: cv2.VideoCapture, path: Path, last: int | None) -> Iterator[float]:
    """Grab one frame after another, and yield the time of each in seconds.

    Raises:
        BadInput: the file is truncated, which is only detected at its end.
    """
    rate = _mean_rate(capture)
    interval = 1 / rate if rate else 0.0
    number, seconds = 0, -interval
    while last is None or number <= last:
        if not capture.grab():
            break
        shown = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = shown if shown > seconds else seconds + interval
        yield seconds
        number += 1
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    # A header's number of frames may be an estimate, so the missing duration must agree with it; a difference of one
    # may be a frame that repeats the one before. MP4 files are checked by their boxes, because an edited one has fewer
    # visible frames than stored ones.
    is_short = 0 < number < promised - 1 and seconds + 2 * interval < promised * interval
    if last is None and is_short and not _is_mp4(path):
        raise BadInput(f"{path}: {number} of {promised:.0f} frames can be decoded: it is cut short; restore the file")


def frame_rate(path: Path) -> float | None:
    """Return a video's mean rate in frames per second; None if the file does not state it.

    Raises:
        BadInput: no known video file, its frames are too large, or it is truncated.
    """
    with _opened(path) as capture:
        return _mean_rate(capture)


def count_frames(path: Path) -> int:
    """Return the number of frames that can be decoded. Raises :class:`BadInput` as :func:`frames_of_video` does."""
    with _opened(path) as capture:
        number = sum(1 for _ in _times(capture, path, None))
    if number == 0:
        raise _no_frame(path)
    return number


def promised_frames(path: Path) -> int:
    """Return the number of frames in a video's header, which may be an estimate; 0 if there is none.

    Raises:
        BadInput: no known video file, its frames are too large, or it is truncated.
    """
    with _opened(path) as capture:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def _mean_rate(capture: cv2.VideoCapture) -> float | None:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < 1000 else None


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    if not _is_video(path):
        raise _no_frame(path)
    if _is_mp4(path) and _is_cut_short(path):
        raise BadInput(f"{path}: the video is cut short; restore the file")
    # The backend is named, because OpenCV would read a name like frame_%02d.mp4 as a series of images.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        _require_size(capture, path)
        yield capture
    finally:
        capture.release()


def _require_size(capture: cv2.VideoCapture, path: Path) -> None:
    """Refuse frames that are too large, before one is decoded; a later frame of another size is scaled to this one."""
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > PIXEL_LIMIT:
        raise BadInput(
            f"{path}: its frames of {width} x {height} pixels are beyond the {PIXEL_LIMIT:,} that are read; "
            "make the video smaller, or restore the file from the data set's distribution"
        )


def _no_frame(path: Path) -> BadInput:
    return BadInput(
        f"{path}: no frame of it can be decoded; give a video file that OpenCV reads, or a folder of frames"
    )


def _is_video(path: Path) -> bool:
    """Whether a file has a video's signature. A playlist, which may name any file or address, has none."""
    start = _start_of(path)
    is_transport_stream = len(start) > _TRANSPORT_PACKET and start[0] == start[_TRANSPORT_PACKET] == 0x47
    return is_transport_stream or any(
        start.startswith(signature, place) for place, signatures in _SIGNATURES.items() for signature in signatures
    )


def _is_mp4(path: Path) -> bool:
    return _start_of(path).startswith(_SIGNATURES[4], 4)


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_TRANSPORT_PACKET + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error


def _is_cut_short(path: Path) -> bool:
    """Whether the last box of an MP4 or QuickTime file extends beyond the end of the file."""
    end = path.stat().st_size
    place = 0
    with path.open("rb") as file:
        while place < end:
            file.seek(place)
            header = file.read(16)
            if len(header) < 8:
                return False
            (length,) = struct.unpack_from(">I", header)
            if length == 1 and len(header) == 16:
                (length,) = struct.unpack_from(">Q", header, 8)
            if length < 8:  # 0: the box extends to the end; else the offset of what follows the last box
                return False
            place += length
    return place > end
