"""Pretraining on labelled images of faces, from the folder to the file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field
from sklearn.metrics import accuracy_score, recall_score

from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.split import SplitBackbone
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.datasets.problems import Problem, write_problems
from data_prep.errors import BadInput
from data_prep.media.images import read_image
from data_prep.preparation.options import Faces
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import LabelledImage, Part, digest_of, find_labelled_images
from data_prep.pretraining.labelled_task import LabelledTask
from data_prep.pretraining.learning import Epoch, PretrainingOptions, Progress, learn
from data_prep.pretraining.work_folder import finished, read_facts, work_folder

_Names = list[Annotated[str, Field(pattern="^[^\x00]+$")]]
_FACTS = {
    "accuracy": float,
    "mean_class_recall": float,
    "n_images": Annotated[dict[Part, int], Field(min_length=len(get_args(Part)))],
    "classes": list[str],
    "history": list[Epoch],
    "damaged": _Names,
    "without_face": _Names,
}
"""What a finished file's header says of the images."""


@dataclass(frozen=True)
class LabelledResult:
    """Result of pretraining on labelled images.

    Attributes:
        path: the file.
        accuracy, mean_class_recall: on the images that are held out, 0 to 1.
        images: numbers of images for training, for validation and held out.
        classes: emotions that there are images of.
        history: of learning, the epochs of the heads alone first.
        without_face: images in which MTCNN finds no face.
        problems: unusable files, which should be corrected or removed.
        problems_table: the file that lists both, or None where there are none.
    """

    path: Path
    accuracy: float
    mean_class_recall: float
    images: dict[str, int]
    classes: list[str]
    history: list[Epoch]
    without_face: list[Path]
    problems: list[Problem]
    problems_table: Path | None


def pretrain_on_images(
    backbone: SplitBackbone,
    out: Path,
    root: Path,
    options: PretrainingOptions,
    faces: Faces = "mtcnn",
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> LabelledResult:
    """Train a backbone on a folder of labelled images, and write it. An interrupted training resumes.

    A tenth of the images, chosen by their content, is the test set, another tenth the validation set, which chooses the
    epoch.

    Args:
        backbone: as it starts.
        out: the file, ``.safetensors``; what is kept meanwhile lies beside it.
        root: see :func:`data_prep.pretraining.labelled_images.find_labelled_images`.
        options: how.
        faces: ``"mtcnn"`` finds the largest; ``"given"``: the images are the crops.
        jobs: processes that cut; -1 for one per core.
        progress: told what is being done, how much of it is done, and how much there is.

    Raises:
        BadInput: nothing to learn from, too little to hold out, ``out`` is taken, another process is making it, or
            training diverges.
    """
    images, problems = find_labelled_images(root)
    settings = {**backbone.settings(), "images": digest_of(images), "faces": faces, **asdict(options)}
    if (facts := finished(out, settings)) is not None:
        return _result(out, root, facts, problems)
    with work_folder(out, settings) as work:
        crops = LabelledCrops(work.folder, images, faces, backbone.whole.crop_pixels)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress("cutting faces", done, len(images))

        crops.extract(jobs, advance)
        places, damaged, faceless = crops.outcomes()
        _check([images[place] for place in places], root, faces)
        task = LabelledTask(backbone, crops, places, options.keep, options.seed)
        history = learn(backbone, task, options, work.folder / "checkpoint.pt", progress)
        logits, truth = task.answers("held-out")
        predicted = logits.argmax(dim=1)
        facts = {
            "data": root.name,
            "accuracy": json.dumps(float(accuracy_score(truth, predicted))),
            "mean_class_recall": json.dumps(
                float(recall_score(truth, predicted, labels=truth.unique(), average="macro"))
            ),
            "n_images": json.dumps({part: len(of_part) for part, of_part in task.places.items()}),
            "classes": json.dumps([EMOTION_OF_CODE[code] for code in sorted({images[place].code for place in places})]),
            "history": json.dumps([asdict(epoch) for epoch in history]),
            "without_face": json.dumps([str(image.path.relative_to(root)) for image in faceless]),
            "damaged": json.dumps([str(image.path.relative_to(root)) for image in damaged]),
            **work.facts,
        }
        write_backbone(out, backbone.whole.architecture, backbone.state(), backbone.whole.preprocessing, facts)
    return _result(out, root, facts, problems)


def _check(usable: list[LabelledImage], root: Path, faces: Faces) -> None:
    """Say what is too little to go on with, before anything is learned."""
    if not usable:
        hint = "" if faces == "given" else "; where the images are the crops, give --faces given"
        raise BadInput(f"{root}: no image shows a face that can be used{hint}")
    if len({image.code for image in usable}) < 2:
        raise BadInput(f"{root}: the images with a face are all of one emotion; a second class is needed to learn")
    for part in ("learning", "choosing", "held-out"):
        if not any(image.part == part for image in usable):
            raise BadInput(f"{root}: {len(usable)} usable images are too few to hold a tenth out; give some hundreds")


def _decoding_problem(path: Path) -> Problem:
    try:
        read_image(path)
    except BadInput as error:
        return Problem.of(error, path)
    return Problem(path, "could not be decoded before and can be now; remove what is unfinished and start again")


def _result(out: Path, root: Path, facts: Mapping[str, str], problems: list[Problem]) -> LabelledResult:
    """Put together what a file's header says, and list what was left out beside the file."""
    read = read_facts(out, facts, _FACTS)
    problems = problems + [_decoding_problem(root / name) for name in read["damaged"]]
    without_face = [root / name for name in read["without_face"]]
    table = None
    if problems or without_face:
        table = out.with_name(f"{out.name}.problems.csv")
        write_problems(table, [*problems, *(Problem(path, "MTCNN finds no face: left out") for path in without_face)])
    return LabelledResult(
        out,
        read["accuracy"],
        read["mean_class_recall"],
        read["n_images"],
        read["classes"],
        read["history"],
        without_face,
        problems,
        table,
    )
