"""The settings of fine-tuning, as they stand in a configuration file."""

from dataclasses import dataclass
from typing import Literal

from data_prep.errors import BadInput
from face_strnn.setting_ranges import COUNT, NOT_NEGATIVE, SHARE

Finetune = Literal["none", "last-block", "all"]
"""Which part of the backbone is trained on: the convolutions before its last pooling layer, or all of it."""


@dataclass(frozen=True)
class FinetuningConfig:
    """How backbone and STRNN are trained on together, from the STRNN that was trained on frozen maps.

    What is not named here is as in :class:`face_strnn.config.TrainingConfig`: interpolation, precision, label
    smoothing, the longest gradient and the lambdas.

    Attributes:
        epochs: passes over the training sequences; the last one counts.
        batch_size: sequences per step.
        backbone_rate: highest learning rate of the backbone, reached after ``warmup``; half a cosine leads to 0.
        network_rate: that of the STRNN.
        warmup: share of all steps in which the rates rise from 0.
        pull: weight of half the squared distance to the weights before, in the loss: L2-SP (Li, Grandvalet, Davoine,
            ICML 2018).
        dropout: share of the temporal projections q that a step leaves out.
        frames: how many of a sequence's frames a step takes, in order, the first and the last always among them; 0 for
            all. Testing takes all.
        variants: how many augmented variants of a sequence there are to draw from, made once; 0 draws anew in every
            epoch.
        share: of the trained weights in those that are kept; the rest is that of the weights before (WiSE-FT: Wortsman
            et al., CVPR 2022).
    """

    epochs: int = 6
    batch_size: int = 4
    backbone_rate: float = 2e-5
    network_rate: float = 1e-4
    warmup: float = 0.1
    pull: float = 0.1
    dropout: float = 0.2
    frames: int = 8
    variants: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        COUNT.require("finetuning", self, "epochs", "batch_size")
        NOT_NEGATIVE.require("finetuning", self, "backbone_rate", "network_rate", "pull", "variants")
        SHARE.require("finetuning", self, "warmup", "dropout")
        if self.frames != 0 and self.frames < 2:
            raise BadInput(f"finetuning: frames is {self.frames}; it must be 0 for all, or at least 2")
        if not 0 < self.share <= 1:
            raise BadInput(f"finetuning: share is {self.share}; it must be above 0 and at most 1")
