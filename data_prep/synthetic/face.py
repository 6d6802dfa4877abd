"""Draws a face: skin, eyes, brows, nose, mouth, hair, glasses, in the light of :mod:`data_prep.synthetic.relief`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from data_prep.synthetic.action_units import activation, parse_unit, saturate
from data_prep.synthetic.beard import draw_beard
from data_prep.synthetic.canvas import Canvas, offset, smooth
from data_prep.synthetic.identity import Identity
from data_prep.synthetic.relief import Strengths, light_on, surface_depth
from data_prep.synthetic.shape import TEMPLATE, Projection, View, expressed, projection, proportioned

HEIGHT, WIDTH = 490, 640
"""Size of a frame in pixels, as in most of CK+."""

_GREY = np.array([0.114, 0.587, 0.299])


@dataclass(frozen=True)
class Drawing:
    """One drawn frame.

    Attributes:
        image: (490, 640) uint8, grey; or (490, 640, 3) uint8, blue, green, red.
        landmarks: (68, 2) float64, x and y in pixels, iBUG order.
    """

    image: np.ndarray
    landmarks: np.ndarray


def draw_face(
    identity: Identity,
    action_units: Mapping[str | int, float] | np.ndarray | None = None,
    view: View | None = None,
    noise: np.random.Generator | None = None,
) -> Drawing:
    """Draw an identity that shows some action units on top of its resting face.

    Args:
        identity: whom to draw.
        action_units: names and strengths such as ``{"6": 0.8, "12": 1.0}``, or the (units, 2) array of
            :func:`data_prep.synthetic.action_units.activation`; none is the resting face.
        view: the frame's head motion, light and gaze; none by default.
        noise: adds a camera's noise, drawn from it; none by default.

    Returns:
        The image, 490 by 640 pixels, and its landmarks.

    Example:
        >>> import numpy as np
        >>> from data_prep.synthetic.identity import sample_identity
        >>> draw_face(sample_identity(np.random.default_rng(3)), {"6": 1, "12": 1}).landmarks.shape
        (68, 2)
    """
    if action_units is None:
        action_units = {}
    if isinstance(action_units, Mapping):
        action_units = activation(action_units)
    portrait = _portrait(identity)
    image, landmarks = portrait.draw(identity.resting + action_units, view or View())
    if noise is not None:
        image = portrait.expose(image, noise)
    return Drawing(np.clip(np.rint(image), 0, 255).astype(np.uint8).squeeze(), landmarks)


def moved_landmarks(unit: str | int, threshold: float = 0.25) -> tuple[int, ...]:
    """Return the landmarks that an action unit moves, found by moving it on the mean face.

    Args:
        unit: for example ``12`` or ``"L14"``.
        threshold: share of the unit's largest displacement from which a landmark counts as moved.

    Returns:
        Landmarks in ascending order, 0 to 67.

    Example:
        >>> moved_landmarks("L14")
        (53, 54, 55, 64)
    """
    row, sides = parse_unit(unit)
    strengths = np.zeros_like(activation({}))
    before = expressed(TEMPLATE, strengths)
    strengths[row, list(sides)] = 1.0
    distance = np.linalg.norm((expressed(TEMPLATE, strengths) - before)[:, :2], axis=1)
    return tuple(int(i) for i in np.flatnonzero(distance > threshold * distance.max()))


@lru_cache(maxsize=4)
def _portrait(identity: Identity) -> "_Portrait":
    return _Portrait(identity)


def _streaks(rng: np.random.Generator, identity: Identity) -> np.ndarray:
    """Strands of hair that fall from the parting, with their sheen, (490, 640, 1), around 1."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
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
    sheen = np.exp(-(((across - 0.86) / 0.13) ** 2)) * (
        0.75 + 0.35 * np.tanh((x - cx) / (60 * scale) * identity.light[0] * 3)
    )
    return ((0.84 + 0.42 * sheen) * (1 + 0.11 * np.clip(strands, -2.5, 2.5)))[..., None]


def _dome(angle: np.ndarray, width: float, top: float) -> np.ndarray:
    """The upper half of the head from the right of the image over the top to the left, (n, 2) template units."""
    x, y = np.cos(angle), np.maximum(np.sin(angle), 0)
    return np.stack([width * np.sign(x) * np.abs(x) ** 0.88, 4 - top * y**0.82], axis=1)


class _Portrait:
    """What of an identity stays the same from frame to frame, and the drawing of a frame from it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.points = proportioned(identity)
        rng = np.random.default_rng(identity.texture_seed)
        self.channels = 3 if identity.colour else 1
        cx, cy = identity.centre
        scale = identity.scale
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        slope = rng.uniform(-0.25, 0.25, 2)
        fade = 1 + slope[0] * (x / WIDTH - 0.5) + slope[1] * (y / HEIGHT - 0.5) - 0.12 * np.hypot(x - cx, y - cy) / 400
        self.background = (fade[..., None] * self.tone(identity.background)).astype(np.float32)
        blotches = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 9)
        pores = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.0)
        texture = 1 + 0.012 * blotches / blotches.std() + 0.012 * pores / pores.std()
        for _ in range(int(rng.integers(0, 5))):
            spot = (int(cx + rng.uniform(-80, 80) * scale), int(cy + rng.uniform(-90, 140) * scale))
            cv2.circle(texture, spot, int(rng.integers(1, 3)), float(rng.uniform(0.6, 0.8)), -1, cv2.LINE_AA)
        self.texture = cv2.GaussianBlur(texture, (0, 0), 0.7)[..., None]
        self.strands = _streaks(rng, identity).astype(np.float32)
        self.grain = rng.standard_normal((HEIGHT + 64, WIDTH + 64)).astype(np.float32)

    def tone(self, colour: np.ndarray | tuple[float, ...] | float) -> np.ndarray:
        """A colour in the image's own channels, (channels,)."""
        colour = np.broadcast_to(np.asarray(colour, dtype=np.float64), (3,))
        return (colour if self.channels == 3 else np.array([colour @ _GREY])).astype(np.float32)

    def expose(self, image: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        """Add a camera's noise: a random part of one sheet of grain, far cheaper than fresh noise for every frame."""
        dy, dx = noise.integers(0, 64, 2)
        grain = self.grain[dy : dy + HEIGHT, dx : dx + WIDTH, None]
        return image + (1.0 if noise.random() < 0.5 else -1.0) * grain

    def draw(self, strengths: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame: (490, 640, channels) float32 and its landmarks (68, 2)."""
        identity = self.identity
        project = projection(identity, view)
        points = expressed(self.points, strengths, view.blink)
        units = Strengths(saturate(strengths))
        landmarks = project(points)
        frame = Canvas(self.background.copy())
        drift = np.rint(np.asarray(view.shift)).astype(int)
        strands = np.roll(self.strands, tuple(drift[::-1]), axis=(0, 1)) if drift.any() else self.strands
        hair = (strands * self.tone(identity.hair)).astype(np.float32)
        self._behind(frame, project, landmarks, hair)
        outline = self._head_outline(project, landmarks)
        rows, columns = frame.box(outline, 4)
        corner = (columns.start, rows.start)
        texture = np.roll(self.texture, tuple(drift[::-1]), axis=(0, 1)) if drift.any() else self.texture
        head = Canvas((texture[rows, columns] * self.tone(identity.skin)).astype(np.float32), corner)
        self._skin(head, project, points, units)
        self._nose(head, project, points)
        if identity.beard or identity.moustache:
            draw_beard(head, identity, project, points, hair[rows, columns])
        self._mouth(head, landmarks, project.scale, units)
        for side in (0, 1):
            self._eye(head, landmarks, project.scale, side, view)
            self._brow(head, landmarks, project.scale, side, hair[rows, columns])
        factor, gloss = light_on(identity, points, units, project, corner, head.image.shape[:2])
        head.image *= factor[..., None]
        head.image += (26.0 * gloss)[..., None]
        self._wet_points(head, landmarks, project.scale, view)
        frame.inlay(head, outline, 0.8)
        self._front_hair(frame, project, landmarks, hair)
        if identity.glasses:
            self._glasses(frame, project, landmarks)
        image = cv2.GaussianBlur(frame.image, (0, 0), 0.6).reshape(HEIGHT, WIDTH, self.channels)
        return image * np.float32(view.gain), landmarks

    def _head_outline(self, project: Projection, landmarks: np.ndarray) -> np.ndarray:
        width = 114 * self.identity.proportions["face_width"]
        top = 168 * self.identity.proportions["skull_height"]
        angle = np.linspace(0, np.pi, 22)[1:-1]
        arc = np.c_[_dome(angle, width, top), -90 * np.abs(np.cos(angle))]
        return np.concatenate([smooth(landmarks[:17], 3), project(arc)])

    def _behind(self, frame: Canvas, project: Projection, landmarks: np.ndarray, hair: np.ndarray) -> None:
        identity, scale = self.identity, project.scale
        skin, clothes = self.tone(identity.skin), self.tone(identity.clothes)
        wide = identity.proportions["face_width"]
        if identity.hair_style == "long":
            half = [(0, -185), (70, -172), (118, -120), (136, -40), (142, 60), (150, 150), (138, 215), (70, 230)]
            self._symmetric(frame, project, smooth(np.array(half), 4), wide, hair * np.float32(0.75), 2.0)
        if identity.hair_style == "tied":
            frame.disc(
                project(np.array([[identity.parting * 20, -182.0, -60]]))[0], (44 * scale, 32 * scale), hair * 0.8
            )
        shade = 0.62 + 0.1 * identity.ambient
        neck = [(0, 100), (62, 110), (66, 170), (84, 205), (150, 240), (150, 330), (0, 330)]
        self._symmetric(frame, project, neck, 0.5 + 0.5 * wide, skin * np.float32(shade), 1.0)
        chin = np.array([(-70.0, 120), (0, 195), (70, 120), (0, 90)])
        chin[1, 1] = (landmarks[8, 1] - project.origin[1]) / scale + 26
        frame.fill(project(smooth(chin, 4, closed=True)), skin * np.float32(0.36), 0.75, 9 * scale)
        for sign in (-1, 1):
            cord = project(smooth(np.array([(sign * 56.0, 140), (sign * 46, 190), (sign * 20, 232)])))
            frame.line(cord, skin * np.float32(0.45), 7 * scale, 0.35, 4 * scale)
        shirt = [(0, 250), (34, 238), (78, 204), (110, 214), (190, 240), (240, 275), (260, 420), (0, 420)]
        self._symmetric(frame, project, shirt, 1.0, clothes, 0.8)
        for sign in (-1, 1):
            frame.line(
                project(smooth(np.array([(0, 252.0), (sign * 36, 240), (sign * 79, 206)]))),
                clothes * np.float32(0.7),
                7 * scale,
                0.8,
                1.0,
            )
            seam = project(smooth(np.array([(sign * 128.0, 219), (sign * 146, 270), (sign * 148, 340)])))
            frame.line(seam, clothes * np.float32(0.8), 5 * scale, 0.6, 2.0 * scale)
        if identity.hair_style != "long":
            for ear in (0, 16):
                sign = -1 if ear == 0 else 1
                centre = landmarks[ear] + offset(sign * 2 * scale, 16 * scale)
                light = 0.66 + 0.25 * max(0.0, sign * identity.light[0])
                frame.disc(centre, (15 * scale, 32 * scale), skin * np.float32(light), 1.0, 1.0)
                frame.disc(
                    centre + offset(sign * 3 * scale, 0), (6 * scale, 20 * scale), skin * np.float32(0.42), 0.7, 2.5
                )

    def _symmetric(
        self,
        frame: Canvas,
        project: Projection,
        half: list[tuple[float, float]] | np.ndarray,
        wide: float,
        colour: np.ndarray,
        softness: float,
    ) -> None:
        right = np.asarray(half, dtype=np.float64) * (wide, 1)
        points = np.concatenate([right, right[::-1] * (-1, 1)])
        frame.fill(project(np.c_[points, np.full(len(points), -60.0)]), colour, 1.0, softness)

    def _skin(self, head: Canvas, project: Projection, points: np.ndarray, units: Strengths) -> None:
        identity, scale = self.identity, project.scale
        skin = self.tone(identity.skin)
        ruddy = self.tone(identity.skin * (0.78, 0.80, 1.02))

        def on_face(x: float, y: float) -> np.ndarray:
            xy = np.array([[x, y]])
            return project(np.c_[xy, surface_depth(xy)])[0]

        for side, sign in enumerate((-1, 1)):
            lift = 6 * (units[6][side] + units[12][side])
            head.disc(on_face(sign * 64, 52 - lift), (26 * scale, 20 * scale), ruddy, 0.35, 10 * scale)
        head.disc(on_face(0, points[30, 1]), (13 * scale, 10 * scale), ruddy, 0.3, 6 * scale)
        if identity.stubble:
            jaw = np.concatenate([points[3:14], points[[14, 54, 35, 33, 31, 48, 2]]])
            dark = self.tone(identity.skin * 0.45 + identity.hair * 0.35)
            head.fill(project(jaw), dark, 0.8 * identity.stubble, 9 * scale)
        socket = skin * np.float32(0.72)
        for eye, brow in ((range(36, 42), 19), (range(42, 48), 24)):
            middle = project(points[list(eye)]).mean(axis=0)
            lid = 0.6 * middle + 0.4 * project(points[[brow]])[0]
            head.disc(lid, (22 * scale, 8 * scale), socket, 0.35, 5 * scale)

    def _nose(self, head: Canvas, project: Projection, points: np.ndarray) -> None:
        scale = project.scale
        nostril = self.tone(self.identity.skin * (0.16, 0.18, 0.28))
        crease = self.tone(self.identity.skin * (0.4, 0.44, 0.55))
        for wing, between, sign in ((31, 32, -1), (35, 34, 1)):
            edge, inner = points[wing], points[between]
            hole = 0.45 * edge + 0.55 * inner
            head.disc(project(hole[None])[0], (6.2 * scale, 2.8 * scale), nostril, 0.75, 1.1 * scale)
            curve = np.array(
                [
                    edge + offset(sign * 4, -12, -6),
                    edge + offset(sign * 7, -4, -6),
                    edge + offset(sign * 3, 3, 0),
                    inner,
                ]
            )
            head.line(project(smooth(curve)), crease, 3 * scale, 0.5, 1.2 * scale)

    def _mouth(self, head: Canvas, landmarks: np.ndarray, scale: float, units: Strengths) -> None:
        lip = self.tone(self.identity.lip)
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
            cavity.image[:] = self.tone((30, 26, 48))
            middle = landmarks[[60, 64]].mean(axis=0)
            half = 0.5 * np.linalg.norm(landmarks[64] - landmarks[60])
            tongue = np.array([middle[0], landmarks[66, 1] + 2 * scale])
            if gap > 10 * scale:
                cavity.disc(tongue, (0.62 * half, 0.42 * gap), self.tone((84, 78, 150)), 0.85, 3 * scale)
            ivory = self.tone((196, 212, 218))
            # Upper teeth hang from the skull, below the nose; lower teeth ride on the jaw.
            edge = landmarks[33, 1] + (41 + self.identity.proportions["mouth_height"]) * scale
            bite = np.linspace(-0.86, 0.86, 9)
            teeth = np.stack([middle[0] + bite * half, edge - (1 - bite**2) * -1.5 * scale], axis=1)
            above = teeth[::-1] - (0, 30 * scale)
            cavity.fill(np.concatenate([teeth, above]), ivory, 0.92, 1.0 * scale)
            for x in np.linspace(-0.55, 0.55, 8):
                spot = np.array([[middle[0] + x * half, edge - 14 * scale], [middle[0] + x * half, edge]])
                cavity.line(spot, ivory * np.float32(0.72), 1.2 * scale, 0.5)
            shown = float(np.clip(units[16].mean() + units[20].mean() - 0.3, 0, 1))
            if shown > 0 and gap > 5 * scale:
                rim = landmarks[66, 1] - (6 * shown - 3 * bite**2) * scale
                low = np.stack([middle[0] + bite * 0.7 * half, rim], axis=1)
                row = np.concatenate([low, low[::-1] + offset(0, 14 * scale)])
                cavity.fill(row, ivory * np.float32(0.85), 0.8, 1.0 * scale)
            # Lips throw their shadow on the teeth, and the corners are deep.
            cavity.line(inner_top, self.tone((24, 20, 36)), 5 * scale, 0.4, 1.5 * scale)
            for corner in landmarks[[60, 64]]:
                cavity.disc(corner, (0.25 * half, 9 * scale), self.tone((24, 20, 36)), 0.6, 4 * scale)
            head.inlay(cavity, opening, 0.6)
        dark = self.tone(self.identity.lip * (0.26, 0.26, 0.36))
        head.line(inner_top, dark, 3.0 * scale, 0.85, 0.6 * scale)
        for inner, outer in ((60, 48), (64, 54)):
            head.disc(
                0.3 * landmarks[inner] + 0.7 * landmarks[outer], (3.4 * scale, 2.2 * scale), dark, 0.6, 1.2 * scale
            )
        if gap > 2 * scale:
            head.line(inner_bottom, dark, 1.6 * scale, 0.5, 0.7 * scale)

    def _eye(self, head: Canvas, landmarks: np.ndarray, scale: float, side: int, view: View) -> None:
        first = (36, 42)[side]
        eye = landmarks[first : first + 6]
        top, bottom = smooth(eye[:4], 5), smooth(eye[[3, 4, 5, 0]], 5)
        opening = np.concatenate([top, bottom[1:-1]])
        dark = self.tone(self.identity.hair * 0.25 + self.identity.skin * 0.10)
        half = 0.5 * np.linalg.norm(eye[3] - eye[0])
        box = head.box(opening, 2)
        if box is not None:
            ball = head.window(box)
            ball.image[:] = self.tone((204, 210, 214))
            centre = self._iris(eye, half, view)
            for corner in (eye[0], eye[3]):
                ball.disc(corner, (8 * scale, 7 * scale), self.tone((120, 126, 158)), 0.6, 3 * scale)
            radius = 11.2 * scale
            iris = self.tone(self.identity.iris)
            ball.disc(centre, radius, iris * np.float32(0.45), 1.0, 0.7 * scale)
            ball.disc(centre, 0.82 * radius, iris, 1.0, 1.2 * scale)
            ball.disc(
                centre + offset(0, 0.35 * radius), (0.55 * radius, 0.4 * radius), iris * np.float32(1.5), 0.5, 2 * scale
            )
            ball.disc(centre, 0.42 * radius, self.tone((10, 10, 12)), 1.0, 0.6 * scale)
            ball.line(top + offset(0, 2.5 * scale), self.tone((40, 40, 48)), 7 * scale, 0.5, 2 * scale)
            head.inlay(ball, opening, 0.5)
        lid = self.tone(self.identity.skin * (0.36, 0.38, 0.48))
        head.line(top + offset(0, -6.5 * scale), lid, 2.6 * scale, 0.55, 1.0 * scale)
        head.line(top + offset(0, -0.5 * scale), dark, 4.2 * scale, 0.95, 0.6 * scale)
        head.line(bottom + offset(0, 0.6 * scale), lid, 2.2 * scale, 0.6, 0.7 * scale)

    def _iris(self, eye: np.ndarray, half: float, view: View) -> np.ndarray:
        """Centre of an iris: fixed in the head, not between the lids, so that raised lids bare the white above it."""
        middle = 0.5 * (eye[0] + eye[3])
        return middle + offset(half * view.gaze[0], half * (view.gaze[1] - 0.09))

    def _wet_points(self, head: Canvas, landmarks: np.ndarray, scale: float, view: View) -> None:
        for first in (36, 42):
            eye = landmarks[first : first + 6]
            gap = 0.5 * (eye[4:6, 1].sum() - eye[1:3, 1].sum())
            centre = self._iris(eye, 0.5 * np.linalg.norm(eye[3] - eye[0]), view)
            toward = self.identity.light[:2] * 6 * scale
            shown = float(np.clip(gap / scale / 8 - 0.3, 0, 1))
            head.disc(centre + toward, 2.0 * scale, self.tone((250, 250, 250)), 0.9 * shown, 0.6 * scale)
        lip = 0.55 * landmarks[57] + 0.45 * landmarks[66] + offset(self.identity.light[0] * 10 * scale, 0)
        head.disc(lip, (11 * scale, 1.8 * scale), self.tone((235, 235, 245)), 0.22, 1.8 * scale)

    def _brow(self, head: Canvas, landmarks: np.ndarray, scale: float, side: int, hair: np.ndarray) -> None:
        brow = landmarks[17:22] if side == 0 else landmarks[26:21:-1]
        thick = self.identity.brow_thickness * scale
        curve = smooth(brow, 5)
        profile = np.interp(np.linspace(0, 1, len(curve)), [0, 0.35, 0.8, 1], [0.12, 0.8, 1.0, 0.8])[:, None] * thick
        normal = np.array([0.0, 1.0])
        outline = np.concatenate([curve - 0.5 * profile * normal, (curve + 0.5 * profile * normal)[::-1]])
        head.fill(outline, hair * np.float32(0.75), self.identity.brow_density, 1.3 * scale)
        core = np.concatenate([curve - 0.25 * profile * normal, (curve + 0.3 * profile * normal)[::-1]])
        head.fill(core, hair * np.float32(0.6), 0.5 * self.identity.brow_density, 1.0 * scale)

    def _front_hair(self, frame: Canvas, project: Projection, landmarks: np.ndarray, hair: np.ndarray) -> None:
        style = self.identity.hair_style
        wide = self.identity.proportions["face_width"]
        top = self.identity.proportions["skull_height"]
        height, puff = {
            "short": (-112, 9), "parted": (-108, 11), "long": (-110, 10), "tied": (-118, 4), "cropped": (-118, 3),
            "fringe": (-84, 12),
        }[style]  # fmt: skip
        angle = np.linspace(-0.06, np.pi + 0.06, 24)
        outer = _dome(angle, 114 * wide + puff, 168 * top + puff)
        part = 40 * self.identity.parting if style in ("parted", "long") else 0.0
        sag = 16 if style in ("parted", "long") else 0
        side = -4 if style != "cropped" else -20
        line = np.array(
            [(-113 * wide, side), (-106 * wide, -34), (-98 * wide, -66), (-66, height + 14 + 0.6 * sag),
             (part - 30, height + 0.4 * sag), (part, height - sag), (part + 30, height + 0.4 * sag),
             (66, height + 14 + 0.6 * sag), (98 * wide, -66), (106 * wide, -34), (113 * wide, side)]
        )  # fmt: skip
        inner = smooth(line, 4)
        depth = np.r_[np.full(len(outer), -60.0), np.where(np.abs(inner[:, 0]) > 90, -55.0, 0.0)]
        polygon = np.c_[np.concatenate([outer, inner]), depth]
        shadow = project(np.c_[inner, np.where(np.abs(inner[:, 0]) > 90, -55.0, 0.0)] + offset(0, 4, 0))
        frame.line(shadow, self.tone(self.identity.skin * 0.45), 12 * project.scale, 0.45, 4 * project.scale)
        frame.fill(project(polygon), hair, 0.8 if style == "cropped" else 1.0, 4.0 if style == "cropped" else 1.6)
        if style in ("parted", "long"):
            frame.line(
                project(np.array([(part, -172.0 * top, -20), (part, -140, -5), (part, height - sag + 4, 5)])),
                self.tone(self.identity.hair * 0.4),
                4 * project.scale,
                0.6,
                1.2,
            )
        if style == "long":
            for sign in (-1, 1):
                lock = np.array(
                    [(sign * 70, -118), (sign * 98, -70), (sign * 106, -10), (sign * 110, 60), (sign * 104, 130),
                     (sign * 108, 200), (sign * 140, 215), (sign * 146, 90), (sign * 138, -30), (sign * 118, -110)],
                    dtype=np.float64,
                ) * (wide, 1)  # fmt: skip
                frame.fill(project(np.c_[smooth(lock, 3, closed=True), np.full(30, -40.0)]), hair, 1.0, 1.6)

    def _glasses(self, frame: Canvas, project: Projection, landmarks: np.ndarray) -> None:
        rim = self.tone(self.identity.hair * 0.4)
        scale = project.scale
        corner = 2.0 if self.identity.glasses == 1 else 4.5
        angle = np.linspace(0, 2 * np.pi, 41)
        unit = np.stack([np.sign(f) * np.abs(f) ** (2 / corner) for f in (np.cos(angle), np.sin(angle))], axis=1)
        spacing = self.identity.proportions["eye_spacing"]
        for sign in (-1, 1):
            ring = unit * (35, 25 if corner > 3 else 30) + offset(sign * (54 + spacing), 6)
            frame.line(project(np.c_[ring, np.full(41, 24.0)]), rim, 3.4 * scale, 0.9, 0.5)
            glint = np.array([(-16.0, -14), (-6, -16), (-16, 6), (-24, 6)]) + offset(sign * (54 + spacing), 6)
            frame.fill(project(np.c_[glint, np.full(4, 24.0)]), self.tone(255), 0.12, 2.0)
            arm = np.array([(sign * (88 + spacing), 0, 20), (sign * 112, -2, -70)])
            frame.line(project(arm), rim, 3.0 * scale, 0.8, 0.5)
        bridge = np.array([(-20.0, 2, 26), (0, -3, 30), (20, 2, 26)])
        frame.line(project(smooth(bridge)), rim, 3.4 * scale, 0.9, 0.5)
