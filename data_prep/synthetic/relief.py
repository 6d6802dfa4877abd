"""The form of a drawn face as a height map, its folds and bulges included, and the light on it."""

import cv2
import numpy as np

from data_prep.synthetic.action_units import ROW_OF_UNIT
from data_prep.synthetic.canvas import ribbon, smooth
from data_prep.synthetic.identity import Identity
from data_prep.synthetic.shape import Projection

_HALF = 0.5


class Strengths:
    """Saturated strengths, looked up by unit: ``strengths[12]`` is the pair (right half, left half), never negative."""

    def __init__(self, saturated: np.ndarray) -> None:
        self._positive = np.maximum(saturated, 0.0)
        self._mean = saturated.mean(axis=1)

    def __getitem__(self, unit: int) -> np.ndarray:
        return self._positive[ROW_OF_UNIT[unit]]

    def mean(self, unit: int) -> float:
        """Mean of both halves, negative where the opposite is shown."""
        return float(self._mean[ROW_OF_UNIT[unit]])


def _bulges(identity: Identity, points: np.ndarray, units: Strengths) -> np.ndarray:
    """Smooth forms: rows of x, y, width, height (standard deviations) and amplitude, in template units."""
    rows: list[tuple[float, float, float, float, float]] = []

    def add(x: float, y: float, width: float, height: float, amplitude: float) -> None:
        rows.append((x, y, width, height, amplitude))

    cheeks = identity.proportions["cheeks"]
    nose_width = identity.proportions["nose_width"]
    for landmark, width, height, amplitude in ((27, 8, 12, 7), (28, 8, 11, 8), (29, 9, 11, 10), (30, 11, 9, 14)):
        add(*points[landmark, :2], width * nose_width, height, amplitude)
    add(0, -66, 58, 34, 9)
    add(0, points[51, 1] + 8, 34, 24, 9)
    add(0, points[8, 1] - 20 + 3 * units[17].mean(), 20, 15, 9 + 4 * units[17].mean())
    add(0, points[57, 1] + 10, 20, 6, -5 - 4 * units[17].mean())
    add(0, (points[33, 1] + points[51, 1]) / 2, 4, 9, -2.5)
    add(0, points[50, 1] + 3, 18, 4, 2.0)
    add(0, points[57, 1] - 4, 16, 5, 3.2 - 2 * units[23].mean())
    for side, sign in enumerate((-1, 1)):
        wing, eye = points[(31, 35)[side]], points[list(range(36, 42) if side == 0 else range(42, 48))].mean(axis=0)
        brow_in, brow_mid = points[(20, 23)[side]], points[(18, 25)[side]]
        corner = points[(48, 54)[side]]
        lift = units[6][side] + 0.8 * units[12][side] + 0.5 * units[9][side]
        add(wing[0] + sign * 1, wing[1] - 4, 6.5, 6.5, 8)
        add(wing[0] + sign * 8, wing[1] - 6, 4, 8, -3)
        add(brow_in[0], brow_in[1] + 3, 15, 8, 5 + 4 * units[4][side])
        add(brow_mid[0], brow_mid[1] + 5, 15, 8, 5)
        add(eye[0], eye[1] - 6, 24, 12, -9)
        add(eye[0] - sign * 25, eye[1], 8, 11, -7)
        add(eye[0], eye[1], 14, 9, 6)
        add(eye[0] + sign * 2, eye[1] + 12, 16, 4, 1.5 + 3.5 * (units[6][side] + 0.6 * units[7][side]))
        add(sign * (60 + 3 * units[12][side]), 50 - 7 * lift, 24, 19, 9 * cheeks + 8 * lift)
        add(sign * 80, 98, 18, 26, -6 / cheeks - 3 * units[26][side] - 3 * units[27][side])
        add(sign * 102, -44, 20, 30, -7)
        add(corner[0] + sign * 7, corner[1], 7, 11, 3 + 5 * units[14][side] + 3 * units[12][side])
        add(corner[0] + sign * 1, corner[1] + 1, 3.5, 4, -3 - 3 * units[14][side] - 2 * units[15][side])
        add(corner[0] + sign * 2, corner[1] + 14, 8, 8, 4 * units[15][side])
    return np.array(rows)


def _folds(points: np.ndarray, units: Strengths) -> list[tuple[np.ndarray, float, float]]:
    """Creases: (curve in template units, width, depth from 0 to 1), soft ones first."""
    folds: list[tuple[np.ndarray, float, float]] = []

    def add(curve: list[tuple[float, float]], width: float, depth: float) -> None:
        if depth > 0.02:
            folds.append((smooth(np.array(curve)), width, min(depth, 1.0)))

    for side, sign in enumerate((-1, 1)):
        wing, corner = points[(31, 35)[side]], points[(48, 54)[side]]
        outer, inner = points[(36, 45)[side]], points[(39, 42)[side]]
        under = points[[41, 40] if side == 0 else [46, 47]].mean(axis=0)
        brow = points[(21, 22)[side]]
        smile = units[12][side] + 0.7 * units[10][side] + 0.8 * units[9][side] + 0.4 * units[20][side]
        reach = corner[0] + sign * (9 + 5 * units[12][side])
        middle = (wing[0] * 0.45 + reach * 0.55 + sign * 5, (wing[1] + corner[1]) / 2 - 3)
        fold = [(wing[0] + sign * 6, wing[1] - 6), middle, (reach, corner[1] - 2), (reach - sign * 1, corner[1] + 12)]
        add(fold, 5, 0.22 + 0.6 * smile)
        add([(corner[0] + sign * 2, corner[1] + 3), (corner[0] + sign * 6, corner[1] + 22)], 4, 0.8 * units[15][side])
        for k, bend in enumerate((10, 17)):
            x = corner[0] + sign * bend
            curve = [(x - sign * 2, corner[1] - 14), (x + sign * 2, corner[1]), (x - sign * 2, corner[1] + 15)]
            add(curve, 4, (0.75 - 0.3 * k) * units[20][side])
        dimple = corner[0] + sign * 7
        curve = [
            (dimple - sign * 2, corner[1] - 10),
            (dimple + sign * 2, corner[1] - 1),
            (dimple - sign, corner[1] + 8),
        ]
        add(curve, 4, 1.0 * units[14][side])
        bag = 0.25 + 0.5 * units[6][side] + 0.35 * units[7][side] + 0.3 * units[9][side]
        add([(inner[0], inner[1] + 6), (under[0], under[1] + 10), (outer[0], outer[1] + 9)], 3, bag)
        for angle in (-7, 3, 13):
            curve = [(outer[0] + sign * 4, outer[1] + angle * 0.3), (outer[0] + sign * 19, outer[1] + angle)]
            add(curve, 2.5, 0.7 * units[6][side] + 0.15 * units[12][side])
        x = sign * (4.5 - 0.5 * units[4][side]) + brow[0] * 0.12
        add([(x, brow[1] - 13), (x - sign, brow[1]), (x, brow[1] + 12)], 3.5, 0.95 * units[4][side])
        add([(sign * 5, 8), (sign * 16, 17), (sign * 21, 29)], 3, 0.8 * units[9][side])
        add([(sign * 3, 16), (sign * 14, 27), (sign * 19, 39)], 3, 0.7 * units[9][side])
        inner_raise, outer_raise = units[1][side], units[2][side]
        worry = inner_raise * max(0.0, 1 - outer_raise)
        for k in range(3):
            y = -62 - 14 * k - 5 * inner_raise
            curve = [(0, y + 3 - 2 * worry), (sign * 22, y - 1), (sign * 46, y - 2), (sign * 72, y + 6)]
            length = 4 if outer_raise > 0.05 else 3
            add(curve[:length], 3, 0.75 * (inner_raise * (1 - 0.4 * worry) + outer_raise) / 2)
        add([(inner[0], inner[1] - 14), (brow[0] - sign * 2, brow[1] + 8)], 3, 0.5 * worry)
    for k, (x, y) in enumerate([(-9, -26), (0, -20), (8, -27), (-3, -33)]):
        curve = [(x - 4, points[8, 1] + y), (x + 1, points[8, 1] + y + 2), (x + 5, points[8, 1] + y)]
        add(curve, 4, (0.8 - 0.1 * k) * units[17].mean())
    for x in (-14, 14):
        y = (points[50, 1] + points[33, 1]) / 2
        add([(x, y - 6), (x * 1.1, y + 7)], 3, 0.6 * units[23].mean() + 0.4 * units[24].mean())
    add([(-5, 3), (0, 1), (5, 3)], 3, 0.7 * units[9].mean() + 0.35 * units[4].mean())
    add([(-7, 11), (0, 8), (7, 11)], 3, 0.8 * units[9].mean())
    bottom = points[57, 1] + 7
    add([(-20, bottom + 3), (0, bottom), (20, bottom + 3)], 3.5, 0.6 * units[17].mean() + 0.4 * units[24].mean())
    return folds


def _shadows(points: np.ndarray, units: Strengths) -> np.ndarray:
    """Places that little light reaches: rows of x, y, width, height, darkness, in template units."""
    rows = [(0.0, points[33, 1] + 6, 13.0, 4.0, 0.22), (0.0, points[57, 1] + 8, 15.0, 4.5, 0.16)]
    for side, sign in enumerate((-1, 1)):
        eye = points[list(range(36, 42) if side == 0 else range(42, 48))].mean(axis=0)
        brow = points[(20, 23)[side]]
        rows.append((eye[0] - sign * 19, eye[1] - 7, 8, 8, 0.20 + 0.08 * units[4][side]))
        rows.append((eye[0], (eye[1] + brow[1]) / 2 - 1, 18, 5, 0.12))
        rows.append((eye[0], eye[1] + 12, 14, 5, 0.05))
        rows.append((sign * 9, points[29, 1] - 5, 4, 15, 0.06))
        rows.append((sign * 106, 40, 14, 60, 0.10))
    return np.array(rows)


def _gaussians(rows: np.ndarray, project: Projection, x: np.ndarray, y: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Sum of upright Gaussians on the grid of columns x and rows y, in pixels."""
    centre = project(np.concatenate([rows[:, :2], depth[:, None]], axis=1))
    across = np.exp(-0.5 * ((x[None] - centre[:, :1]) / (rows[:, 2:3] * project.scale)) ** 2)
    down = np.exp(-0.5 * ((y[None] - centre[:, 1:]) / (rows[:, 3:4] * project.scale)) ** 2)
    # float64: the order in which a library sums must not decide how a pixel is rounded.
    return (down * rows[:, 4:5]).T @ across


def surface_depth(xy: np.ndarray) -> np.ndarray:
    """Depth of the mean face's surface at (n, 2) template positions, so that what is painted on it turns with it."""
    u, v = xy[:, 0] / 122, (xy[:, 1] + 5) / 185
    return 105 * np.sqrt(np.clip(1 - u**2 - v**2, 0.02, 1)) - 95


def light_on(
    identity: Identity,
    points: np.ndarray,
    units: Strengths,
    project: Projection,
    corner: tuple[int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Light a face.

    Args:
        points: (68, 3) landmarks in template units.
        corner: x and y of the upper left pixel of the wanted part of the frame.
        size: its height and width in pixels.

    Returns:
        Factor on the skin's colour, and gloss, both (height, width) float32; the factor is about 1 where the skin faces
        the viewer, gloss is from 0 to 1.
    """
    height, width = (size[0] + 1) // 2, (size[1] + 1) // 2
    x = corner[0] + (np.arange(width) + 0.5) / _HALF - 0.5
    y = corner[1] + (np.arange(height) + 0.5) / _HALF - 0.5
    chin = points[8, 1]
    middle = project(np.array([[0.0, (chin - 185) / 2, -40.0]]))[0]
    half_width = 130 * identity.proportions["face_width"] * project.scale
    half_height = (chin + 185) / 2 * 1.1 * project.scale
    radius = ((x[None] - middle[0]) / half_width) ** 2 + ((y[:, None] - middle[1]) / half_height) ** 2
    # Beyond the rim the skull falls on at a constant rate: flat ground there would catch the light as a bright edge.
    rim = 0.12
    heights = np.sqrt(np.maximum(1 - radius, rim)) - np.maximum(radius - 1 + rim, 0) / (2 * np.sqrt(rim))
    heights *= 88 * project.scale
    bulges = _bulges(identity, points, units)
    heights += project.scale * _gaussians(bulges, project, x, y, surface_depth(bulges[:, :2]))
    grooves = np.zeros((height, width), np.uint8)
    for curve, fold_width, depth in _folds(points, units):
        pixels = project(np.concatenate([curve, surface_depth(curve)[:, None]], axis=1))
        outline = ribbon((pixels - corner + 0.5) * _HALF - 0.5, fold_width * project.scale * _HALF * 1.4, 0.2)
        cv2.fillPoly(grooves, [np.rint(outline * 16).astype(np.int32)], round(255 * depth), cv2.LINE_AA, 4)
    grooves = cv2.GaussianBlur(grooves.astype(np.float32), (0, 0), 1.1) * np.float32(1 / 255)
    surface = heights.astype(np.float32) - np.float32(3.6 * identity.wrinkles * project.scale) * grooves
    slope_x = cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3, scale=_HALF / 8)
    slope_y = cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3, scale=_HALF / 8)
    steep = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    lx, ly, lz = (np.float32(value) for value in identity.light)
    facing = np.maximum((lz - slope_x * lx - slope_y * ly) * steep, 0)
    factor = (identity.ambient + (1 - identity.ambient) * facing / lz) * (0.8 + 0.2 * steep)
    shadows = _shadows(points, units)
    hidden = _gaussians(shadows, project, x, y, surface_depth(shadows[:, :2])).astype(np.float32)
    factor *= 1 - hidden - np.float32(0.22 * identity.wrinkles) * grooves
    gloss = np.clip(facing, 0, 1) ** 24
    full = (2 * width, 2 * height)
    factor, gloss = (cv2.resize(m.astype(np.float32), full, interpolation=cv2.INTER_LINEAR) for m in (factor, gloss))
    return factor[: size[0], : size[1]], gloss[: size[0], : size[1]]
