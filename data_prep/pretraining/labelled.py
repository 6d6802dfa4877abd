"""Pretraining on labelled images of faces, from the folder to the file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import torch
from pydantic import Field

from data_prep.backbones.head import Head
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.split import SplitBackbone
from data_prep.datasets.problems import Problem, write_problems
from data_prep.errors import BadInput
from data_prep.media.images import read_image
from data_prep.preparation.options import Faces
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import LabelledImage, Part, find_labelled_images
from data_prep.pretraining.labelled_task import LabelledOptions, LabelledTask
from data_prep.pretraining.learning import Epoch, PretrainingOptions, Progress, head_epochs, learn
from data_prep.pretraining.scores import Scores, frame_scores
from data_prep.pretraining.work_folder import finished, read_facts, work_folder

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as OpenCV and Pillow convert."""

_Names = list[Annotated[str, Field(pattern="^[^\x00]+$")]]
_FACTS = {
    "validation": Scores,
    "test": Scores,
    "n_train": int,
    "history": list[Epoch],
    "notes": list[str],
    "damaged": _Names,
    "without_face": _Names,
}
"""What a finished file's header says of the images."""


@dataclass(frozen=True)
class LabelledResult:
    """Result of pretraining on labelled images.

    Attributes:
        path: the file.
        validation, test: how well the last epoch's network classifies the images of these parts.
        n_train: number of training images.
        history: of learning, the epochs of the heads alone first.
        notes: what was left out on purpose.
        without_face: images in which MTCNN finds no face.
        problems: unusable files, which should be corrected or removed.
        problems_table: the file that lists both, or None where there are none.
    """

    path: Path
    validation: Scores
    test: Scores
    n_train: int
    history: list[Epoch]
    notes: list[str]
    without_face: list[Path]
    problems: list[Problem]
    problems_table: Path | None


def pretrain_on_images(
    backbone: SplitBackbone,
    out: Path,
    root: Path,
    options: PretrainingOptions,
    how: LabelledOptions,
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> LabelledResult:
    """Train a backbone on a folder of labelled images, and write it. An interrupted training resumes.

    The file holds the blocks that have learned and the linear classifier in float16, and frozen blocks as they were;
    the scores are those of the rounded numbers. Nothing is chosen by the validation images: they are there to compare
    settings. A network that has learned from grey images alone weighs red, green and blue as a conversion to grey does,
    so that it takes a coloured image for the grey one.

    Args:
        backbone: as it starts.
        out: the file, ``.safetensors``; what is kept meanwhile lies beside it.
        root: see :func:`data_prep.pretraining.labelled_images.find_labelled_images`.
        options, how: how.
        jobs: processes that cut; -1 for one per core.
        progress: told what is being done, how much of it is done, and how much there is.

    Raises:
        BadInput: nothing to learn from, too little to hold out, ``out`` is taken, another process is making it, or
            training diverges.
    """
    folder = find_labelled_images(root)
    images, problems = folder.images, folder.problems
    settings = {**backbone.settings(), "images": folder.digest, **asdict(how), **asdict(options)}
    if (facts := finished(out, settings)) is not None:
        return _result(out, root, facts, problems)
    with work_folder(out, settings) as work:
        crops = LabelledCrops(work.folder, images, how.faces, backbone.whole.crop_pixels)
        crops.extract(jobs, partial(progress, "cutting faces"))
        places, damaged, faceless = crops.outcomes()
        _check([images[place] for place in places], root, how.faces)
        n_epochs = head_epochs(backbone) + options.epochs
        task = LabelledTask(backbone, crops, places, how, n_epochs, options.keep, options.seed)
        history = learn(backbone, task, options, work.folder / "checkpoint.pt", progress)
        if backbone.from_scratch and crops.are_grey():
            _weigh_by_luminance(backbone)
        _round_to_half(backbone)
        head = task.head().half()
        facts = {
            "data": folder.name,
            **{part: json.dumps(asdict(of_part)) for part, of_part in _scores(backbone, head, task).items()},
            "n_train": json.dumps(len(task.places["train"])),
            "history": json.dumps([asdict(epoch) for epoch in history]),
            "notes": json.dumps(folder.notes),
            "without_face": json.dumps([str(image.path.relative_to(root)) for image in faceless]),
            "damaged": json.dumps([str(image.path.relative_to(root)) for image in damaged]),
            **work.facts,
        }
        learned = {name: tensor.half() for name, tensor in backbone.trained.state_dict().items()}
        state = {**backbone.state(), **learned}
        whole = backbone.whole
        write_backbone(out, whole.architecture, state, whole.preprocessing, facts, backbone.n_blocks, head)
    return _result(out, root, facts, problems)


@torch.no_grad()
def _weigh_by_luminance(backbone: SplitBackbone) -> None:
    """Let the first convolution weigh the colours as grey does; nothing changes for grey images."""
    weight = backbone.trained[0].weight
    shares = torch.tensor(LUMINANCE, device=weight.device)[:, None, None]
    weight.copy_(weight.sum(dim=1, keepdim=True) * shares)


@torch.no_grad()
def _round_to_half(backbone: SplitBackbone) -> None:
    """Round what was learned to what the file holds."""
    for tensor in backbone.trained.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def _scores(backbone: SplitBackbone, head: Head, task: LabelledTask) -> dict[Part, Scores]:
    """Scores of the validation and the test part, computed as `prepare` computes maps: in float32."""
    trained = backbone.rejoined()
    return {part: frame_scores(trained, head, task.crops, task.places[part]) for part in ("validation", "test")}


def _check(usable: list[LabelledImage], root: Path, faces: Faces) -> None:
    """Say what is too little to go on with, before anything is learned."""
    if not usable:
        hint = "" if faces == "given" else "; where the images are the crops, give --faces given"
        raise BadInput(f"{root}: no image shows a face that can be used{hint}")
    if len({image.code for image in usable}) < 2:
        raise BadInput(f"{root}: the images with a face are all of one emotion; a second class is needed to learn")
    for part in get_args(Part):
        if not any(image.part == part for image in usable):
            raise BadInput(f"{root}: of {len(usable)} usable images none is in the {part} part; give some hundreds")


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
        read["validation"],
        read["test"],
        read["n_train"],
        read["history"],
        read["notes"],
        without_face,
        problems,
        table,
    )
