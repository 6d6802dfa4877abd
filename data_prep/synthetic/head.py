"""The head's outline, its skin and nose, and the neck, shoulders and ears around it."""

import numpy as np

from data_prep.synthetic.canvas import Canvas, offset, smooth
from data_prep.synthetic.relief import surface_depth
from data_prep.synthetic.scene import Scene


def dome(angle: np.ndarray, width: float, top: float) -> np.ndarray:
    """The upper half of the head from the right of the image over the top to the left, (n, 2) template units."""
    x, y = np.cos(angle), np.maximum(np.sin(angle), 0)
    return np.stack([width * np.sign(x) * np.abs(x) ** 0.88, 4 - top * y**0.82], axis=1)


def head_outline(scene: Scene) -> np.ndarray:
    """Outline of the jaw and the skull, (n, 2) pixels."""
    angle = np.linspace(0, np.pi, 22)[1:-1]
    skull = dome(angle, 114 * scene.wide, 168 * scene.identity.proportions["skull_height"])
    arc = np.c_[skull, -90 * np.abs(np.cos(angle))]
    return np.concatenate([smooth(scene.landmarks[:17], 3), scene.project(arc)])


def paint_body(frame: Canvas, scene: Scene) -> None:
    """Paint what lies behind the face: neck, shirt, and ears where no hair covers them."""
    identity, project, scale = scene.identity, scene.project, scene.scale
    skin, clothes = scene.tone(identity.skin), scene.tone(identity.clothes)
    shade = 0.62 + 0.1 * identity.ambient
    neck = [(0, 100), (62, 110), (66, 170), (84, 205), (150, 240), (150, 330), (0, 330)]
    frame.fill(scene.mirrored(neck, 0.5 + 0.5 * scene.wide), skin * np.float32(shade), 1.0, 1.0)
    chin = np.array([(-70.0, 120), (0, 195), (70, 120), (0, 90)])
    chin[1, 1] = (scene.landmarks[8, 1] - project.origin[1]) / scale + 26
    frame.fill(project(smooth(chin, 4, closed=True)), skin * np.float32(0.36), 0.75, 9 * scale)
    for sign in (-1, 1):
        cord = project(smooth(np.array([(sign * 56.0, 140), (sign * 46, 190), (sign * 20, 232)])))
        frame.line(cord, skin * np.float32(0.45), 7 * scale, 0.35, 4 * scale)
    shirt = [(0, 250), (34, 238), (78, 204), (110, 214), (190, 240), (240, 275), (260, 420), (0, 420)]
    frame.fill(scene.mirrored(shirt, 1.0), clothes, 1.0, 0.8)
    for sign in (-1, 1):
        collar = project(smooth(np.array([(0, 252.0), (sign * 36, 240), (sign * 79, 206)])))
        frame.line(collar, clothes * np.float32(0.7), 7 * scale, 0.8, 1.0)
        seam = project(smooth(np.array([(sign * 128.0, 219), (sign * 146, 270), (sign * 148, 340)])))
        frame.line(seam, clothes * np.float32(0.8), 5 * scale, 0.6, 2.0 * scale)
    if identity.hair_style != "long":
        for ear, sign in ((0, -1), (16, 1)):
            centre = scene.landmarks[ear] + offset(sign * 2 * scale, 16 * scale)
            light = 0.66 + 0.25 * max(0.0, sign * identity.light[0])
            frame.disc(centre, (15 * scale, 32 * scale), skin * np.float32(light), 1.0, 1.0)
            inner = centre + offset(sign * 3 * scale, 0)
            frame.disc(inner, (6 * scale, 20 * scale), skin * np.float32(0.42), 0.7, 2.5)


def paint_skin(head: Canvas, scene: Scene) -> None:
    """Paint ruddy cheeks and nose, a shaven beard's shadow, and the eyes' sockets."""
    identity, project, points, scale = scene.identity, scene.project, scene.points, scene.scale
    ruddy = scene.tone(identity.skin * (0.78, 0.80, 1.02))

    def on_face(x: float, y: float) -> np.ndarray:
        xy = np.array([[x, y]])
        return project(np.c_[xy, surface_depth(xy)])[0]

    for side, sign in enumerate((-1, 1)):
        lift = 6 * (scene.units[6][side] + scene.units[12][side])
        head.disc(on_face(sign * 64, 52 - lift), (26 * scale, 20 * scale), ruddy, 0.35, 10 * scale)
    head.disc(on_face(0, points[30, 1]), (13 * scale, 10 * scale), ruddy, 0.3, 6 * scale)
    if identity.stubble:
        jaw = np.concatenate([points[3:14], points[[14, 54, 35, 33, 31, 48, 2]]])
        dark = scene.tone(identity.skin * 0.45 + identity.hair * 0.35)
        head.fill(project(jaw), dark, 0.8 * identity.stubble, 9 * scale)
    socket = scene.tone(identity.skin) * np.float32(0.72)
    for eye, brow in ((slice(36, 42), 19), (slice(42, 48), 24)):
        lid = 0.6 * scene.landmarks[eye].mean(axis=0) + 0.4 * scene.landmarks[brow]
        head.disc(lid, (22 * scale, 8 * scale), socket, 0.35, 5 * scale)


def paint_nose(head: Canvas, scene: Scene) -> None:
    """Paint the nostrils and the creases around the nose's wings."""
    project, points, scale = scene.project, scene.points, scene.scale
    nostril = scene.tone(scene.identity.skin * (0.16, 0.18, 0.28))
    crease = scene.tone(scene.identity.skin * (0.4, 0.44, 0.55))
    for wing, between, sign in ((31, 32, -1), (35, 34, 1)):
        edge, inner = points[wing], points[between]
        hole = 0.45 * edge + 0.55 * inner
        head.disc(project(hole[None])[0], (6.2 * scale, 2.8 * scale), nostril, 0.75, 1.1 * scale)
        around = edge + np.array([(sign * 4, -12, -6), (sign * 7, -4, -6), (sign * 3, 3, 0)])
        head.line(project(smooth(np.array([*around, inner]))), crease, 3 * scale, 0.5, 1.2 * scale)
