"""Identities: everything about a face that an expression does not change."""

from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.action_units import ACTION_UNITS, LIP_PARTERS, activation

_RESTING_HABITS = (
    {"1": 0.9, "2": 0.9, "5": 0.3},
    {"4": 0.9, "7": 0.3},
    {"1": 0.7, "4": 0.5},
    {"12": 0.6, "6": 0.4},
    {"15": 0.8, "17": 0.3},
    {"5": 0.9},
    {"7": 0.9},
    {"23": 0.7, "24": 0.4},
    {"25": 0.6, "26": 0.3},
    {"9": 0.5, "10": 0.4},
    {"16": 0.5, "25": 0.2},
    {"20": 0.7},
    {"L14": 0.9},
    {"R14": 0.9},
)
"""What a face at rest can lean towards: raised or low brows, worried brows, up- or down-turned corners, ..."""

SKIN_TONES = np.array(
    [[178, 201, 234], [160, 186, 222], [140, 170, 212], [118, 150, 196], [92, 124, 172], [70, 98, 144], [54, 76, 116]],
    dtype=np.float64,
)
"""Blue, green, red from 0 to 255."""

HAIR_COLOURS = np.array(
    [[28, 30, 34], [30, 38, 52], [38, 54, 82], [56, 82, 122], [78, 118, 158], [100, 142, 176], [40, 62, 120]],
    dtype=np.float64,
)

HAIR_STYLES = ("short", "parted", "long", "tied", "cropped", "fringe")


@dataclass(frozen=True, eq=False)
class Identity:
    """One synthetic person.

    Attributes:
        proportions: name -> size relative to the mean face, see :data:`PROPORTIONS`.
        resting: (units, 2) strengths of action units that the face has at rest; they add to an expression's.
        colour: whether its frames have three channels.
        skin, hair, iris, lip, clothes, background: blue, green, red, 0 to 255.
        hair_style: one of :data:`HAIR_STYLES`.
        brow_thickness, brow_density: template units, and from 0 to 1.
        stubble: darkness of a shaven beard, 0 (none) to 1.
        glasses: 0 none, 1 round, 2 rectangular.
        light: direction towards the light, x right, y down, z towards the viewer; length 1.
        ambient: share of light without direction, 0 to 1.
        wrinkles: depth of folds relative to the mean face.
        scale: pixels per template unit.
        centre: x and y of the point between the eyes, in pixels.
        yaw, pitch, roll: pose in radians.
        texture_seed: seeds skin and hair texture.
        parting: place of the hair's parting, from -1 (left in the image) to 1.
        beard, moustache: how dense a grown beard and a moustache are, 0 (none, as in the data set) to 1.
    """

    proportions: dict[str, float]
    resting: np.ndarray
    colour: bool
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lip: np.ndarray
    clothes: np.ndarray
    background: np.ndarray
    hair_style: str
    brow_thickness: float
    brow_density: float
    stubble: float
    glasses: int
    light: np.ndarray
    ambient: float
    wrinkles: float
    scale: float
    centre: tuple[float, float]
    yaw: float
    pitch: float
    roll: float
    texture_seed: int
    parting: float
    beard: float = 0.0
    moustache: float = 0.0


PROPORTIONS = {
    "face_width": (1.0, 0.045),
    "jaw_width": (1.0, 0.07),
    "chin_length": (0.0, 5.0),
    "eye_spacing": (0.0, 2.5),
    "eye_width": (1.0, 0.06),
    "eye_opening": (1.0, 0.13),
    "eye_tilt": (0.0, 1.6),
    "brow_height": (0.0, 2.5),
    "brow_arch": (0.0, 2.0),
    "brow_tilt": (0.0, 2.0),
    "nose_length": (0.0, 3.5),
    "nose_width": (1.0, 0.11),
    "mouth_width": (1.0, 0.07),
    "mouth_height": (0.0, 2.5),
    "upper_lip": (1.0, 0.22),
    "lower_lip": (1.0, 0.18),
    "skull_height": (1.0, 0.03),
    "cheeks": (1.0, 0.3),
}
"""Name -> mean and standard deviation: factors around 1, lengths in template units around 0."""


def resting_expression(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Sample what a face shows at rest: a few habits, each of a strength comparable with an expression's own.

    Args:
        rng: where the randomness comes from.
        scale: factor on all strengths; the hardness of the data set was set with 1.

    Returns:
        (units, 2) strengths.
    """
    resting = rng.normal(0.0, 0.08, (len(ACTION_UNITS), 1)) + rng.normal(0.0, 0.04, (len(ACTION_UNITS), 2))
    resting[LIP_PARTERS] = 0.0
    chosen = rng.choice(len(_RESTING_HABITS), size=int(rng.integers(2, 5)), replace=False)
    for habit in chosen:
        resting += rng.uniform(0.3, 1.0) * activation(_RESTING_HABITS[habit])
    return scale * resting


def sample_identity(rng: np.random.Generator) -> Identity:
    """Sample one identity; the same generator state gives the same identity."""
    proportions = {
        name: mean + spread * float(np.clip(rng.standard_normal(), -2.0, 2.0))
        for name, (mean, spread) in PROPORTIONS.items()
    }
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    low = int(tone)
    skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[min(low + 1, len(SKIN_TONES) - 1)] - SKIN_TONES[low])
    # Pale skin in strong light must not run into white, which would wipe out the folds.
    skin = skin * min(rng.uniform(0.98, 1.15), 212 / skin.max())
    hair = HAIR_COLOURS[int(rng.integers(len(HAIR_COLOURS)))] * rng.uniform(0.85, 1.15)
    if tone > 2.5:
        hair = HAIR_COLOURS[int(rng.integers(2))]
    lip = skin * np.array([0.66, 0.58, 0.84]) * rng.uniform(0.9, 1.05)
    light = np.array([rng.uniform(-0.55, 0.55), rng.uniform(-0.65, -0.2), 1.0])
    iris = np.array([[38, 52, 74], [46, 66, 88], [96, 100, 84], [128, 112, 88]][int(rng.integers(4))], dtype=np.float64)
    if tone > 3:
        iris = np.array([28.0, 38.0, 54.0])
    style = HAIR_STYLES[int(rng.integers(len(HAIR_STYLES)))]
    return Identity(
        proportions=proportions,
        resting=resting_expression(rng),
        colour=bool(rng.random() < 1 / 6),
        skin=skin,
        hair=hair,
        iris=iris,
        lip=lip,
        clothes=rng.uniform(30, 200, 3) * 0.5 + rng.uniform(20, 90),
        background=np.full(3, rng.uniform(95, 200)) * rng.uniform(0.93, 1.07, 3),
        hair_style=style,
        brow_thickness=float(rng.uniform(6.0, 11.0)),
        brow_density=float(rng.uniform(0.55, 0.9)),
        stubble=float(rng.uniform(0.15, 0.5)) if style in ("short", "cropped") and rng.random() < 0.5 else 0.0,
        glasses=int(rng.choice([0, 1, 2], p=[0.88, 0.06, 0.06])),
        light=light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.4, 0.6)),
        wrinkles=float(rng.uniform(0.6, 1.3)),
        scale=float(rng.uniform(0.86, 1.02)),
        centre=(float(rng.uniform(300, 340)), float(rng.uniform(205, 235))),
        yaw=float(rng.normal(0, 0.05)),
        pitch=float(rng.normal(0, 0.04)),
        roll=float(rng.normal(0, 0.03)),
        texture_seed=int(rng.integers(2**31)),
        parting=float(rng.uniform(-1, 1)),
    )
