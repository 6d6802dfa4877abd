"""Comparison of a copy of CK+ with the 327 published sequences, with hints about what to move or restore."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue
from data_prep.datasets.ckplus import EMOTION_FILE, FRAME_FILE, CKPlusFolders, folder_of
from data_prep.datasets.ckplus_list import ListedSequence, ckplus_sequences
from data_prep.datasets.problems import Problem
from data_prep.datasets.synthetic_marker import SUBJECTS, is_synthetic, read_marker

IMAGES_SOURCE = "from extended-cohn-kanade-images.zip"
LABELS_SOURCE = "from Emotion_labels.zip"
DRAWN_SOURCE = "by `face-strnn synth` with the subjects and the seed in SYNTHETIC.txt"


def published_sequences(catalogue: Catalogue, copy: CKPlusFolders) -> dict[str, ListedSequence]:
    """Return the published sequences that a copy should have, by name.

    These are all 327, or for a synthetic data set with fewer subjects those of its subjects.
    """
    listed = {f"{one.subject}_{one.sequence}": one for one in ckplus_sequences()}
    marker = read_marker(catalogue.root)
    if marker is None or marker.subjects >= SUBJECTS:
        return listed
    own = {name.split("_")[0] for name in (*copy.image_folders, *copy.label_folders)}
    return {name: one for name, one in listed.items() if one.subject in own}


def differences(catalogue: Catalogue, copy: CKPlusFolders, published: dict[str, ListedSequence]) -> list[Problem]:
    """Return a copy's differences from the published protocol's data, without the catalogue's own problems.

    Args:
        catalogue: of the copy.
        copy: its folders.
        published: see :func:`published_sequences`.
    """
    found = {sequence.name: sequence for sequence in catalogue.sequences}
    reported = {problem.sequence for problem in catalogue.problems}
    problems = []
    for name, one in published.items():
        if name not in found:
            if name not in reported:
                problems.append(_missing(name, copy))
            continue
        sequence = found[name]
        if sequence.emotion != one.emotion:
            what = f"labelled {sequence.emotion}, and published as {one.emotion}"
            problems.append(Problem(copy.label_folders[name], what, name, "label"))
        if len(sequence.frames) != one.frames:
            what = f"{len(sequence.frames)} frames where the published list has {one.frames}: {_which(name, copy, one)}"
            problems.append(Problem(sequence.path, what, name, "length"))
    for name, sequence in found.items():
        if name not in published:
            what = "labelled, and not one of the published sequences"
            problems.append(Problem(sequence.path, what, name, "extra"))
    return problems


def with_hints(problems: Sequence[Problem], catalogue: Catalogue, copy: CKPlusFolders) -> list[Problem]:
    """Return the problems with concrete hints: what to move, or to restore, and from or to where."""
    strays = _Strays.of(catalogue.root, copy)
    sources = (DRAWN_SOURCE, DRAWN_SOURCE) if is_synthetic(catalogue.root) else (IMAGES_SOURCE, LABELS_SOURCE)
    return [replace(problem, hint=_hint(problem, copy, strays, *sources)) for problem in problems]


@dataclass(frozen=True)
class _Strays:
    """Sequences' files in wrong folders.

    Attributes:
        images: name of a sequence -> folder that holds images of it.
        labels: name of a sequence -> its emotion file.
    """

    images: dict[str, Path]
    labels: dict[str, Path]

    @classmethod
    def of(cls, root: Path, copy: CKPlusFolders) -> "_Strays":
        images: dict[str, Path] = {}
        labels: dict[str, Path] = {}
        for path, folders, files in os.walk(root):  # links to folders are not followed
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            folder = Path(path)
            for file in files:
                for pattern, home, strays, stray in (
                    (FRAME_FILE, copy.image_folders, images, folder),
                    (EMOTION_FILE, copy.label_folders, labels, folder / file),
                ):
                    match = pattern.fullmatch(file)
                    if match and home.get(match[1].upper()) != folder:
                        strays.setdefault(match[1].upper(), stray)
        return cls(images, labels)


def _missing(name: str, copy: CKPlusFolders) -> Problem:
    if name in copy.image_folders:
        return Problem(copy.image_folders[name], "has images, but no emotion label", name, "missing")
    return Problem(folder_of(copy.images, name), "has neither images nor an emotion label", name, "missing")


def _which(name: str, copy: CKPlusFolders, one: ListedSequence) -> str:
    numbers = set(_frame_numbers(name, copy))
    lacking = sorted({*range(1, one.frames + 1)} - numbers)
    beyond = sorted(number for number in numbers if number > one.frames)
    parts = [f"{_listed(lacking)} missing"] if lacking else []
    parts += [f"{_listed(beyond)} beyond the published apex"] if beyond else []
    return ", ".join(parts) or "there is a frame 0"


def _frame_numbers(name: str, copy: CKPlusFolders) -> list[int]:
    matches = (FRAME_FILE.fullmatch(file.name) for file in copy.image_folders[name].iterdir())
    return [int(match[2]) for match in matches if match and match[1].upper() == name]


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:6])) + (f" and {len(numbers) - 6} more" if len(numbers) > 6 else "")
    return f"{'frame' if len(numbers) == 1 else 'frames'} {shown}"


def _hint(problem: Problem, copy: CKPlusFolders, strays: _Strays, images_source: str, labels_source: str) -> str:
    name = problem.sequence
    image_folder, label_folder = (folder_of(root, name) if name else root for root in (copy.images, copy.labels))
    restore_images = f"restore {image_folder} {images_source}"
    restore_label = f"restore {label_folder} {labels_source}"
    images = f"move the images of {name} in {strays.images[name]} to {image_folder}" if name in strays.images else ""
    label = f"move {strays.labels[name]} into {label_folder}" if name in strays.labels else ""
    is_label = copy.labels in (problem.path, *problem.path.parents)
    if problem.kind == "missing":
        has_images = name in copy.image_folders and not problem.what.startswith("no image")
        has_label = name in copy.label_folders and any(
            EMOTION_FILE.fullmatch(file.name) for file in copy.label_folders[name].iterdir()
        )
        steps = [] if has_images else [images or restore_images]
        steps += [] if has_label else [label or restore_label]
        return "; ".join(steps)
    if problem.kind == "extra":
        return f"move {copy.label_folders[name]} out of {copy.labels}: without a label it is not used"
    if problem.kind == "length":
        if "missing" in problem.what:
            return images or restore_images
        return f"move the frames beyond the apex out of {image_folder}"
    if problem.kind == "label":
        return restore_label
    if "symbolic link" in problem.what:
        return f"replace the link {problem.path} by what it stands for, or restore it from the distribution"
    return (label or restore_label) if is_label else f"restore {problem.path} {images_source}"
