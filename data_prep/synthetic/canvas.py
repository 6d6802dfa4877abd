"""Painting soft shapes into a float image, each within its own bounding box."""

from functools import lru_cache

import cv2
import numpy as np

_SHIFT = 4


@lru_cache(maxsize=64)
def _spline_weights(n_points: int, per_span: int, closed: bool) -> np.ndarray:
    """Catmull-Rom weights, (samples, n_points)."""
    spans = n_points if closed else n_points - 1
    weights = np.zeros((spans * per_span + (not closed), n_points))
    t = np.arange(per_span) / per_span
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    for span in range(spans):
        for k in range(4):
            point = (span + k - 1) % n_points if closed else min(max(span + k - 1, 0), n_points - 1)
            weights[span * per_span : (span + 1) * per_span, point] += basis[:, k]
    if not closed:
        weights[-1, -1] = 1.0
    return weights


def smooth(points: np.ndarray, per_span: int = 5, closed: bool = False) -> np.ndarray:
    """Return a smooth curve through (n, 2) points, with ``per_span`` samples from each point to the next."""
    points = np.asarray(points, dtype=np.float64)
    return _spline_weights(len(points), per_span, closed) @ points


def offset(*numbers: float) -> np.ndarray:
    """A displacement: (2,) pixels, or (3,) template units."""
    return np.array(numbers)


class Canvas:
    """A float32 image (height, width, channels), and where its upper left pixel lies in the frame.

    Args:
        image: painted in place.
        corner: x and y, whole pixels, of the upper left pixel in frame coordinates, in which all points are given.
    """

    def __init__(self, image: np.ndarray, corner: tuple[int, int] = (0, 0)) -> None:
        self.image = image
        self.corner = np.array(corner)

    def box(self, points: np.ndarray, pad: float) -> tuple[slice, slice] | None:
        """Rows and columns that hold the points and ``pad`` pixels around them; None when outside the image."""
        height, width = self.image.shape[:2]
        low = np.floor(points.min(axis=0) - pad - self.corner).astype(int)
        high = np.ceil(points.max(axis=0) + pad - self.corner).astype(int) + 1
        x0, x1 = max(low[0], 0), min(high[0], width)
        y0, y1 = max(low[1], 0), min(high[1], height)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def window(self, box: tuple[slice, slice]) -> "Canvas":
        """A canvas on a copy of one box, to paint what will be seen through an opening."""
        corner = (self.corner[0] + box[1].start, self.corner[1] + box[0].start)
        return Canvas(self.image[box].copy(), corner)

    def mask(self, outline: np.ndarray, box: tuple[slice, slice], softness: float) -> np.ndarray:
        """Coverage of a polygon within a box, (rows, columns, 1) from 0 to 1."""
        height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
        # A very soft edge has no detail that a coarser grid would lose, and blurring there costs a fraction.
        coarse = max(1, int(softness / 1.5))
        mask = np.zeros((-(-height // coarse), -(-width // coarse)), np.uint8)
        corner = self.corner + offset(box[1].start, box[0].start)
        pixels = (outline - corner + 0.5) / coarse - 0.5
        cv2.fillPoly(mask, [np.rint(pixels * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
        if softness:
            mask = cv2.GaussianBlur(mask, (0, 0), softness / coarse)
        if coarse > 1:
            full = (mask.shape[1] * coarse, mask.shape[0] * coarse)
            mask = cv2.resize(mask, full, interpolation=cv2.INTER_LINEAR)[:height, :width]
        return np.multiply(mask, np.float32(1 / 255), dtype=np.float32)[..., None]

    def fill(self, outline: np.ndarray, colour: np.ndarray, opacity: float = 1.0, softness: float = 0.0) -> None:
        """Paint a polygon.

        Args:
            outline: (n, 2) pixels.
            colour: (channels,), or an image of the size of the canvas.
            opacity: 0 to 1.
            softness: standard deviation in pixels of the blur of its edge.
        """
        box = self.box(outline, 1 + 3 * softness)
        if box is None or opacity <= 0.004:
            return
        view = self.image[box]
        colour = colour[box] if colour.ndim == 3 else colour
        view += self.mask(outline, box, softness) * np.float32(opacity) * (colour.astype(np.float32) - view)

    def line(
        self, points: np.ndarray, colour: np.ndarray, width: float, opacity: float = 1.0, softness: float = 0.0
    ) -> None:
        """Paint a curve of constant width, in pixels; its ends taper."""
        self.fill(ribbon(points, width), colour, opacity, softness)

    def disc(
        self,
        centre: np.ndarray,
        radius: float | tuple[float, float],
        colour: np.ndarray,
        opacity: float = 1.0,
        softness: float = 0.0,
    ) -> None:
        """Paint an ellipse with upright axes."""
        self.fill(centre + _CIRCLE * np.asarray(radius), colour, opacity, softness)

    def inlay(self, window: "Canvas", outline: np.ndarray, softness: float = 0.0) -> None:
        """Lay a window back in, seen through a polygon."""
        x, y = window.corner - self.corner
        height, width = window.image.shape[:2]
        box = (slice(y, y + height), slice(x, x + width))
        view = self.image[box]
        view += self.mask(outline, box, softness) * (window.image - view)


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 28)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 28)[:-1])], axis=1)


def ribbon(points: np.ndarray, width: float, taper: float = 0.35) -> np.ndarray:
    """Outline of a curve (n, 2) as a polygon that is ``width`` wide in the middle and ``taper`` of it at the ends."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    profile = taper + (1 - taper) * np.sin(np.linspace(0, np.pi, len(points)))
    across = along[:, ::-1] * (-1.0, 1.0) * (0.5 * width * profile)[:, None]
    return np.concatenate([points + across, (points - across)[::-1]])
