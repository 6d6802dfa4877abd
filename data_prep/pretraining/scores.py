"""How well a backbone's own classifier classifies single frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score

from data_prep.backbones.backbone import FRAMES_PER_BATCH, Backbone
from data_prep.backbones.head import Head
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.pretraining.labelled_crops import LabelledCrops


@dataclass(frozen=True)
class Scores:
    """How well a classifier of single frames does on images.

    Attributes:
        n: number of images.
        accuracy: 0 to 1.
        mean_class_recall: over the classes that there are images of: balanced accuracy.
        recalls: of each of these classes.
    """

    n: int
    accuracy: float
    mean_class_recall: float
    recalls: dict[str, float]

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy, as if no two images were of one person."""
        interval = binomtest(round(self.accuracy * self.n), self.n).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)


def frame_scores(backbone: Backbone, head: Head, crops: LabelledCrops, places: Sequence[int]) -> Scores:
    """Score a classifier on crops of the classes that it knows.

    Args:
        backbone: computes the maps.
        head: classifies them.
        crops: all cut, of the side that the backbone takes.
        places: of the crops to classify; each of one of the head's classes.
    """
    predicted: list[str] = []
    truth: list[str] = []
    for first in range(0, len(places), FRAMES_PER_BATCH):
        images, codes = crops.batch(places[first : first + FRAMES_PER_BATCH])
        predicted += [head.classes[index] for index in head.probabilities(backbone(images)).argmax(dim=1).tolist()]
        truth += [EMOTION_OF_CODE[code] for code in codes.tolist()]
    present = [emotion for emotion in head.classes if emotion in truth]
    recalls = recall_score(truth, predicted, labels=present, average=None, zero_division=0)
    return Scores(
        len(truth),
        float(accuracy_score(truth, predicted)),
        float(np.mean(recalls)),
        {emotion: float(recall) for emotion, recall in zip(present, recalls, strict=True)},
    )
