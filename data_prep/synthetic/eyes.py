"""Eyes, brows, glasses, and the wet points that shine."""

import numpy as np

from data_prep.synthetic.canvas import Canvas, offset, smooth
from data_prep.synthetic.scene import Scene


def paint_eye(head: Canvas, scene: Scene, side: int) -> None:
    """Paint an eye between its lids; ``side`` is 0 on the left of the image and 1 on its right."""
    identity, scale = scene.identity, scene.scale
    eye = _eye(scene, side)
    top, bottom = smooth(eye[:4], 5), smooth(eye[[3, 4, 5, 0]], 5)
    opening = np.concatenate([top, bottom[1:-1]])
    box = head.box(opening, 2)
    if box is not None:
        ball = head.window(box)
        ball.image[:] = scene.tone((204, 210, 214))
        centre = _iris_centre(eye, scene)
        for corner in (eye[0], eye[3]):
            ball.disc(corner, (8 * scale, 7 * scale), scene.tone((120, 126, 158)), 0.6, 3 * scale)
        radius = 11.2 * scale
        iris = scene.tone(identity.iris)
        ball.disc(centre, radius, iris * np.float32(0.45), 1.0, 0.7 * scale)
        ball.disc(centre, 0.82 * radius, iris, 1.0, 1.2 * scale)
        lower = centre + offset(0, 0.35 * radius)
        ball.disc(lower, (0.55 * radius, 0.4 * radius), iris * np.float32(1.5), 0.5, 2 * scale)
        ball.disc(centre, 0.42 * radius, scene.tone((10, 10, 12)), 1.0, 0.6 * scale)
        ball.line(top + offset(0, 2.5 * scale), scene.tone((40, 40, 48)), 7 * scale, 0.5, 2 * scale)
        head.inlay(ball, opening, 0.5)
    lid = scene.tone(identity.skin * (0.36, 0.38, 0.48))
    lashes = scene.tone(identity.hair * 0.25 + identity.skin * 0.10)
    head.line(top + offset(0, -6.5 * scale), lid, 2.6 * scale, 0.55, 1.0 * scale)
    head.line(top + offset(0, -0.5 * scale), lashes, 4.2 * scale, 0.95, 0.6 * scale)
    head.line(bottom + offset(0, 0.6 * scale), lid, 2.2 * scale, 0.6, 0.7 * scale)


def paint_brow(head: Canvas, scene: Scene, side: int, hair: np.ndarray) -> None:
    """Paint a brow; ``hair`` is strands in the hair's colour, an image of the size of the canvas."""
    identity = scene.identity
    curve = smooth(scene.landmarks[17:22] if side == 0 else scene.landmarks[26:21:-1], 5)
    profile = np.interp(np.linspace(0, 1, len(curve)), [0, 0.35, 0.8, 1], [0.12, 0.8, 1.0, 0.8])[:, None]
    down = profile * (identity.brow_thickness * scene.scale) * np.array([0.0, 1.0])
    outline = np.concatenate([curve - 0.5 * down, (curve + 0.5 * down)[::-1]])
    head.fill(outline, hair * np.float32(0.75), identity.brow_density, 1.3 * scene.scale)
    core = np.concatenate([curve - 0.25 * down, (curve + 0.3 * down)[::-1]])
    head.fill(core, hair * np.float32(0.6), 0.5 * identity.brow_density, 1.0 * scene.scale)


def paint_wet_points(head: Canvas, scene: Scene) -> None:
    """Paint the light's reflection in the eyes and on the lower lip."""
    landmarks, light, scale = scene.landmarks, scene.identity.light, scene.scale
    for side in (0, 1):
        eye = _eye(scene, side)
        gap = 0.5 * (eye[4:6, 1].sum() - eye[1:3, 1].sum())
        shown = float(np.clip(gap / scale / 8 - 0.3, 0, 1))
        place = _iris_centre(eye, scene) + light[:2] * 6 * scale
        head.disc(place, 2.0 * scale, scene.tone((250, 250, 250)), 0.9 * shown, 0.6 * scale)
    lip = 0.55 * landmarks[57] + 0.45 * landmarks[66] + offset(light[0] * 10 * scale, 0)
    head.disc(lip, (11 * scale, 1.8 * scale), scene.tone((235, 235, 245)), 0.22, 1.8 * scale)


def paint_glasses(frame: Canvas, scene: Scene) -> None:
    """Paint an identity's glasses, round or rectangular."""
    project, scale = scene.project, scene.scale
    rim = scene.tone(scene.identity.hair * 0.4)
    corner = 2.0 if scene.identity.glasses == 1 else 4.5
    angle = np.linspace(0, 2 * np.pi, 41)
    unit = np.stack([np.sign(f) * np.abs(f) ** (2 / corner) for f in (np.cos(angle), np.sin(angle))], axis=1)
    spacing = scene.identity.proportions["eye_spacing"]
    for sign in (-1, 1):
        ring = unit * (35, 25 if corner > 3 else 30) + offset(sign * (54 + spacing), 6)
        frame.line(project(np.c_[ring, np.full(41, 24.0)]), rim, 3.4 * scale, 0.9, 0.5)
        glint = np.array([(-16.0, -14), (-6, -16), (-16, 6), (-24, 6)]) + offset(sign * (54 + spacing), 6)
        frame.fill(project(np.c_[glint, np.full(4, 24.0)]), scene.tone(255), 0.12, 2.0)
        arm = np.array([(sign * (88 + spacing), 0, 20), (sign * 112, -2, -70)])
        frame.line(project(arm), rim, 3.0 * scale, 0.8, 0.5)
    bridge = np.array([(-20.0, 2, 26), (0, -3, 30), (20, 2, 26)])
    frame.line(project(smooth(bridge)), rim, 3.4 * scale, 0.9, 0.5)


def _eye(scene: Scene, side: int) -> np.ndarray:
    """The six landmarks of an eye, (6, 2) pixels."""
    first = (36, 42)[side]
    return scene.landmarks[first : first + 6]


def _iris_centre(eye: np.ndarray, scene: Scene) -> np.ndarray:
    """Centre of an iris: fixed in the head, not between the lids, so that raised lids bare the white above it."""
    half = 0.5 * np.linalg.norm(eye[3] - eye[0])
    return 0.5 * (eye[0] + eye[3]) + offset(half * scene.view.gaze[0], half * (scene.view.gaze[1] - 0.09))
