"""The frame-wise baseline: a classifier of single frames on a backbone's maps, for recordings without a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from data_prep.backbones.backbone import PIXELS_PER_CELL, Backbone, load_backbone
from data_prep.backbones.head import Head
from data_prep.backbones.published import ENTRIES
from data_prep.backbones.weights import Weights, load_weights
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.errors import BadInput
from data_prep.faces.crops import MARGIN, CropKind, SquareCrop, extract_crop
from face_strnn.prediction.durations import Duration
from face_strnn.prediction.recogniser import Method

WEIGHTS = "faces"
"""Default weights: the ones in the package that have such a classifier."""

_SHOWN = 60
"""Most letters that are shown of the name of the data, which is free text in a file's header."""


@dataclass(frozen=True)
class FrameClassifier:
    """The recogniser of a weights file: its classifier answers every frame from that frame's own crop alone.

    The crop is a square around the frame's own box, ``"per-frame"``, with the default margin, as pretraining cuts its
    images. The default crop of ``prepare``, one square for a whole sequence, would let the other frames decide what a
    frame shows of the face. Images that pretraining was given as crops may have been cut wider or closer.

    Attributes:
        backbone: computes the maps that the classifier stands on.
        head: the classifier; neutral may be among its classes.
        method: the baseline, and what the weights were trained on.
    """

    backbone: Backbone
    head: Head
    method: Method

    kind: ClassVar[CropKind] = "per-frame"
    margin: ClassVar[float] = MARGIN
    window: ClassVar[Duration] = Duration(frames=1)
    hop: ClassVar[Duration] = Duration(frames=1)
    whole_frames: ClassVar[int] = 0

    @classmethod
    def of_weights(cls, weights: str = WEIGHTS, device: torch.device | str = "cpu") -> "FrameClassifier":
        """Load a backbone and its classifier of single frames.

        Args:
            weights: their name, or a file's path, see :func:`data_prep.backbones.weights.load_weights`.
            device: where the backbone runs.

        Raises:
            BadInput: there are no such weights, they are damaged, or they hold no classifier of emotions.
        """
        # Torchvision's weights hold none, and need not be downloaded to say so.
        loaded = None if weights in ENTRIES else load_weights(weights)
        if loaded is None or loaded.head is None:
            raise BadInput(
                f"weights {weights}: hold no classifier of single frames; give --weights {WEIGHTS} or a file that "
                "`face-strnn pretrain --images` wrote, or with --run a run's models"
            )
        head = loaded.head
        unknown = [name for name in head.classes if name not in EMOTION_OF_CODE.values()]
        if unknown or head.maps not in PIXELS_PER_CELL:
            what = (
                f"{unknown[0][:20]!r}, which is no emotion" if unknown else f"{head.maps}, maps that no backbone gives"
            )
            raise BadInput(f"weights {weights}: their classifier names {what}; take a copy that was not edited")
        backbone = load_backbone(weights=weights, maps=head.maps, device=device)
        return cls(backbone, head, Method("frame-wise", _data(loaded)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions, in the order of the probabilities."""
        return self.head.classes

    @property
    def device(self) -> torch.device:
        """Where the backbone runs."""
        return self.backbone.device

    def maps(self, images: Sequence[np.ndarray], crops: Sequence[SquareCrop]) -> Tensor:
        """Return the pooling maps of faces.

        Args:
            images: the frames, uint8 (height, width, 3), RGB.
            crops: the square of each.

        Returns:
            float16 (frames, h, w, channels) on the CPU.
        """
        pixels = self.backbone.crop_pixels
        cut = [extract_crop(image, crop, pixels) for image, crop in zip(images, crops, strict=True)]
        return self.backbone(torch.from_numpy(np.stack(cut)))

    def probabilities(self, maps: Tensor) -> np.ndarray:
        """Return each emotion's probability, in the mean over the frames: of a window, which has one, its own.

        Args:
            maps: (frames, h, w, channels), as of :meth:`maps`.

        Returns:
            float64 (classes,), 0 to 1.

        Raises:
            BadInput: the classifier's values are so large that there are none.
        """
        probabilities = self.head.probabilities(maps).double().mean(0)
        if not probabilities.isfinite().all():
            raise BadInput(
                f"weights {self.backbone.weights.source}: their classifier gives no probabilities, since its values "
                "are too large; take a copy that was not edited"
            )
        return probabilities.numpy()


def _data(weights: Weights) -> str:
    """What the weights were trained on, as their header says it in the fact ``data``; else their name."""
    told = " ".join(weights.facts.get("data", "").split()) or weights.name
    told = "".join(letter if letter.isprintable() else "?" for letter in told)
    return told if len(told) <= _SHOWN else f"{told[: _SHOWN - 3]}..."
