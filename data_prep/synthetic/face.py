"""Draws a face: painters paint its parts one over the other, in the light of :mod:`data_prep.synthetic.relief`.

The painters are in :mod:`data_prep.synthetic.head`, :mod:`data_prep.synthetic.mouth`, :mod:`data_prep.synthetic.eyes`
and :mod:`data_prep.synthetic.hair`; what they share is a :class:`data_prep.synthetic.scene.Scene`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from data_prep.synthetic.action_units import activation, saturate
from data_prep.synthetic.canvas import Canvas
from data_prep.synthetic.eyes import paint_brow, paint_eye, paint_glasses, paint_wet_points
from data_prep.synthetic.hair import paint_back_hair, paint_beard, paint_front_hair, strands_of
from data_prep.synthetic.head import head_outline, paint_body, paint_nose, paint_skin
from data_prep.synthetic.identity import Identity
from data_prep.synthetic.mouth import paint_mouth
from data_prep.synthetic.relief import Strengths, light_on
from data_prep.synthetic.scene import Scene, tone
from data_prep.synthetic.shape import View, expressed, projection, proportioned

HEIGHT, WIDTH = 490, 640
"""Size of a frame in pixels, as in most of CK+."""


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


@lru_cache(maxsize=4)
def _portrait(identity: Identity) -> "_Portrait":
    return _Portrait(identity)


class _Portrait:
    """What of an identity stays the same from frame to frame, and the drawing of a frame from it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.points = proportioned(identity)
        rng = np.random.default_rng(identity.texture_seed)
        cx, cy = identity.centre
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        slope = rng.uniform(-0.25, 0.25, 2)
        fade = 1 + slope[0] * (x / WIDTH - 0.5) + slope[1] * (y / HEIGHT - 0.5) - 0.12 * np.hypot(x - cx, y - cy) / 400
        self.background = (fade[..., None] * tone(identity.background, identity)).astype(np.float32)
        self.texture = _skin_texture(rng, identity)
        self.strands = strands_of(rng, identity, (HEIGHT, WIDTH))
        self.grain = rng.standard_normal((HEIGHT + 64, WIDTH + 64)).astype(np.float32)

    def expose(self, image: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        """Add a camera's noise: a random part of one sheet of grain, far cheaper than fresh noise for every frame."""
        dy, dx = noise.integers(0, 64, 2)
        grain = self.grain[dy : dy + HEIGHT, dx : dx + WIDTH, None]
        return image + (1.0 if noise.random() < 0.5 else -1.0) * grain

    def draw(self, strengths: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Draw one frame: (490, 640, channels) float32 and its landmarks (68, 2)."""
        identity, project = self.identity, projection(self.identity, view)
        points = expressed(self.points, strengths, view.blink)
        scene = Scene(identity, view, Strengths(saturate(strengths)), points, project, project(points))
        # Strands and pores move with the head, by whole pixels.
        drift = np.rint(np.asarray(view.shift)).astype(int)[::-1]
        strands, texture = (np.roll(sheet, tuple(drift), axis=(0, 1)) for sheet in (self.strands, self.texture))
        hair = (strands * scene.tone(identity.hair)).astype(np.float32)
        frame = Canvas(self.background.copy())
        paint_back_hair(frame, scene, hair)
        paint_body(frame, scene)
        outline = head_outline(scene)
        rows, columns = frame.box(outline, 4)
        corner = (columns.start, rows.start)
        head = Canvas((texture[rows, columns] * scene.tone(identity.skin)).astype(np.float32), corner)
        paint_skin(head, scene)
        paint_nose(head, scene)
        paint_beard(head, scene, hair[rows, columns])
        paint_mouth(head, scene)
        for side in (0, 1):
            paint_eye(head, scene, side)
            paint_brow(head, scene, side, hair[rows, columns])
        factor, gloss = light_on(identity, points, scene.units, project, corner, head.image.shape[:2])
        head.image *= factor[..., None]
        head.image += (26.0 * gloss)[..., None]
        paint_wet_points(head, scene)
        frame.inlay(head, outline, 0.8)
        paint_front_hair(frame, scene, hair)
        if identity.glasses:
            paint_glasses(frame, scene)
        image = cv2.GaussianBlur(frame.image, (0, 0), 0.6).reshape(self.background.shape)
        return image * np.float32(view.gain), scene.landmarks


def _skin_texture(rng: np.random.Generator, identity: Identity) -> np.ndarray:
    """Blotches, pores and birthmarks, (490, 640, 1), around 1."""
    (cx, cy), scale = identity.centre, identity.scale
    blotches = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 9)
    pores = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.0)
    texture = 1 + 0.012 * blotches / blotches.std() + 0.012 * pores / pores.std()
    for _ in range(int(rng.integers(0, 5))):
        spot = (int(cx + rng.uniform(-80, 80) * scale), int(cy + rng.uniform(-90, 140) * scale))
        cv2.circle(texture, spot, int(rng.integers(1, 3)), float(rng.uniform(0.6, 0.8)), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(texture, (0, 0), 0.7)[..., None]
