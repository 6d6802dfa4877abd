"""What the painters of one frame share: whose face, how it moves, and where its parts lie in the image."""

from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.identity import Identity
from data_prep.synthetic.relief import Strengths
from data_prep.synthetic.shape import Projection, View

_GREY = np.array([0.114, 0.587, 0.299])


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame to paint.

    Attributes:
        identity: whose face.
        view: the frame's head motion, light and gaze.
        units: strengths of the action units.
        points: (68, 3) landmarks in template units, moved by the expression.
        project: from template units to pixels.
        landmarks: (68, 2) the same in pixels.
    """

    identity: Identity
    view: View
    units: Strengths
    points: np.ndarray
    project: Projection
    landmarks: np.ndarray

    @property
    def scale(self) -> float:
        """Pixels per template unit."""
        return self.project.scale

    @property
    def wide(self) -> float:
        """Width of the face relative to the mean face."""
        return self.identity.proportions["face_width"]

    def tone(self, colour: np.ndarray | tuple[float, ...] | float) -> np.ndarray:
        """Return a colour in the image's own channels, see :func:`tone`."""
        return tone(colour, self.identity)

    def mirrored(self, half: list[tuple[float, float]] | np.ndarray, wide: float) -> np.ndarray:
        """Return the outline in pixels of a flat shape behind the face.

        Args:
            half: (n, 2) the shape's right half in template units, from top to bottom.
            wide: factor on its width.
        """
        right = np.asarray(half, dtype=np.float64) * (wide, 1)
        points = np.concatenate([right, right[::-1] * (-1, 1)])
        return self.project(np.c_[points, np.full(len(points), -60.0)])


def tone(colour: np.ndarray | tuple[float, ...] | float, identity: Identity) -> np.ndarray:
    """Return a colour in the channels of an identity's frames, float32 (3,) or (1,).

    Args:
        colour: blue, green, red; or one number for a grey.
        identity: its ``colour`` says which channels the frames have.
    """
    colour = np.broadcast_to(np.asarray(colour, dtype=np.float64), (3,))
    return (colour if identity.colour else np.array([colour @ _GREY])).astype(np.float32)
