"""Reader of the CK+ distribution's folders (Lucey et al. 2010)."""

import re
from dataclasses import dataclass
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.datasets.problems import Problem
from data_prep.datasets.synthetic_marker import is_synthetic
from data_prep.errors import BadInput
from data_prep.media.images import read_bytes

IMAGE_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images")
EMOTION_FOLDERS = ("Emotion", "Emotion_labels")
DEEPEST = 3
"""Number of levels below the root to search for these folders: a wrapping folder, and the folder of an unpacked zip
file."""

FRAME_FILE = re.compile(r"(S\d+_\d+)_(\d+)\.(?:png|jpg|jpeg|tif|tiff|bmp)", re.IGNORECASE)
EMOTION_FILE = re.compile(r"(S\d+_\d+)_\d+_emotion\.txt", re.IGNORECASE)
_SUBJECT = re.compile(r"S\d+", re.IGNORECASE)
_REMEDY = "--root takes the folder that holds cohn-kanade-images and Emotion"


@dataclass(frozen=True)
class CKPlusFolders:
    """The folders of a copy of CK+.

    Attributes:
        images: the folder of the subjects' images.
        labels: the folder of the subjects' emotion labels.
        image_folders: name of a sequence, such as ``"S005_001"`` -> folder of its images.
        label_folders: name of a sequence -> folder of its emotion file.
    """

    images: Path
    labels: Path
    image_folders: dict[str, Path]
    label_folders: dict[str, Path]


def read_ckplus(root: Path) -> Catalogue:
    """Read the catalogue of a CK+ copy.

    A sequence ``S005/001`` is labelled when ``Emotion/S005/001`` holds an ``_emotion.txt`` file with a code from 1 to
    7. Sequences without one, or with code 0 (neutral), are counted as unlabelled.

    Args:
        root: folder that holds ``cohn-kanade-images`` and ``Emotion``, or their other common names
            (:data:`IMAGE_FOLDERS`, :data:`EMOTION_FOLDERS`), in upper or lower case, up to :data:`DEEPEST` levels down:
            in a wrapping folder, or in the folders of the distribution's unpacked zip files.

    Returns:
        The catalogue, its sequences in ascending order of name; its ``problems`` list damaged files.

    Raises:
        BadInput: ``root`` is not a folder or has no CK+ layout.
    """
    data = DataFolder(root, _REMEDY)
    copy = find_folders(data)
    sequences: dict[str, LabelledSequence] = {}
    unlabelled = 0
    for name, folder in copy.image_folders.items():
        try:
            emotion = _read_emotion(data, copy.label_folders.get(name), name)
        except BadInput as damage:
            data.add(Problem(copy.label_folders[name], str(damage), name))
            continue
        if emotion is None:
            unlabelled += 1
            continue
        frames = _frames(data, folder, name)
        if frames:
            sequences[name] = LabelledSequence(name.split("_")[0], name, emotion, frames)
        else:
            what = f"no image named {name}_00000001.png or like it; unpack the images again"
            data.add(Problem(folder, what, name, "missing"))
    for name, folder in copy.label_folders.items():
        if name not in copy.image_folders and _emotion_files(data, folder, name):
            data.add(Problem(folder, f"labelled, but {folder_of(copy.images, name)} is missing", name, "missing"))
    return data.catalogue("synthetic" if is_synthetic(root) else "CK+", root, sequences, unlabelled)


def find_folders(data: DataFolder) -> CKPlusFolders:
    """Find the sequences' folders of images and of labels in a copy.

    Raises:
        BadInput: there are none with a known name.
    """
    images = _find(data, IMAGE_FOLDERS, "images")
    labels = _find(data, EMOTION_FOLDERS, "emotion labels")
    return CKPlusFolders(images, labels, _sequence_folders(data, images), _sequence_folders(data, labels))


def folder_of(folder: Path, name: str) -> Path:
    """Return where a sequence's files belong below the images or the labels: ``S005/001`` for ``S005_001``."""
    return folder.joinpath(*name.split("_"))


def _find(data: DataFolder, names: tuple[str, ...], what: str) -> Path:
    wanted = [name.casefold() for name in names]
    others: list[Path] = []
    for level in data.levels(DEEPEST, _SUBJECT):
        holding = data.holding(level, _SUBJECT)
        found = [folder for name in wanted for folder in holding if folder.name.casefold() == name]
        if found:
            for folder in found[1:]:
                data.pass_over(folder, f"another folder of {what}")
            return found[0]
        others.extend(folder for folder in holding if folder.name.casefold() not in _known_names())
    seen = f"; folders of subjects are in {others[0]}, which has an unknown name" if others else ""
    raise BadInput(f"{data.root}: not a copy of CK+: no {what} in {' or '.join(names)}{seen}; {_REMEDY}")


def _known_names() -> set[str]:
    return {name.casefold() for name in (*IMAGE_FOLDERS, *EMOTION_FOLDERS, "FACS", "FACS_labels", "Landmarks")}


def _sequence_folders(data: DataFolder, folder: Path) -> dict[str, Path]:
    """The folder of each sequence by its name, in ascending order."""
    found: dict[str, Path] = {}
    for subject in data.subjects(folder, _SUBJECT):
        for sequence in data.entries(subject):
            name = f"{subject.name.upper()}_{sequence.name}"
            if not sequence.name.isdecimal():
                data.pass_over(sequence, "no sequence's folder")
            elif not sequence.is_dir():
                what = "a file where the sequence's folder should be; unpack the distribution again"
                data.add(Problem(sequence, what, name))
            elif name in found:
                data.add(Problem(sequence, f"the same sequence as {found[name]}; keep the right one", name))
            else:
                found[name] = sequence
    return dict(sorted(found.items()))


def _emotion_files(data: DataFolder, folder: Path, name: str) -> list[Path]:
    return [file for file in data.entries(folder, name) if file.name.casefold().endswith("_emotion.txt")]


def _read_emotion(data: DataFolder, folder: Path | None, name: str) -> str | None:
    files = _emotion_files(data, folder, name) if folder else []
    if not files:
        return None
    if len(files) > 1:
        raise BadInput(f"has {len(files)} emotion files where CK+ has one; keep the right one")
    match = EMOTION_FILE.fullmatch(files[0].name)
    if match and match[1].upper() != name:
        raise BadInput(f"holds {files[0].name}, the label of another sequence; move it there")
    text = read_bytes(files[0]).decode("utf-8", errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        raise BadInput(
            f'{files[0].name} says "{text[:40]}" where CK+ has one number; restore it from the distribution'
        ) from None
    if code not in EMOTION_OF_CODE:
        raise BadInput(
            f"{files[0].name} says {text[:40]}; emotions are 1 to 7 (0 neutral): restore it from the distribution"
        )
    return EMOTION_OF_CODE[int(code)] if code else None


def _frames(data: DataFolder, folder: Path, name: str) -> tuple[Path, ...]:
    """The sequence's images in order of their numbers."""
    numbered: dict[int, Path] = {}
    for file in data.images(folder, name):
        match = FRAME_FILE.fullmatch(file.name)
        if not match or match[1].upper() != name:
            data.pass_over(file, "an image of another name than its folder's sequence")
        elif int(match[2]) in numbered:
            what = f"the same frame as {numbered[int(match[2])].name}; keep the right one"
            data.add(Problem(file, what, name))
        else:
            numbered[int(match[2])] = file
    gaps = sorted(set(range(1, max(numbered, default=0))) - set(numbered))
    if gaps and numbered:
        data.notes.append(f"{name}: frames {', '.join(map(str, gaps))} are missing; the others are used")
    return tuple(numbered[number] for number in sorted(numbered))
