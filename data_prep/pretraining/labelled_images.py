"""A folder of labelled images of faces, such as FER2013, RAF-DB or AffectNet: one folder of images for each emotion."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from data_prep.datasets.emotions import CODE_OF_EMOTION, SPELLINGS, emotion_named
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.media.images import read_bytes

Part = Literal["train", "validation", "test"]

PART_SHARE = 0.1
"""Share of the images for validation, and as many for the test, where the folder does not say which."""

ENDINGS = (".png", ".jpg", ".jpeg")

_PART_OF_FOLDER: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "public", "publictest"), "validation"),
    **dict.fromkeys(("test", "private", "privatetest"), "test"),
}

_PART_IN_FER2013: dict[str, Part] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}

_FER2013_NAME = re.compile(r"(?P<usage>Training|PublicTest|PrivateTest)_\d+\.\w+?(?P<copy>\d+\.\w+)?")
"""Name of an image of FER2013, and behind it what is added to augmented copies that are passed on with some copies."""


@dataclass(frozen=True)
class LabelledImage:
    """One image.

    Attributes:
        path: the file.
        code: of its emotion, 0 (neutral) to 7, as CK+ counts them.
        sha256: of its content.
        part: of the data.
    """

    path: Path
    code: int
    sha256: str
    part: Part


@dataclass(frozen=True)
class LabelledFolder:
    """The images of a folder.

    Attributes:
        name: of the folder; of a folder called train the name of that above it.
        images: those that can be used, as far as is known before they are decoded.
        problems: what cannot be used, which should be corrected or removed.
        notes: what was left out on purpose.
        own_parts: the parts that the folder or its file names say.
    """

    name: str
    images: list[LabelledImage]
    problems: list[Problem]
    notes: list[str]
    own_parts: frozenset[Part]

    @property
    def digest(self) -> str:
        """A checksum of all contents, labels and parts in their order, in which crops are kept."""
        content = "\n".join(f"{image.sha256} {image.code} {image.part}" for image in self.images)
        return hashlib.sha256(content.encode()).hexdigest()


def find_labelled_images(root: Path) -> LabelledFolder:
    """List the images of a folder, and what of it is not used; nothing is decoded yet.

    The parts are the folder's own where it has folders of the names train, validation and test, or where its files
    have FER2013's names (``Training_1.jpg``, ``PublicTest_1.jpg``, ``PrivateTest_1.jpg``). A part that it does not
    have is taken from the training images, by their content. Training images whose content is also in another part are
    left out, as are validation images that are also in the test part, and augmented copies of FER2013's images.

    Args:
        root: holds a folder for each emotion, spelled as :func:`data_prep.datasets.emotions.emotion_named`
            understands, and in it PNG or JPEG files, at any depth; or two or three parts with such folders. Hidden
            files are ignored.

    Raises:
        BadInput: no such folder, no images, images of a single class, or a file of one part of FER2013 in another.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; --images takes a folder that holds one of images for each emotion")
    images: list[LabelledImage] = []
    problems: list[Problem] = []
    n_copies = 0
    own_parts: set[Part] = set()
    for part, folder in _emotion_folders(root, problems):
        code = CODE_OF_EMOTION[emotion_named(folder.name)]
        files = [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith(".")]
        for path in sorted(files):
            name = _FER2013_NAME.fullmatch(path.name)
            if name and name["copy"]:
                n_copies += 1
                continue
            named = name and _PART_IN_FER2013[name["usage"]]
            if part and named and named != part:
                raise BadInput(
                    f"{path}: an image of FER2013's {named} part in the folder of the {part} part: parts are mixed; "
                    "restore the folder from its distribution"
                )
            if said := part or named:
                own_parts.add(said)
            if (sha256 := _checksum(path, problems)) is not None:
                images.append(LabelledImage(path, code, sha256, said or "train"))
    if not images:
        first = f" ({problems[0]})" if problems else ""
        raise BadInput(f"{root}: holds no image in a folder named after an emotion, such as anger/0001.png{first}")
    if len({image.code for image in images}) < 2:
        raise BadInput(f"{root}: its images all show {images[0].path.parent.name}; a second class is needed to learn")
    notes = []
    if n_copies:
        notes.append(f"left out: {n_copies} augmented copies of FER2013's images")
    kept = _without_repeats(_dealt(images, own_parts))
    if repeated := len(images) - len(kept):
        notes.append(f"left out: {repeated} images whose content is in the validation or the test part too")
    name = root.resolve().parent.name if root.name.casefold() in _PART_OF_FOLDER else root.name
    return LabelledFolder(name, kept, problems, notes, frozenset(own_parts))


def _emotion_folders(root: Path, problems: list[Problem]) -> Iterator[tuple[Part | None, Path]]:
    """Yield every folder of an emotion and the part it is in; None where the folder has no parts.

    Raises:
        BadInput: none of the folders is named after an emotion.
    """
    of_root = _folders(root)
    parts = {folder: _PART_OF_FOLDER.get(folder.name.casefold()) for folder in of_root}
    if any(parts.values()):
        above = [(part, folder) for folder, part in parts.items() if part]
        strangers = [folder for folder, part in parts.items() if not part]
        beside = "left out: stands beside the parts of the data; move it into one"
        problems += [Problem(folder, beside) for folder in strangers]
    else:
        above = [(None, root)]
    found, unknown = [], []
    for part, parent in above:
        for folder in of_root if part is None else _folders(parent):
            try:
                emotion_named(folder.name)
            except BadInput as error:
                unknown.append(Problem(folder, f"left out: {error}"))
                continue
            found.append((part, folder))
    if unknown and not found:
        names = ", ".join(sorted({problem.path.name[:20] for problem in unknown})[:8])
        known = "; ".join(f"{emotion} ({', '.join(others)})" for emotion, others in SPELLINGS.items())
        raise BadInput(f"{root}: no folder is named after an emotion, but {names}; rename them. Known are {known}")
    problems += unknown
    yield from found


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _checksum(path: Path, problems: list[Problem]) -> str | None:
    """A file's checksum; None, and a problem, where it cannot be read or is empty."""
    try:
        data = read_bytes(path)
    except BadInput as error:
        problems.append(Problem.of(error, path))
        return None
    if not data:
        problems.append(Problem(path, "is empty; restore the file from the data set's distribution"))
        return None
    return hashlib.sha256(data).hexdigest()


def _dealt(images: list[LabelledImage], own_parts: set[Part]) -> list[LabelledImage]:
    """Take the parts that the folder does not have from the training images, so that copies stay on one side."""
    lacking = [part for part in get_args(Part) if part != "train" and part not in own_parts]
    return [
        replace(image, part=_drawn_part(image.sha256, lacking)) if image.part == "train" else image for image in images
    ]


def _drawn_part(sha256: str, lacking: list[Part]) -> Part:
    """The part that an image's content decides: a tenth of the images for each part that is lacking."""
    place = int(int(sha256[:8], 16) / 16**8 / PART_SHARE)
    return lacking[place] if place < len(lacking) else "train"


def _without_repeats(images: list[LabelledImage]) -> list[LabelledImage]:
    """Leave out what is in a later part too: what is tested must be neither learned from nor chosen by."""
    of_part = {part: {image.sha256 for image in images if image.part == part} for part in get_args(Part)}
    later = {"train": of_part["validation"] | of_part["test"], "validation": of_part["test"], "test": set()}
    return [image for image in images if image.sha256 not in later[image.part]]
