"""A folder of labelled images of faces, such as FER2013, RAF-DB or AffectNet: one folder of images for each emotion."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.datasets.emotions import CODE_OF_EMOTION, emotion_named
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.media.images import read_bytes

Part = Literal["learning", "choosing", "held-out"]
"""Parts of the images: training, validation (choice of the epoch), and test (reported accuracy)."""

PART_SHARE = 0.1
"""Share of the images for validation, and as many that are held out."""

ENDINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class LabelledImage:
    """One image.

    Attributes:
        path: the file.
        code: of its emotion, 0 (neutral) to 7, as CK+ counts them.
        sha256: of its content.
    """

    path: Path
    code: int
    sha256: str

    @property
    def part(self) -> Part:
        """Decided by the content alone, so that copies of an image are all on one side."""
        place = int(self.sha256[:8], 16) / 16**8
        if place < PART_SHARE:
            return "held-out"
        return "choosing" if place < 2 * PART_SHARE else "learning"


def find_labelled_images(root: Path) -> tuple[list[LabelledImage], list[Problem]]:
    """List the images of a folder, and what of it cannot be used; nothing is decoded yet.

    Args:
        root: holds a folder for each emotion, spelled as :func:`data_prep.datasets.emotions.emotion_named`
            understands, and in it PNG or JPEG files, at any depth. Hidden files are ignored.

    Raises:
        BadInput: no such folder, no images, or images of a single class.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; --images takes a folder that holds one of images for each emotion")
    images, problems = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            code = CODE_OF_EMOTION[emotion_named(folder.name)]
        except BadInput as error:
            problems.append(Problem(folder, f"left out: {error}"))
            continue
        files = [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith(".")]
        for path in sorted(files):
            try:
                data = read_bytes(path)
            except BadInput as error:
                problems.append(Problem.of(error, path))
                continue
            if data:
                images.append(LabelledImage(path, code, hashlib.sha256(data).hexdigest()))
            else:
                problems.append(Problem(path, "is empty; restore the file from the data set's distribution"))
    if not images:
        first = f" ({problems[0]})" if problems else ""
        raise BadInput(f"{root}: holds no image in a folder named after an emotion, such as anger/0001.png{first}")
    if len({image.code for image in images}) < 2:
        raise BadInput(f"{root}: its images all show {images[0].path.parent.name}; a second class is needed to learn")
    return images, problems


def digest_of(images: list[LabelledImage]) -> str:
    """Return a checksum of all contents and labels in their order, in which crops are kept."""
    content = "\n".join(f"{image.sha256} {image.code}" for image in images)
    return hashlib.sha256(content.encode()).hexdigest()
