"""Lips, and teeth and tongue where the mouth is open."""

import numpy as np

from data_prep.synthetic.canvas import Canvas, offset, smooth
from data_prep.synthetic.scene import Scene

_DEEP = (24, 20, 36)
"""The dark of an open mouth."""


def paint_mouth(head: Canvas, scene: Scene) -> None:
    """Paint the lips, and what an open mouth shows between them."""
    landmarks, scale = scene.landmarks, scene.scale
    lip = scene.tone(scene.identity.lip)
    upper, lower = smooth(landmarks[48:55], 4), smooth(landmarks[[54, 55, 56, 57, 58, 59, 48]], 4)
    inner_top = smooth(landmarks[60:65], 5)
    inner_bottom = smooth(landmarks[[64, 65, 66, 67, 60]], 5)
    head.fill(np.concatenate([upper, lower[1:-1]]), lip, 0.85, 0.9 * scale)
    # The upper lip turns down, away from the light.
    head.fill(np.concatenate([upper, inner_top[::-1]]), lip * np.float32(0.8), 0.7, 1.0 * scale)
    opening = np.concatenate([inner_top, inner_bottom[1:-1]])
    gap = landmarks[66, 1] - landmarks[62, 1]
    box = head.box(opening, 2)
    if box is not None and gap > 1.2 * scale:
        cavity = head.window(box)
        _paint_cavity(cavity, scene, gap, inner_top)
        head.inlay(cavity, opening, 0.6)
    dark = scene.tone(scene.identity.lip * (0.26, 0.26, 0.36))
    head.line(inner_top, dark, 3.0 * scale, 0.85, 0.6 * scale)
    for inner, outer in ((60, 48), (64, 54)):
        corner = 0.3 * landmarks[inner] + 0.7 * landmarks[outer]
        head.disc(corner, (3.4 * scale, 2.2 * scale), dark, 0.6, 1.2 * scale)
    if gap > 2 * scale:
        head.line(inner_bottom, dark, 1.6 * scale, 0.5, 0.7 * scale)


def _paint_cavity(cavity: Canvas, scene: Scene, gap: float, inner_top: np.ndarray) -> None:
    """Paint tongue, teeth and shadows.

    Args:
        cavity: painted in place.
        scene: the frame.
        gap: between the lips, in pixels.
        inner_top: (n, 2) pixels, the upper lip's lower edge.
    """
    landmarks, scale, units = scene.landmarks, scene.scale, scene.units
    cavity.image[:] = scene.tone((30, 26, 48))
    middle = landmarks[[60, 64]].mean(axis=0)
    half = 0.5 * np.linalg.norm(landmarks[64] - landmarks[60])
    if gap > 10 * scale:
        tongue = np.array([middle[0], landmarks[66, 1] + 2 * scale])
        cavity.disc(tongue, (0.62 * half, 0.42 * gap), scene.tone((84, 78, 150)), 0.85, 3 * scale)
    ivory = scene.tone((196, 212, 218))
    # Upper teeth hang from the skull, below the nose; lower teeth ride on the jaw.
    edge = landmarks[33, 1] + (41 + scene.identity.proportions["mouth_height"]) * scale
    bite = np.linspace(-0.86, 0.86, 9)
    teeth = np.stack([middle[0] + bite * half, edge - (1 - bite**2) * -1.5 * scale], axis=1)
    above = teeth[::-1] - (0, 30 * scale)
    cavity.fill(np.concatenate([teeth, above]), ivory, 0.92, 1.0 * scale)
    for x in np.linspace(-0.55, 0.55, 8):
        gap_of_teeth = np.array([[middle[0] + x * half, edge - 14 * scale], [middle[0] + x * half, edge]])
        cavity.line(gap_of_teeth, ivory * np.float32(0.72), 1.2 * scale, 0.5)
    shown = float(np.clip(units[16].mean() + units[20].mean() - 0.3, 0, 1))
    if shown > 0 and gap > 5 * scale:
        rim = landmarks[66, 1] - (6 * shown - 3 * bite**2) * scale
        low = np.stack([middle[0] + bite * 0.7 * half, rim], axis=1)
        row = np.concatenate([low, low[::-1] + offset(0, 14 * scale)])
        cavity.fill(row, ivory * np.float32(0.85), 0.8, 1.0 * scale)
    # Lips throw their shadow on the teeth, and the corners are deep.
    cavity.line(inner_top, scene.tone(_DEEP), 5 * scale, 0.4, 1.5 * scale)
    for corner in landmarks[[60, 64]]:
        cavity.disc(corner, (0.25 * half, 9 * scale), scene.tone(_DEEP), 0.6, 4 * scale)
