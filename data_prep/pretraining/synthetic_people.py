"""An endless supply of synthetic people, each at rest and in motion, with action units, landmarks and emotions."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from data_prep.datasets.emotions import CODE_OF_EMOTION, EMOTIONS
from data_prep.faces.crops import MARGIN, SquareCrop, extract_crop
from data_prep.pretraining.recording_style import Style, in_style
from data_prep.synthetic.action_units import ACTION_UNITS, LIP_PARTERS, saturate
from data_prep.synthetic.expressions import sample_expression
from data_prep.synthetic.face import draw_face
from data_prep.synthetic.identity import PROPORTIONS, Identity, resting_expression, sample_identity
from data_prep.synthetic.places import BOX_MIDDLE, BOX_SIDE
from data_prep.synthetic.shape import View, projection

Purpose = Literal["learning", "probe", "probe-test"]
"""People drawn for one purpose are never drawn for another."""

Movements = Literal["mixed", "emotions"]
"""``"mixed"``: rest and three movements, some of them of no emotion; ``"emotions"``: rest and all seven apexes."""

FACES_OF = {"mixed": 4, "emotions": 1 + len(EMOTIONS)}
"""How many faces of a person are drawn; the first is at rest."""

NO_EMOTION = -1
"""The label of a movement that belongs to no emotion."""

_PURPOSES: tuple[Purpose, ...] = ("learning", "probe", "probe-test")
_APART = 256


@dataclass(frozen=True, eq=False)
class SyntheticPerson:
    """A person's faces as a network sees them, and the truth about them.

    Attributes:
        images: uint8 (faces, side, side, 3), RGB crops; the first is at rest.
        units: float32 (faces, units, 2), strengths of action units as drawn, those of the resting face included, rows
            and columns as :func:`data_prep.synthetic.action_units.activation` has them.
        landmarks: float32 (faces, 68, 2), x and y as shares of the crop's side.
        emotions: int64 (faces,), CK+'s codes, 0 for the face at rest, or :data:`NO_EMOTION`.
    """

    images: np.ndarray
    units: np.ndarray
    landmarks: np.ndarray
    emotions: np.ndarray


def varied_identity(rng: np.random.Generator) -> Identity:
    """Sample a person with wider variation than the synthetic data set has: for learning, not for a benchmark."""
    person = sample_identity(rng)
    proportions = {
        name: mean + 1.6 * (person.proportions[name] - mean) if name != "eye_opening" else person.proportions[name]
        for name, (mean, _) in PROPORTIONS.items()
    }
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.1), 1.0])
    bearded = person.hair_style in ("short", "cropped", "parted") and rng.random() < 0.4
    return replace(
        person,
        proportions=proportions,
        resting=resting_expression(rng, rng.uniform(0.3, 1.0)),
        colour=bool(rng.random() < 0.25),
        background=np.full(3, rng.uniform(15, 240)) * rng.uniform(0.85, 1.15, 3),
        brow_thickness=float(rng.uniform(4.0, 13.0)),
        brow_density=float(rng.uniform(0.4, 1.0)),
        glasses=int(rng.choice([0, 1, 2], p=[0.8, 0.1, 0.1])),
        light=light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.3, 0.75)),
        wrinkles=float(rng.uniform(0.4, 1.7)),
        yaw=float(np.clip(rng.normal(0, 0.12), -0.35, 0.35)),
        pitch=float(np.clip(rng.normal(0, 0.08), -0.25, 0.25)),
        beard=float(rng.uniform(0.4, 1.0)) if bearded and rng.random() < 0.7 else 0.0,
        moustache=float(rng.uniform(0.4, 1.0)) if bearded and rng.random() < 0.8 else 0.0,
    )


def draw_person(
    seed: int, purpose: Purpose, number: int, pixels: int, movements: Movements = "mixed", style: Style = "varied"
) -> SyntheticPerson:
    """Draw one person; the arguments alone decide every byte.

    Args:
        seed: of all people.
        purpose: what they are drawn for.
        number: which of them, from 0.
        pixels: side of the crops.
        movements: what the person does.
        style: of the recording.
    """
    # The keys of the synthetic data set begin with its version, a small number: nobody is drawn for both.
    rng = np.random.default_rng([_APART * seed, _PURPOSES.index(purpose), number])
    identity = varied_identity(rng)
    strengths, emotions = _movements(rng, movements)
    gaze = rng.normal(0, 0.06, 2)
    crop = _crop(identity, rng)
    images, landmarks = [], []
    for change in strengths:
        drawing = draw_face(identity, change, _view(rng, gaze), rng)
        colour = drawing.image[..., ::-1] if drawing.image.ndim == 3 else np.repeat(drawing.image[..., None], 3, 2)
        images.append(extract_crop(np.ascontiguousarray(colour), crop, pixels))
        landmarks.append(_within(drawing.landmarks, crop))
    return SyntheticPerson(
        in_style(np.stack(images), style, int(rng.integers(2**31))),
        saturate(identity.resting + np.stack(strengths)).astype(np.float32),
        np.stack(landmarks).astype(np.float32),
        np.array(emotions, np.int64),
    )


def _movements(rng: np.random.Generator, movements: Movements) -> tuple[list[np.ndarray], list[int]]:
    """Strengths (units, 2) of each face beyond the resting one, and its label."""
    at_rest = rng.normal(0, 0.05, (len(ACTION_UNITS), 1)).repeat(2, axis=1)
    at_rest[LIP_PARTERS] = 0.0
    strengths, emotions = [at_rest], [CODE_OF_EMOTION["neutral"]]
    if movements == "emotions":
        for emotion in EMOTIONS:
            strengths.append(at_rest + sample_expression(emotion, rng).apex)
            emotions.append(CODE_OF_EMOTION[emotion])
        return strengths, emotions
    for _ in range(FACES_OF[movements] - 1):
        if rng.random() < 0.7:
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
            strengths.append(at_rest + sample_expression(emotion, rng).at(rng.uniform(0.55, 1.0)))
            emotions.append(CODE_OF_EMOTION[emotion])
        else:
            strengths.append(at_rest + _any_units(rng))
            emotions.append(NO_EMOTION)
    return strengths, emotions


def _any_units(rng: np.random.Generator) -> np.ndarray:
    """Units that emotions never show together, so that each can be told without the others."""
    strengths = np.zeros((len(ACTION_UNITS), 2))
    for row in rng.choice(len(ACTION_UNITS), size=int(rng.integers(1, 5)), replace=False):
        sides = [[0, 1], [0, 1], [0], [1]][int(rng.integers(4))]
        strengths[row, sides] = rng.uniform(0.2, 1.2)
    return strengths


def _view(rng: np.random.Generator, gaze: np.ndarray) -> View:
    shift, turn = rng.normal(0, 1.5, 2), rng.normal(0, 0.02, 3)
    look = gaze + rng.normal(0, 0.02, 2)
    return View(
        (shift[0], shift[1]), turn[0], turn[1], turn[2], 1 + rng.normal(0, 0.006), 1 + rng.normal(0, 0.01),
        gaze=(look[0], look[1]),
    )  # fmt: skip


def _crop(identity: Identity, rng: np.random.Generator) -> SquareCrop:
    """A square such as MTCNN's box gives, a little beside it, and tilted as far as rotated copies are."""
    project = projection(identity, View())
    side = BOX_SIDE * (1 + MARGIN) * identity.scale * rng.uniform(0.88, 1.12)
    x, y = project(np.array([BOX_MIDDLE]))[0] + rng.uniform(-0.04, 0.04, 2) * side
    tilt = float(np.clip(rng.normal(0, 5), -12, 12))
    return SquareCrop(float(x), float(y), float(side), tilt)


def _within(points: np.ndarray, crop: SquareCrop) -> np.ndarray:
    """Bring points of a frame into a crop, as shares of its side."""
    angle = np.radians(crop.tilt)
    across, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    beyond = points + 0.5 - (crop.center_x, crop.center_y)
    return np.stack([beyond @ across, beyond @ down], axis=1) / crop.side + 0.5
