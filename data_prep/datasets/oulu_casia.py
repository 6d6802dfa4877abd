"""Reader of the Oulu-CASIA NIR&VIS facial expression database (Zhao et al. 2011)."""

import re
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.emotions import SIX_EMOTIONS
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput

LIGHTS = ("VL", "NI")
STRENGTHS = ("Strong", "Weak", "Dark")
DEFAULT_PART = "VL/Strong"
SUBJECTS = 80
"""Each of them shows each of the six emotions once: 480 sequences for every camera and light."""

DEEPEST = 4
_SUBJECT = re.compile(r"P\d+", re.IGNORECASE)
_REMEDY = "--root takes the folder that holds VL/Strong/P001, or a folder that wraps it"


def read_oulu_casia(root: Path, part: str = DEFAULT_PART) -> Catalogue:
    """Read the images of one camera and illumination from an Oulu-CASIA copy: ``VL/Strong/P001/Anger/000.jpeg``.

    Args:
        root: folder that holds ``VL`` or ``NI``, or wraps it: ``OriginalImg/VL``, ``PreProcessImg/VL_Acropped``. The
            catalogue's notes name the folder used; original images are preferred to preprocessed ones.
        part: ``VL`` (visible light) or ``NI`` (near infrared), ``/``, and ``Strong``, ``Weak`` or ``Dark``. A prefixed
            path, such as ``PreProcessImg/VL/Strong``, selects that folder.

    Returns:
        The catalogue; a sequence is named after its subject and emotion, ``P001_anger``.

    Raises:
        BadInput: no such folder, or no such part.
    """
    data = DataFolder(root, _REMEDY)
    wrapping, light, strength = _parse(part)
    candidates = [folder for folder in _parts(data) if _fits(folder, root, wrapping, light, strength)]
    if not candidates:
        there = ", ".join(sorted(str(folder.relative_to(root)) for folder in _parts(data)))
        raise BadInput(
            f"{root}: holds no Oulu-CASIA images of {part}{f', but {there}' if there else ''}; "
            f"{'--part selects one of these' if there else _REMEDY}"
        )
    taken = candidates[0]
    data.notes.append(f"{taken.relative_to(root)} is used")
    for folder in candidates[1:]:
        data.pass_over(folder, f"--part {folder.relative_to(root)} selects it")
    sequences: dict[str, LabelledSequence] = {}
    unlabelled = 0
    for subject in data.subjects(taken, _SUBJECT):
        for folder in data.entries(subject):
            emotion = data.emotion_of(folder)
            if emotion is None:
                continue
            name = f"{subject.name.upper()}_{emotion}"
            frames = tuple(data.images(folder, name)) if folder.is_dir() else ()
            if not frames:
                what = "holds no image named 000.jpeg or like it; unpack it again"
                data.add(Problem(folder, what, name, "missing", f"put {name}'s images in {folder}"))
            elif emotion == "neutral":
                unlabelled += 1
            elif name in sequences:
                other = sequences[name].path
                hint = f"move {folder} or {other} out of {root}"
                data.add(Problem(folder, f"the same sequence as {other}; keep the right one", name, hint=hint))
            else:
                sequences[name] = LabelledSequence(subject.name.upper(), name, emotion, frames)
    is_cropped = _is_preprocessed(taken, root)
    name = f"Oulu-CASIA-{light}-{strength}{'-preprocessed' if is_cropped else ''}"
    return data.catalogue(name, root, sequences, unlabelled)


def missing_sequences(catalogue: Catalogue) -> list[Problem]:
    """Return a problem for each of the 480 sequences that the catalogue neither contains nor reports."""
    known = {sequence.name for sequence in catalogue.sequences} | {problem.sequence for problem in catalogue.problems}
    part = catalogue.sequences[0].path.parent.parent if catalogue.sequences else catalogue.root
    return [
        Problem(
            catalogue.root,
            "no folder of images",
            f"P{subject:03d}_{emotion}",
            "missing",
            f"unpack {part / f'P{subject:03d}' / emotion.capitalize()} again",
        )
        for subject in range(1, SUBJECTS + 1)
        for emotion in SIX_EMOTIONS
        if f"P{subject:03d}_{emotion}" not in known
    ]


def _parse(part: str) -> tuple[str, str, str]:
    *wrapping, light, strength = ["", *part.replace("\\", "/").strip("/").split("/")]
    lights = [known for known in LIGHTS if re.fullmatch(rf"{known}(_.*)?", light, re.IGNORECASE)]
    strengths = [known for known in STRENGTHS if known.casefold() == strength.casefold()]
    if not lights or not strengths:
        raise BadInput(
            f"--part {part}: give one of {', '.join(f'{one}/{other}' for one in LIGHTS for other in STRENGTHS)}"
        )
    return "/".join(wrapping).strip("/"), lights[0], strengths[0]


def _parts(data: DataFolder) -> list[Path]:
    """Every folder of subjects of one camera and light, original images first."""
    parts = [part for level in data.levels(DEEPEST, _SUBJECT) for part in data.holding(level, _SUBJECT)]
    known = [folder for folder in parts if _names_of(folder) is not None]
    return sorted(known, key=lambda folder: (_is_preprocessed(folder, data.root), str(folder)))


def _names_of(folder: Path) -> tuple[str, str] | None:
    """``(VL, Strong)`` of a folder ``VL_Acropped/Strong``."""
    try:
        _, light, strength = _parse(f"{folder.parent.name}/{folder.name}")
    except BadInput:
        return None
    return light, strength


def _fits(folder: Path, root: Path, wrapping: str, light: str, strength: str) -> bool:
    above = folder.relative_to(root).parent.parent.as_posix().casefold()
    return _names_of(folder) == (light, strength) and above.endswith(wrapping.casefold())


def _is_preprocessed(folder: Path, root: Path) -> bool:
    inner = folder.relative_to(root).as_posix().casefold()
    return "preprocess" in inner or "crop" in inner
