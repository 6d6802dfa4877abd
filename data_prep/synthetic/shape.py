"""Positions of the 68 landmarks of a synthetic face, from proportions, action units and pose.

Template units: the point between the eyes is the origin, x grows to the right of the image, y down, z towards the
viewer; the pupils are 104 apart.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.action_units import DISPLACEMENTS, MIRROR, activation, saturate
from data_prep.synthetic.identity import Identity

_HALF = {
    0: (-114, 4, -90), 1: (-113, 32, -85), 2: (-109, 59, -78), 3: (-101, 86, -66), 4: (-87, 111, -48),
    5: (-69, 132, -28), 6: (-47, 149, -10), 7: (-24, 160, 2), 8: (0, 163, 6),
    17: (-90, -24, -14), 18: (-77, -34, 2), 19: (-60, -38, 9), 20: (-42, -36, 13), 21: (-23, -30, 16),
    27: (0, -4, 16), 28: (0, 15, 24), 29: (0, 34, 33), 30: (0, 53, 42), 31: (-19, 65, 16), 32: (-10, 69, 20),
    33: (0, 71, 24),
    36: (-72, 2, -10), 37: (-61, -6, -2), 38: (-45, -7, 2), 39: (-31, 4, 2), 40: (-44, 7, 1), 41: (-60, 7, -3),
    48: (-39, 104, 6), 49: (-24, 97, 14), 50: (-9, 93, 20), 51: (0, 95, 21), 57: (0, 118, 20), 58: (-11, 117, 19),
    59: (-26, 112, 14), 60: (-35, 104, 7), 61: (-11, 103, 17), 62: (0, 104, 18), 66: (0, 104.4, 18),
    67: (-11, 103.6, 17),
}  # fmt: skip


def _template() -> np.ndarray:
    points = np.zeros((68, 3))
    for landmark, point in _HALF.items():
        points[landmark] = point
        points[MIRROR[landmark]] = (-point[0], point[1], point[2])
    return points


TEMPLATE = _template()
"""(68, 3): the mean face."""

MOVED_FROM = 0.25
"""Share of an action unit's largest displacement from which a landmark counts as moved."""

_BROWS, _EYES = (range(17, 22), range(22, 27)), (range(36, 42), range(42, 48))
_LOWER_FACE = np.clip((TEMPLATE[:, 1] - 40) / 100, 0, 1)
_LID_PAIRS = np.array([(37, 41), (38, 40), (43, 47), (44, 46)])
_LIP_PAIRS = np.array([(61, 67), (62, 66), (63, 65)])
_UPPER_LIP = {49: 60, 50: 61, 51: 62, 52: 63, 53: 64}
_LOWER_LIP = {59: 60, 58: 67, 57: 66, 56: 65, 55: 64}


@dataclass(frozen=True)
class View:
    """What one frame adds to an identity's own pose and light.

    Attributes:
        shift: x and y in pixels.
        yaw, pitch, roll: radians.
        zoom: factor.
        gain: factor on brightness.
        blink: 0 (open) to 1 (closed).
        gaze: x and y of the irises, in fractions of the eye's half width.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    gain: float = 1.0
    blink: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


def proportioned(identity: Identity) -> np.ndarray:
    """Return the identity's own landmarks without any action unit, (68, 3) in template units."""
    size = identity.proportions
    points = TEMPLATE.copy()
    x, y = points[:, 0], points[:, 1]
    x[:17] *= size["face_width"] * (1 + (size["jaw_width"] - 1) * _LOWER_FACE[:17])
    y[:17] += size["chin_length"] * _LOWER_FACE[:17]
    for side, brow, eye in zip((-1, 1), _BROWS, _EYES, strict=True):
        brow, eye = list(brow), list(eye)
        outward = np.abs(x[brow]) / 60 - 1
        x[brow] = x[brow] * (0.5 + 0.5 * size["face_width"]) + side * size["eye_spacing"]
        y[brow] -= size["brow_height"] + size["brow_arch"] * (1 - 2 * outward**2) + size["brow_tilt"] * outward * 2
        middle = 52.0 * side
        lean = (np.abs(x[eye]) - 52) / 20
        x[eye] = middle + (x[eye] - middle) * size["eye_width"] + side * size["eye_spacing"]
        y[eye] = y[eye] * size["eye_opening"] - size["eye_tilt"] * lean
    nose = slice(27, 36)
    x[nose] *= size["nose_width"]
    y[nose] += size["nose_length"] * np.clip(y[nose] / 60, 0, 1.2)
    mouth = slice(48, 68)
    x[mouth] *= size["mouth_width"]
    y[mouth] += size["mouth_height"] + 0.5 * size["nose_length"] + 0.3 * size["chin_length"]
    for outer, inner in _UPPER_LIP.items():
        y[outer] = y[inner] + (y[outer] - y[inner]) * size["upper_lip"]
    for outer, inner in _LOWER_LIP.items():
        y[outer] = y[inner] + (y[outer] - y[inner]) * size["lower_lip"]
    return points


def expressed(points: np.ndarray, strengths: np.ndarray, blink: float = 0.0) -> np.ndarray:
    """Move landmarks by action units.

    Args:
        points: (68, 3) from :func:`proportioned`.
        strengths: (units, 2), the resting face included, not yet saturated.
        blink: 0 to 1.

    Returns:
        (68, 3); lids and lips meet but never cross.
    """
    moved = points.copy()
    moved[:, :2] += np.einsum("us,uslc->lc", saturate(strengths), DISPLACEMENTS)
    upper, lower = _LID_PAIRS.T
    gap = moved[lower, 1] - moved[upper, 1]
    # A soft floor keeps a lid's motion visible to the end, where a hard one would freeze it.
    opening = 2.0 + 2.0 * np.logaddexp(0, (gap - 2.0) / 2.0)
    middle = (moved[lower, 1] + moved[upper, 1]) / 2
    moved[lower, 1] = middle + opening / 2
    moved[upper, 1] = moved[lower, 1] - opening * (1 - blink)
    upper, lower = _LIP_PAIRS.T
    middle = (moved[lower, 1] + moved[upper, 1]) / 2
    opening = np.logaddexp(0, 1.5 * (moved[lower, 1] - moved[upper, 1])) / 1.5
    moved[upper, 1] = middle - opening / 2
    moved[lower, 1] = middle + opening / 2
    for outer, inner in _UPPER_LIP.items():
        moved[outer, 1] = min(moved[outer, 1], moved[inner, 1] - 2.5)
    for outer, inner in _LOWER_LIP.items():
        moved[outer, 1] = max(moved[outer, 1], moved[inner, 1] + 3.0)
    return moved


def moved_landmarks(unit: str | int) -> tuple[int, ...]:
    """Return the landmarks that an action unit moves on the mean face, by :data:`MOVED_FROM` or more.

    Args:
        unit: for example ``12`` or ``"L14"``.

    Returns:
        Landmarks in ascending order, 0 to 67.

    Example:
        >>> moved_landmarks("L14")
        (53, 54, 55, 64)
    """
    at_rest, shown = (expressed(TEMPLATE, activation({unit: strength}))[:, :2] for strength in (0.0, 1.0))
    distance = np.linalg.norm(shown - at_rest, axis=1)
    return tuple(np.flatnonzero(distance > MOVED_FROM * distance.max()).tolist())


@dataclass(frozen=True)
class Projection:
    """From template units to pixels: a turned head seen from far away.

    Attributes:
        matrix: (2, 3).
        origin: (2,) pixels.
        scale: pixels per template unit.
    """

    matrix: np.ndarray
    origin: np.ndarray
    scale: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Project (n, 3) template units to (n, 2) pixels; (n, 2) means depth zero."""
        points = np.asarray(points, dtype=np.float64)
        return points @ self.matrix[:, : points.shape[1]].T + self.origin


def projection(identity: Identity, view: View) -> Projection:
    """Combine an identity's pose with a frame's."""
    yaw, pitch, roll = identity.yaw + view.yaw, identity.pitch + view.pitch, identity.roll + view.roll
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0]])
    scale = identity.scale * view.zoom
    origin = np.asarray(identity.centre) + np.asarray(view.shift)
    return Projection(scale * tilt @ nod @ turn, origin, scale)
