"""Reader of a folder of images sorted by emotion, a common form of already cropped faces."""

import re
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, LabelledSequence, data_name, require_name
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput

_FRAME = re.compile(r"(?P<subject>.+)_(?P<sequence>[^_]+)_(?P<frame>\d+)\.[^.]+")
_REMEDY = "--root takes the folder that holds one folder for each emotion"


def read_image_folder(root: Path) -> Catalogue:
    """Read images named ``<emotion>/<subject>_<sequence>_<frame>.png``, such as ``anger/S010_004_00000017.png``.

    Args:
        root: folder that holds one folder for each emotion, under any usual spelling of it.

    Returns:
        The catalogue, named after the folder; images of ``neutral`` are counted as unlabelled sequences.

    Raises:
        BadInput: ``root`` is not a folder, or holds no folder of an emotion.
    """
    data = DataFolder(root, _REMEDY)
    images: dict[str, dict[int, Path]] = {}
    facts: dict[str, tuple[str, str]] = {}
    for folder in data.entries(root):
        if not folder.is_dir():
            data.pass_over(folder, "no emotion's folder")
            continue
        emotion = data.emotion_of(folder)
        if emotion is None:
            continue
        for file in data.images(folder):
            try:
                subject, name, number = _parse(file)
            except BadInput as error:
                hint = f"give {file} a name such as S010_004_00000017{file.suffix}, or move it out of {root}"
                data.add(Problem.of(error, file, hint=hint))
                continue
            earlier = images.setdefault(name, {}).get(number)
            if facts.setdefault(name, (subject, emotion)) != (subject, emotion):
                other = next(iter(images[name].values())).parent
                what = f"sequence {name} is in {other.name} too; a sequence has one emotion: rename one of them"
                hint = f"move {file} into {other} if it belongs there, else give it another sequence in its name"
                data.add(Problem(file, what, name, hint=hint))
            elif earlier:
                what, hint = f"the same frame as {earlier.name}; keep the right one", f"move {file} or {earlier} away"
                data.add(Problem(file, what, name, hint=hint))
            else:
                images[name][number] = file
    if not facts and not data.problems:
        raise BadInput(f"{root}: holds no images in folders of emotions; {_REMEDY}")
    sequences = {
        name: LabelledSequence(subject, name, emotion, tuple(images[name][number] for number in sorted(images[name])))
        for name, (subject, emotion) in facts.items()
        if emotion != "neutral"
    }
    return data.catalogue(data_name(root.resolve().name), root, sequences, len(facts) - len(sequences))


def _parse(file: Path) -> tuple[str, str, int]:
    """Subject, name of the sequence and number of the frame in a file's name."""
    match = _FRAME.fullmatch(file.name)
    if not match:
        raise BadInput(f"{file}: is not named <subject>_<sequence>_<frame>{file.suffix}; rename it")
    subject = require_name(match["subject"], "subject")
    return subject, require_name(f"{subject}_{match['sequence']}", "sequence"), int(match["frame"])
