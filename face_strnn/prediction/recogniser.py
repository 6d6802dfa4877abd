"""What gives the frames of a recording their probabilities, and what is said about it wherever they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from data_prep.faces.crops import CropKind, SquareCrop
from face_strnn.prediction.durations import Duration


@dataclass(frozen=True)
class Method:
    """Which method gave the probabilities, and what it was trained on.

    Attributes:
        name: ``"strnn"``, or ``"frame-wise"`` for the baseline that classifies every frame by itself.
        data: what it was trained on: ``"synthetic"`` or a data set's name.
        models: how many models' probabilities are averaged.
    """

    name: Literal["strnn", "frame-wise"]
    data: str
    models: int = 1

    @property
    def title(self) -> str:
        """Its name in text."""
        return "STRNN" if self.name == "strnn" else "frame-wise baseline"

    @property
    def training(self) -> str:
        """What it was trained on, in a few words."""
        return f"trained on {'synthetic faces' if self.data == 'synthetic' else self.data}"

    @property
    def statements(self) -> tuple[str, str]:
        """What it is and what it was trained on, in full."""
        if self.name == "strnn":
            what = f"STRNN: {self.models} models averaged"
        else:
            what = "frame-wise baseline, not the STRNN: every frame is classified by itself"
        caution = ": no evidence about real ones" if self.data == "synthetic" else ""
        return what, f"{self.training}{caution}"


class Recogniser(Protocol):
    """What computes the probabilities of a recording's frames.

    :class:`face_strnn.prediction.ensemble.Ensemble` sees a window of frames at a time,
    :class:`face_strnn.prediction.frame_classifier.FrameClassifier` a single one.

    Attributes:
        classes: the emotions, in the order of the probabilities.
        method: which method it is, and what it was trained on.
        kind, margin: its crop, see :func:`data_prep.faces.crops.crops_of`.
        window, hop: how much of a recording it sees at a time, and from one such window to the next.
        whole_frames: the longest segment, in frames, that it takes as one sequence; 0 where it takes none.
        device: where its networks run.
    """

    classes: tuple[str, ...]
    method: Method
    kind: CropKind
    margin: float
    window: Duration
    hop: Duration
    whole_frames: int
    device: torch.device

    def maps(self, images: Sequence[np.ndarray], crops: Sequence[SquareCrop]) -> Tensor:
        """Return a tensor whose first dimension is the frames, for the squares of some frames."""

    def probabilities(self, maps: Tensor) -> np.ndarray:
        """Return float64 (classes,) for the maps of one window or sequence."""
