"""A line drawing of a neutral face in the crop, to lay under maps: no subject's face, so that it can be published.

It joins the landmarks of the synthetic mean face where they lie in its crop: what is drawn over a node is what the
node sees of an average face, and the truth of :mod:`data_prep.synthetic.places` fits it.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from data_prep.faces.crops import MARGIN
from data_prep.synthetic.canvas import smooth
from data_prep.synthetic.places import in_crop, neutral_landmarks

_CROWN = np.array([(-104, -62), (-70, -128), (0, -158), (70, -128), (104, -62)])
_IRIS = 8.0
_SAMPLES = 8


def face_outline(margin: float = MARGIN) -> list[np.ndarray]:
    """Return the curves of the drawing, each (n, 2): x to the right and y down as shares of the crop's side.

    Args:
        margin: the crop's, see :func:`data_prep.faces.crops.sequence_crop`; a face in a wider crop is smaller.
    """
    points = neutral_landmarks(margin)
    head = np.concatenate([points[:17], in_crop(_CROWN, margin)[::-1]])
    nose = np.concatenate([points[28:31], points[33:34]])
    angle = np.linspace(0, 2 * np.pi, 33)
    ring = in_crop(_IRIS * np.stack([np.cos(angle), np.sin(angle)], axis=1), margin) - in_crop(np.zeros((1, 2)), margin)
    irises = [ring + points[eye : eye + 6].mean(axis=0) for eye in (36, 42)]
    closed = [head, points[36:42], points[42:48], points[48:60]]
    opened = [points[17:22], points[22:27], nose, points[31:36], points[60:65]]
    rings = [smooth(curve, _SAMPLES, closed=True) for curve in closed]
    return [
        *(np.concatenate([curve, curve[:1]]) for curve in rings),
        *(smooth(curve, _SAMPLES) for curve in opened),
        *irises,
    ]


def draw_outline(axes: Axes, margin: float = MARGIN, width: float = 1.4, halo: bool = True) -> None:
    """Draw the outline into axes whose data coordinates are shares of the crop's side.

    Args:
        axes: x from 0 to 1 to the right, y from 0 to 1 down.
        margin: the crop's.
        width: of the white lines in points.
        halo: draws a dark edge around them, without which they would be lost on a map's bright parts.
    """
    effects = [withStroke(linewidth=2.2 * width, foreground=(0, 0, 0, 0.45))] if halo else None
    curves = face_outline(margin)
    axes.add_collection(LineCollection(curves, colors=[(1, 1, 1, 0.9)], linewidths=width, path_effects=effects))
