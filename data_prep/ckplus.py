"""Reader of the CK+ distribution's folders (Lucey et al. 2010)."""

import re
from pathlib import Path

from data_prep.catalogue import Catalogue, LabelledSequence, Problem
from data_prep.emotions import EMOTION_OF_CODE
from data_prep.errors import BadInput
from data_prep.images import read_bytes
from data_prep.standin.dataset import is_synthetic

IMAGE_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images", "extended-cohn-kanade-images")
EMOTION_FOLDERS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")

_SUBJECT = re.compile(r"S\d+")
_FRAME = re.compile(r"(S\d+_\d+)_(\d+)\.(?:png|jpg|jpeg|tif|tiff)", re.IGNORECASE)


def read_ckplus(root: Path) -> Catalogue:
    """Read the catalogue of a CK+ copy.

    A sequence ``S005/001`` is labelled when ``Emotion/S005/001`` holds an ``_emotion.txt`` file with a code from 1 to
    7. Sequences without one, or with code 0 (neutral), are counted as unlabelled. Files that do not look like frames,
    such as ``.DS_Store``, are passed over.

    Args:
        root: folder that holds ``cohn-kanade-images`` and ``Emotion``, or the names under which copies in the wild have
            them (:data:`IMAGE_FOLDERS`, :data:`EMOTION_FOLDERS`).

    Returns:
        The catalogue, its sequences in ascending order of name; damage to single files stands in its ``problems``.

    Raises:
        BadInput: ``root`` is not a folder or has no CK+ layout.
    """
    images = _find(root, IMAGE_FOLDERS, "images")
    labels = _find(root, EMOTION_FOLDERS, "emotion labels")
    sequences: list[LabelledSequence] = []
    problems: list[Problem] = []
    notes: list[str] = []
    unlabelled = 0

    for folder in _sequence_folders(images):
        subject, number = folder.parent.name, folder.name
        name = f"{subject}_{number}"
        emotion_folder = labels / subject / number
        try:
            emotion = _read_emotion(emotion_folder)
        except BadInput as damage:
            problems.append(Problem(emotion_folder, str(damage)))
            continue
        if emotion is None:
            unlabelled += 1
            continue
        frames, gaps = _frames(folder, name)
        if not frames:
            problems.append(Problem(folder, f"no image named {name}_00000001.png or like it; unpack the images again"))
            continue
        if gaps:
            notes.append(f"{name}: frames {', '.join(map(str, gaps))} are missing; the others are used")
        sequences.append(LabelledSequence(subject, name, emotion, frames))

    for folder in _sequence_folders(labels):
        has_label = any(not file.name.startswith(".") for file in folder.glob("*_emotion.txt"))
        if has_label and not (images / folder.parent.name / folder.name).is_dir():
            problems.append(Problem(folder, f"labelled, but {images / folder.parent.name / folder.name} is missing"))

    data = "synthetic" if is_synthetic(root) else "CK+"
    return Catalogue(data, root, tuple(sequences), unlabelled, tuple(problems), tuple(notes))


def _find(root: Path, candidates: tuple[str, ...], what: str) -> Path:
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; --root takes the folder that holds cohn-kanade-images and Emotion")
    for candidate in candidates:
        if (root / candidate).is_dir() and any(
            _SUBJECT.fullmatch(entry.name) for entry in (root / candidate).iterdir()
        ):
            return root / candidate
    raise BadInput(
        f"{root}: not a copy of CK+: no {what} in {' or '.join(candidates[:2])}; "
        "--root takes the folder that holds cohn-kanade-images and Emotion"
    )


def _sequence_folders(folder: Path) -> list[Path]:
    return sorted(
        sequence
        for subject in folder.iterdir()
        if subject.is_dir() and _SUBJECT.fullmatch(subject.name)
        for sequence in subject.iterdir()
        if sequence.is_dir() and sequence.name.isdigit()
    )


def _read_emotion(folder: Path) -> str | None:
    files = sorted(file for file in folder.glob("*_emotion.txt") if not file.name.startswith("."))
    if not files:
        return None
    if len(files) > 1:
        raise BadInput(f"has {len(files)} emotion files where CK+ has one; keep the right one")
    text = read_bytes(files[0]).decode("utf-8", errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        raise BadInput(
            f'{files[0].name} says "{text[:40]}" where CK+ has one number; restore it from the distribution'
        ) from None
    if code not in EMOTION_OF_CODE:
        raise BadInput(
            f"{files[0].name} says {text}; emotions are 1 to 7 (0 neutral): restore it from the distribution"
        )
    return EMOTION_OF_CODE[int(code)] if code else None


def _frames(folder: Path, name: str) -> tuple[tuple[Path, ...], list[int]]:
    numbered = {}
    for file in folder.iterdir():
        match = _FRAME.fullmatch(file.name)
        if match and match[1] == name:
            numbered[int(match[2])] = file
    gaps = sorted(set(range(1, max(numbered, default=0))) - set(numbered))
    return tuple(numbered[number] for number in sorted(numbered)), gaps
