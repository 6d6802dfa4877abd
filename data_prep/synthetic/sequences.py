"""The frames of a synthetic sequence: an expression that unfolds on a face, with a real recording's disturbances."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data_prep.datasets.ckplus_list import ListedSequence
from data_prep.synthetic.action_units import ACTION_UNITS, LIP_PARTERS
from data_prep.synthetic.expressions import Expression, sample_expression
from data_prep.synthetic.face import Drawing, draw_face
from data_prep.synthetic.identity import Identity, sample_identity
from data_prep.synthetic.shape import View

GENERATOR_VERSION = 1
"""Grows whenever the same seed would give other bytes."""

_RESTING_CHANGE = 0.07
"""Standard deviation by which a subject's resting face differs from one sequence to the next."""


@lru_cache(maxsize=4)
def subject_identity(seed: int, subject: str) -> Identity:
    """The identity of a subject such as ``"S005"``, the same in all of its sequences and whatever else is drawn."""
    return sample_identity(np.random.default_rng([GENERATOR_VERSION, seed, int(subject[1:]), 0]))


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence, ready to be drawn.

    Attributes:
        identity: whose face.
        expression: what it comes to show.
        resting_change: (units, 2) how its resting face differs from the identity's own today.
        views: one for each frame.
        noise_seed: seeds the camera's noise of each frame.
    """

    identity: Identity
    expression: Expression
    resting_change: np.ndarray
    views: tuple[View, ...]
    noise_seed: int

    def draw(self, frame: int) -> Drawing:
        """Draw one frame, counted from 0; frames can be drawn in any order."""
        time = frame / max(len(self.views) - 1, 1)
        strengths = self.resting_change + self.expression.at(time)
        noise = np.random.default_rng([self.noise_seed, frame])
        return draw_face(self.identity, strengths, self.views[frame], noise)


def _wander(rng: np.random.Generator, frames: int, spread: float) -> np.ndarray:
    """A slow, smooth path that starts at zero, (frames,)."""
    time = np.linspace(0, 1, frames)
    slope, swing, phase = rng.normal(0, spread), rng.normal(0, 0.4 * spread), rng.uniform(0, 2 * np.pi)
    return slope * time + swing * (np.sin(2 * np.pi * time + phase) - np.sin(phase))


def _views(rng: np.random.Generator, frames: int) -> tuple[View, ...]:
    start = rng.normal(0, 4.0, 2)
    x, y = start[0] + _wander(rng, frames, 2.5), start[1] + _wander(rng, frames, 2.5)
    yaw, pitch = rng.normal(0, 0.02) + _wander(rng, frames, 0.02), _wander(rng, frames, 0.02)
    roll, zoom = rng.normal(0, 0.01) + _wander(rng, frames, 0.012), 1 + _wander(rng, frames, 0.008)
    gain = rng.uniform(0.93, 1.07) * (1 + rng.normal(0, 0.006, frames))
    gaze = rng.normal(0, 0.05, 2)
    blink = np.zeros(frames)
    # Neither the neutral frame nor the apex is ever published with closed eyes.
    if frames > 8 and rng.random() < 0.35:
        middle = rng.uniform(3, frames - 4)
        blink = np.exp(-0.5 * ((np.arange(frames) - middle) / 0.9) ** 2)
        blink[[0, -1]] = 0
    return tuple(
        View((x[i], y[i]), yaw[i], pitch[i], roll[i], zoom[i], gain[i], blink[i], (gaze[0], gaze[1]))
        for i in range(frames)
    )


def sample_sequence(listed: ListedSequence, seed: int) -> Sequence:
    """Sample the synthetic counterpart of one of CK+'s sequences.

    Its randomness comes from the seed, the subject and the sequence's own number alone, so that neither the number of
    subjects nor the order of work matters.
    """
    rng = np.random.default_rng([GENERATOR_VERSION, seed, int(listed.subject[1:]), int(listed.sequence)])
    resting_change = rng.normal(0, _RESTING_CHANGE, (len(ACTION_UNITS), 1)).repeat(2, axis=1)
    resting_change[LIP_PARTERS] = 0.0
    return Sequence(
        subject_identity(seed, listed.subject),
        sample_expression(listed.emotion, rng),
        resting_change,
        _views(rng, listed.frames),
        int(rng.integers(2**31)),
    )
