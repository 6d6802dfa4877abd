"""Hair: its strands, what hangs behind the face and what frames it, beard and moustache."""

import cv2
import numpy as np

from data_prep.synthetic.canvas import Canvas, offset, smooth
from data_prep.synthetic.head import dome
from data_prep.synthetic.identity import Identity
from data_prep.synthetic.scene import Scene


def strands_of(rng: np.random.Generator, identity: Identity, size: tuple[int, int]) -> np.ndarray:
    """Strands of hair that fall from the parting, with their sheen.

    Args:
        rng: draws them.
        identity: whose hair.
        size: height and width of the frame.

    Returns:
        float32 (height, width, 1), around 1.
    """
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    scale, (cx, cy) = identity.scale, identity.centre
    crown = (cx + 30 * identity.parting * scale, cy - 190 * scale)
    u, v = (x - crown[0]) / (100 * scale), (y - crown[1]) / (100 * scale)
    radius, angle = np.hypot(u, v), np.arctan2(u, v)
    noise = rng.standard_normal((48, 1024)).astype(np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.1, sigmaY=2.5)
    strands = strands / strands.std() + 0.8 * cv2.GaussianBlur(strands, (0, 0), sigmaX=5, sigmaY=6) / strands.std() * 3
    wave = rng.uniform(0.0, 0.05) * np.sin(6 * radius + rng.uniform(0, 6))
    column = ((angle + wave) / (2 * np.pi) + 0.5) * 1023
    strands = cv2.remap(strands, column.astype(np.float32), np.clip(radius * 14, 0, 47), cv2.INTER_LINEAR)
    across = np.hypot((x - cx) / (120 * scale), (y - cy) / (172 * scale))
    lit = 0.75 + 0.35 * np.tanh((x - cx) / (60 * scale) * identity.light[0] * 3)
    sheen = np.exp(-(((across - 0.86) / 0.13) ** 2)) * lit
    return ((0.84 + 0.42 * sheen) * (1 + 0.11 * np.clip(strands, -2.5, 2.5)))[..., None].astype(np.float32)


def paint_back_hair(frame: Canvas, scene: Scene, hair: np.ndarray) -> None:
    """Paint the hair behind the face; ``hair`` is strands in its colour, an image of the size of the canvas."""
    if scene.identity.hair_style == "long":
        half = [(0, -185), (70, -172), (118, -120), (136, -40), (142, 60), (150, 150), (138, 215), (70, 230)]
        frame.fill(scene.mirrored(smooth(np.array(half), 4), scene.wide), hair * np.float32(0.75), 1.0, 2.0)
    if scene.identity.hair_style == "tied":
        knot = scene.project(np.array([[scene.identity.parting * 20, -182.0, -60]]))[0]
        frame.disc(knot, (44 * scene.scale, 32 * scene.scale), hair * 0.8)


def paint_front_hair(frame: Canvas, scene: Scene, hair: np.ndarray) -> None:
    """Paint the hair over the head; arguments are those of :func:`paint_back_hair`."""
    identity, project, scale, wide = scene.identity, scene.project, scene.scale, scene.wide
    style, top = identity.hair_style, identity.proportions["skull_height"]
    height, puff = {
        "short": (-112, 9), "parted": (-108, 11), "long": (-110, 10), "tied": (-118, 4), "cropped": (-118, 3),
        "fringe": (-84, 12),
    }[style]  # fmt: skip
    angle = np.linspace(-0.06, np.pi + 0.06, 24)
    outer = dome(angle, 114 * wide + puff, 168 * top + puff)
    is_parted, is_cropped = style in ("parted", "long"), style == "cropped"
    part, sag = (40 * identity.parting, 16) if is_parted else (0.0, 0)
    side = -20 if is_cropped else -4
    line = np.array(
        [(-113 * wide, side), (-106 * wide, -34), (-98 * wide, -66), (-66, height + 14 + 0.6 * sag),
         (part - 30, height + 0.4 * sag), (part, height - sag), (part + 30, height + 0.4 * sag),
         (66, height + 14 + 0.6 * sag), (98 * wide, -66), (106 * wide, -34), (113 * wide, side)]
    )  # fmt: skip
    inner = smooth(line, 4)
    inner = np.c_[inner, np.where(np.abs(inner[:, 0]) > 90, -55.0, 0.0)]
    frame.line(project(inner + offset(0, 4, 0)), scene.tone(identity.skin * 0.45), 12 * scale, 0.45, 4 * scale)
    polygon = np.concatenate([np.c_[outer, np.full(len(outer), -60.0)], inner])
    frame.fill(project(polygon), hair, 0.8 if is_cropped else 1.0, 4.0 if is_cropped else 1.6)
    if is_parted:
        parting = project(np.array([(part, -172.0 * top, -20), (part, -140, -5), (part, height - sag + 4, 5)]))
        frame.line(parting, scene.tone(identity.hair * 0.4), 4 * scale, 0.6, 1.2)
    if style == "long":
        for sign in (-1, 1):
            lock = np.array(
                [(sign * 70, -118), (sign * 98, -70), (sign * 106, -10), (sign * 110, 60), (sign * 104, 130),
                 (sign * 108, 200), (sign * 140, 215), (sign * 146, 90), (sign * 138, -30), (sign * 118, -110)],
                dtype=np.float64,
            ) * (wide, 1)  # fmt: skip
            frame.fill(project(np.c_[smooth(lock, 3, closed=True), np.full(30, -40.0)]), hair, 1.0, 1.6)


def paint_beard(head: Canvas, scene: Scene, hair: np.ndarray) -> None:
    """Paint a grown beard and a moustache, which move with the jaw and the lips; lips are painted over them.

    Arguments are those of :func:`paint_back_hair`.
    """
    identity, project, points, scale = scene.identity, scene.project, scene.points, scene.scale
    if identity.beard:
        # From the cheek along the jaw to the other cheek, and back above the upper lip's corners.
        cheeks = [0.55 * points[54] + 0.45 * points[12], points[54], points[57] + (0, 12, 0), points[48]]
        inner = [*cheeks, 0.55 * points[48] + 0.45 * points[4]]
        outline = np.concatenate([smooth(points[3:14], 3), smooth(np.array(inner), 3)])
        head.fill(project(outline), hair * np.float32(0.7), 0.9 * identity.beard, 5 * scale)
    if identity.moustache:
        top = [points[48] + (-4, 2, 0), points[31] + (-3, 9, 0), points[33] + (0, 7, 0), points[35] + (3, 9, 0)]
        lip = [points[54] + (4, 2, 0), *points[53:48:-1]]
        head.fill(project(np.array([*top, *lip])), hair * np.float32(0.65), 0.9 * identity.moustache, 2.5 * scale)
