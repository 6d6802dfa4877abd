"""The action units of an emotion, their strengths, and their time course from neutral to the apex.

Prototypes follow the table of CK+ (Lucey et al., 2010). Units are left out, added, weakened and mixed with those of a
neighbouring emotion, so that fear and surprise, or sadness and anger, overlap as they do in people.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.action_units import ACTION_UNITS, activation

PROTOTYPES: Mapping[str, Mapping[str, float]] = {
    "anger": {"4": 0.95, "5": 0.5, "7": 0.85, "23": 0.95},
    "contempt": {"14": 0.8},
    "disgust": {"9": 0.95, "15": 0.5, "16": 0.6},
    "fear": {"1": 0.85, "2": 0.55, "4": 0.5, "5": 0.85, "20": 0.75, "26": 0.4},
    "happiness": {"6": 0.8, "12": 0.95},
    "sadness": {"1": 0.85, "4": 0.55, "15": 0.85},
    "surprise": {"1": 0.95, "2": 0.95, "5": 0.75, "26": 0.95},
}
"""Emotion -> unit -> typical strength at the apex. Contempt shows its one unit on one side of the face only."""

COMPANIONS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "anger": {"17": (0.45, 0.7), "24": (0.4, 0.6), "9": (0.1, 0.4)},
    "contempt": {"4": (0.1, 0.3), "2": (0.1, 0.3), "24": (0.1, 0.3), "12": (0.15, 0.2)},
    "disgust": {"10": (0.4, 0.5), "17": (0.4, 0.6), "4": (0.4, 0.6), "7": (0.4, 0.6), "25": (0.25, 0.5)},
    "fear": {"25": (0.6, 0.7), "12": (0.05, 0.3)},
    "happiness": {"25": (0.65, 0.9), "26": (0.15, 0.3), "7": (0.15, 0.3)},
    "sadness": {"17": (0.6, 0.7), "7": (0.15, 0.3), "20": (0.1, 0.3)},
    "surprise": {"25": (0.7, 0.8), "27": (0.5, 0.7)},
}
"""Emotion -> unit that often comes with it -> (probability, typical strength)."""

NEIGHBOURS: Mapping[str, tuple[str, ...]] = {
    "anger": ("sadness", "disgust"),
    "contempt": ("happiness", "anger"),
    "disgust": ("anger", "sadness"),
    "fear": ("surprise", "sadness"),
    "happiness": ("contempt", "fear"),
    "sadness": ("anger", "fear"),
    "surprise": ("fear",),
}
"""Emotion -> emotions it can be taken for."""

LEFT_OUT = 0.08
"""Probability that a unit of the prototype is not shown; at least half of the prototype always is."""

MIXED = 0.12
"""Probability that an expression is mixed with a neighbour's."""

STRENGTH = (0.6, 1.15)
"""Range of an expression's overall strength."""

LISTED_FROM = 0.15
"""Strength from which a unit is listed in a FACS file."""


@dataclass(frozen=True, eq=False)
class Expression:
    """An expression that unfolds from neutral to its apex.

    Attributes:
        apex: (units, 2) strengths at the end, by half of the face.
        onset, end: (units,) fractions of the sequence at which each unit starts to move and is at its apex.
        shape: (units,) exponent of the time course; above 1 a slow start.
    """

    apex: np.ndarray
    onset: np.ndarray
    end: np.ndarray
    shape: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """Strengths at a time from 0 (neutral) to 1 (apex), (units, 2)."""
        passed = np.clip((time - self.onset) / (self.end - self.onset), 0.0, 1.0) ** self.shape
        return self.apex * (passed**2 * (3 - 2 * passed))[:, None]

    def facs(self) -> list[tuple[int, int]]:
        """Units shown at the apex with their intensities, 1 (A, a trace) to 5 (E, the maximum)."""
        strongest = self.apex.max(axis=1)
        return [
            (unit.number, int(np.clip(1 + strength / 0.25, 1, 5)))
            for unit, strength in zip(ACTION_UNITS, strongest, strict=True)
            if strength >= LISTED_FROM
        ]


def _shown(prototype: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    units = list(prototype)
    left_out = [unit for unit in units if rng.random() < LEFT_OUT]
    rng.shuffle(left_out)
    return [unit for unit in units if unit not in left_out[: len(units) // 2]]


def sample_expression(emotion: str, rng: np.random.Generator) -> Expression:
    """Sample how an emotion is shown once; the same generator state gives the same expression."""
    overall = rng.uniform(*STRENGTH)
    apex = np.zeros((len(ACTION_UNITS), 2))
    side = ("R", "L")[int(rng.integers(2))] if emotion == "contempt" else ""
    for unit in _shown(PROTOTYPES[emotion], rng):
        strength = PROTOTYPES[emotion][unit] * overall * rng.uniform(0.7, 1.2)
        apex += activation({side + unit: max(strength, 1.3 * LISTED_FROM)})
    for unit, (probability, strength) in COMPANIONS[emotion].items():
        if rng.random() < probability:
            apex += activation({unit: strength * overall * rng.uniform(0.5, 1.2)})
    if rng.random() < MIXED:
        neighbour = NEIGHBOURS[emotion][int(rng.integers(len(NEIGHBOURS[emotion])))]
        share = rng.uniform(0.35, 0.6)
        side = ("R", "L")[int(rng.integers(2))] if neighbour == "contempt" else ""
        apex *= 1 - 0.6 * share
        for unit in _shown(PROTOTYPES[neighbour], rng):
            apex += activation({side + unit: share * PROTOTYPES[neighbour][unit] * overall})
    if rng.random() < 0.25:
        unit = ACTION_UNITS[int(rng.integers(len(ACTION_UNITS)))].number
        apex += activation({unit: rng.uniform(0.1, 0.35)})
    lean = 0.12 * rng.standard_normal() + 0.05 * rng.standard_normal(len(ACTION_UNITS))
    apex *= np.clip(1 + np.stack([lean, -lean], axis=1), 0.5, 1.5)
    count = len(ACTION_UNITS)
    start, stop = rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)
    onset = np.clip(start + rng.normal(0, 0.06, count), 0.0, 0.45)
    end = np.clip(stop + rng.normal(0, 0.06, count), onset + 0.25, 1.0)
    return Expression(apex, onset, end, np.exp(rng.normal(0, 0.2, count)))
