"""A grown beard and a moustache, which move with the jaw and the lips."""

import numpy as np

from data_prep.synthetic.canvas import Canvas, smooth
from data_prep.synthetic.identity import Identity
from data_prep.synthetic.shape import Projection


def draw_beard(head: Canvas, identity: Identity, project: Projection, points: np.ndarray, hair: np.ndarray) -> None:
    """Paint an identity's beard and moustache; the lips are painted over them afterwards.

    Args:
        head: painted in place.
        identity: whose ``beard`` and ``moustache`` say how dense they are.
        project: from template units to pixels.
        points: (68, 3) landmarks in template units, moved by the expression.
        hair: strands in the hair's colour, an image of the size of the canvas.
    """
    scale = project.scale
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
