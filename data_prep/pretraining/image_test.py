"""The classifier of a weights file on a folder of labelled images that it did not learn from."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from data_prep.backbones.backbone import load_backbone
from data_prep.backbones.weights import load_weights
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.errors import BadInput
from data_prep.preparation.options import Faces
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import find_labelled_images
from data_prep.pretraining.learning import Progress
from data_prep.pretraining.scores import Scores, frame_scores


@dataclass(frozen=True)
class ImageTest:
    """Result of :func:`classify_images`.

    Attributes:
        weights: name of the weights.
        images: the folder.
        part: ``"test"`` where the folder says which images are for testing, else ``"all"``.
        scores: of the images with a face, of the classes that the classifier knows.
        n_images: number of images of each class in the part, whether they could be used or not.
        without_face, damaged: numbers of images that could not be used.
        unknown_classes: number of images of each class that the classifier does not know; they are left out.
        notes: what else was left out.
    """

    weights: str
    images: str
    part: str
    scores: Scores
    n_images: dict[str, int]
    without_face: int
    damaged: int
    unknown_classes: dict[str, int]
    notes: list[str]


def classify_images(
    source: str,
    root: Path,
    faces: Faces = "mtcnn",
    jobs: int = 1,
    device: torch.device | str = "cpu",
    progress: Progress = lambda *_: None,
) -> ImageTest:
    """Classify a folder's images by the classifier of a weights file, and count what is right.

    Args:
        source: name or file of the weights, see :func:`data_prep.backbones.weights.load_weights`.
        root: see :func:`data_prep.pretraining.labelled_images.find_labelled_images`. Where the folder has a test part
            of its own, that part is classified, else all images.
        faces: ``"mtcnn"`` finds the largest; ``"given"``: the images are the crops.
        jobs: processes that cut; -1 for one per core.
        device: of the backbone.
        progress: told how many faces are cut.

    Raises:
        BadInput: weights without a classifier, or no image that it can classify.
    """
    head = load_weights(source).head
    if head is None:
        raise BadInput(f"weights {source}: hold no classifier of frames; `face-strnn pretrain --images` writes one")
    backbone = load_backbone(None, source, head.maps, device)
    folder = find_labelled_images(root)
    part = "test" if "test" in folder.own_parts else "all"
    images = [image for image in folder.images if part in ("all", image.part)]
    with TemporaryDirectory(prefix="face-strnn-") as scratch:
        crops = LabelledCrops(Path(scratch), images, faces, backbone.crop_pixels)
        crops.extract(jobs, partial(progress, "cutting faces"))
        places, damaged, faceless = crops.outcomes()
        named = [EMOTION_OF_CODE[images[place].code] for place in places]
        known = [place for place, emotion in zip(places, named, strict=True) if emotion in head.classes]
        if not known:
            raise BadInput(f"{root}: no image with a face is of {', '.join(head.classes)}, which weights {source} know")
        scores = frame_scores(backbone, head, crops, known)
    return ImageTest(
        source,
        folder.name,
        part,
        scores,
        dict(Counter(EMOTION_OF_CODE[image.code] for image in images)),
        len(faceless),
        len(damaged) + len(folder.problems),
        dict(Counter(emotion for emotion in named if emotion not in head.classes)),
        folder.notes,
    )
