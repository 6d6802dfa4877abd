"""Square crops around a face: one per sequence, one per frame, or aligned by the eyes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from data_prep.errors import BadInput
from data_prep.faces.tracking import FaceTrack

CropKind = Literal["per-sequence", "per-frame", "eyes"]

MARGIN = 0.2
"""Default margin: a fifth of the face's size, so that the crop includes brows, chin and ears."""

MAXIMUM_MARGIN = 2.0

EYE_SIDES = 3.0
"""Side of an eye-aligned square without its margin, in inter-ocular distances. MTCNN's boxes are about this large, so
that a face has the same size in all kinds of crops."""

EYES_ABOVE = 1 / 3
"""Height of the eyes above the middle of that square, in inter-ocular distances; about the same as in MTCNN's boxes."""

EYE_SMOOTHING = 2.0
"""Standard deviation, in frames, of the Gaussian that smooths the eyes' positions. MTCNN's landmarks jitter by a
hundredth of the face from frame to frame, which would look like motion of a face at rest; heads turn more slowly."""


@dataclass(frozen=True)
class SquareCrop:
    """A square in a frame, in pixels; it may reach beyond the frame.

    Attributes:
        center_x, center_y: the middle of the square, from the frame's top-left corner.
        side: length of its side.
        tilt: angle in degrees between its top edge and the frame's, clockwise as seen.
    """

    center_x: float
    center_y: float
    side: float
    tilt: float = 0.0


def crops_of(track: FaceTrack, kind: CropKind = "per-sequence", margin: float = MARGIN) -> list[SquareCrop]:
    """Return the square of every frame of a track's usable part.

    Args:
        track: a person's face through a recording.
        kind: ``"per-sequence"``: one square for all frames, see :func:`sequence_crop`. ``"per-frame"``: around each
            frame's own box, its side the box's longer side plus the margin; the detector's jitter of a few pixels
            remains. ``"eyes"``: rotated so that the eyes are level, with the same distance (:data:`EYE_SIDES`) and
            position (:data:`EYES_ABOVE`) in all frames; the eyes' coordinates are smoothed over time
            (:data:`EYE_SMOOTHING`).
        margin: the square's side is the face's side times 1 + ``margin``, 0 to 2.

    Returns:
        One square for each frame of ``track.usable``.

    Raises:
        BadInput: unknown kind, or the margin is out of range.
    """
    require_crop(kind, margin)
    faces = track.usable_faces
    if not faces:
        return []
    if kind == "eyes":
        return _eye_crops(np.array([face.landmarks[:2] for face in faces]), margin)
    if kind == "per-frame":
        return [sequence_crop([face.box], margin) for face in faces]
    return [sequence_crop([face.box for face in faces], margin)] * len(faces)


def require_crop(kind: str, margin: float) -> None:
    """Check the options of :func:`crops_of`.

    Raises:
        BadInput: unknown kind, or the margin is out of range.
    """
    if kind not in get_args(CropKind):
        raise BadInput(f"--crop {kind}: must be one of {', '.join(get_args(CropKind))}")
    if not 0 <= margin <= MAXIMUM_MARGIN:
        raise BadInput(f"--margin {margin}: must be from 0 to {MAXIMUM_MARGIN}, as a share of the face's box")


def sequence_crop(boxes: Sequence[np.ndarray], margin: float = MARGIN) -> SquareCrop:
    """Return the one square crop of a sequence: the median of the frames' boxes, plus a margin.

    The median keeps the detector's jitter, a few pixels from frame to frame, from looking like motion of the face.

    Args:
        boxes: (left, top, right, bottom) of each frame's face in pixels; at least one.
        margin: the square's side is the box's longer side times 1 + ``margin``.
    """
    left, top, right, bottom = np.median(boxes, axis=0)
    side = max(right - left, bottom - top) * (1 + margin)
    return SquareCrop(float(left + right) / 2, float(top + bottom) / 2, float(side))


def _eye_crops(eyes: np.ndarray, margin: float) -> list[SquareCrop]:
    """Eyes (frames, 2, 2) in pixels -> squares."""
    crops = []
    for left, right in _smooth(eyes):
        across = right - left
        down = np.array([-across[1], across[0]])
        x, y = (left + right) / 2 + EYES_ABOVE * down
        side = EYE_SIDES * float(np.hypot(*across)) * (1 + margin)
        crops.append(SquareCrop(float(x), float(y), side, float(np.degrees(np.arctan2(across[1], across[0])))))
    return crops


def _smooth(positions: np.ndarray) -> np.ndarray:
    """Fit a straight line to each frame's neighbourhood in time, which preserves steady motion, also at the ends."""
    frames = np.arange(len(positions))
    smooth = np.empty(positions.shape)
    reach = round(3 * EYE_SMOOTHING)
    for frame in frames:
        near = slice(max(frame - reach, 0), frame + reach + 1)
        time = frames[near] - frame
        weights = np.exp(-0.5 * (time / EYE_SMOOTHING) ** 2)
        weights /= weights.sum()
        mean_time, mean = weights @ time, np.tensordot(weights, positions[near], 1)
        variance = weights @ (time - mean_time) ** 2
        slope = np.tensordot(weights * (time - mean_time), positions[near], 1) / variance if variance else 0.0
        smooth[frame] = mean - slope * mean_time
    return smooth


def extract_crop(frame: np.ndarray, crop: SquareCrop, pixels: int, rotation_border: float = 1.0) -> np.ndarray:
    """Extract a square from a frame and resize it.

    Args:
        frame: uint8 (height, width, 3).
        crop: the square.
        pixels: side of the result in pixels for the square itself.
        rotation_border: factor by which square and result are widened around their middle, so that the corners of a
            rotated result are real pixels.

    Returns:
        uint8 (n, n, 3) with n = ``pixels`` times ``rotation_border``, rounded to the nearest number of the parity of
        ``pixels``, so that its middle ``pixels`` x ``pixels`` are the crop. Pixels beyond the frame repeat its border.
    """
    n = side_with_border(pixels, rotation_border)
    side = crop.side * n / pixels
    inside = _upright(frame, crop, side) if crop.tilt else _slice(frame, crop, side)
    # Area averaging is OpenCV's only interpolation that does not alias when it shrinks an image.
    interpolation = cv2.INTER_AREA if side > n else cv2.INTER_LINEAR
    return cv2.resize(inside, (n, n), interpolation=interpolation)


def side_with_border(pixels: int, rotation_border: float) -> int:
    """Return the side of a crop of ``pixels`` with its border, as :func:`extract_crop` returns it."""
    return pixels + 2 * round(pixels * (rotation_border - 1) / 2)


def resize_whole(frame: np.ndarray, pixels: int, rotation_border: float = 1.0) -> np.ndarray:
    """Resize a frame that already is a face crop, and add a border for rotations.

    Args:
        frame: uint8 (height, width, 3); if it is not square, its border is repeated to make it so.
        pixels: side in pixels of the result without the border.
        rotation_border: as for :func:`extract_crop`; filled by repeating the frame's outermost pixels.

    Returns:
        uint8 (n, n, 3), n as for :func:`extract_crop`; its middle ``pixels`` x ``pixels`` are the frame.
    """
    height, width = frame.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    beyond = (top, side - height - top, left, side - width - left)
    square = cv2.copyMakeBorder(frame, *beyond, cv2.BORDER_REPLICATE) if height != width else frame
    interpolation = cv2.INTER_AREA if side > pixels else cv2.INTER_LINEAR
    resized = cv2.resize(square, (pixels, pixels), interpolation=interpolation)
    return cv2.copyMakeBorder(resized, *[round(pixels * (rotation_border - 1) / 2)] * 4, cv2.BORDER_REPLICATE)


def _slice(frame: np.ndarray, crop: SquareCrop, side: float) -> np.ndarray:
    """Slice a square that is not tilted, its edges rounded to pixels."""
    left, top = round(crop.center_x - side / 2), round(crop.center_y - side / 2)
    right, bottom = left + round(side), top + round(side)
    height, width = frame.shape[:2]
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    beyond = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE) if any(beyond) else inside


def _upright(frame: np.ndarray, crop: SquareCrop, side: float) -> np.ndarray:
    """Rotate a tilted square upright, at the frame's own resolution."""
    n = max(round(side), 1)
    angle, step = np.radians(crop.tilt), side / n
    across = step * np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-across[1], across[0]])
    # Coordinates count from pixels' edges; their centres lie half a pixel further.
    corner = np.array([crop.center_x, crop.center_y]) - (across + down) * (n - 1) / 2 - 0.5
    to_frame = np.column_stack([across, down, corner])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, to_frame, (n, n), flags=flags, borderMode=cv2.BORDER_REPLICATE)
