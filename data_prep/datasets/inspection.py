"""Inspection of a data set's copy before features are computed from it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.ckplus import find_folders
from data_prep.datasets.ckplus_check import differences, published_sequences, with_hints
from data_prep.datasets.ckplus_list import ListedSequence
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.emotions import SIX_EMOTIONS
from data_prep.datasets.oulu_casia import SUBJECTS as OULU_SUBJECTS
from data_prep.datasets.oulu_casia import missing_sequences
from data_prep.datasets.problems import Problem
from data_prep.datasets.registry import Dataset
from data_prep.datasets.sequence_frames import frames_of
from data_prep.errors import BadInput
from data_prep.media.image_headers import SUFFIXES, read_header
from data_prep.media.images import decode_image, read_bytes


@dataclass(frozen=True)
class Totals:
    """Numbers of a data set's sequences, subjects and frames.

    Attributes:
        sequences: number of labelled sequences.
        subjects: number of their subjects.
        frames: number of their frames; None if the literature does not state it.
        emotions: number of sequences of each emotion.
    """

    sequences: int
    subjects: int
    frames: int | None
    emotions: Mapping[str, int]

    @classmethod
    def of(cls, sequences: Collection[LabelledSequence | ListedSequence], frames: int) -> "Totals":
        """Count sequences; the number of their frames is given."""
        emotions = Counter(one.emotion for one in sequences)
        subjects = {one.subject for one in sequences}
        return cls(len(sequences), len(subjects), frames, dict(sorted(emotions.items())))


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting a data set's copy.

    Attributes:
        catalogue: of the copy.
        found: totals of the copy; frames are those that could be decoded.
        expected: totals in the literature, if it states them.
        problems: everything that must be corrected, including the catalogue's own problems.
        notes: harmless irregularities.
    """

    catalogue: Catalogue
    found: Totals
    expected: Totals | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "data": self.catalogue.data,
            "root": str(self.catalogue.root),
            "synthetic": self.catalogue.data == "synthetic",
            "usable": not self.problems and bool(self.catalogue.sequences),
            "found": asdict(self.found),
            "expected": asdict(self.expected) if self.expected else None,
            "unlabelled": self.catalogue.unlabelled,
            "problems": [{**asdict(problem), "path": str(problem.path)} for problem in self.problems],
            "notes": list(self.notes),
        }


def inspect(
    dataset: Dataset,
    catalogue: Catalogue,
    hints: bool = False,
    progress: Callable[[LabelledSequence], None] | None = None,
) -> Inspection:
    """Decode every labelled frame of a copy and compare it with the published data.

    Args:
        dataset: which data set it is.
        catalogue: of the copy.
        hints: add to each problem what to move, rename or restore; for a copy of CK+ this searches all folders.
        progress: called with each decoded sequence.
    """
    n_frames = 0
    damaged: list[Problem] = []
    notes = list(catalogue.notes)
    for sequence in catalogue.sequences:
        decoded, problems, renamed = _decode(sequence)
        n_frames += decoded
        damaged += problems
        notes += renamed
        if progress:
            progress(sequence)
    problems = [*catalogue.problems, *damaged]
    expected = None
    if dataset == "ckplus":
        copy = find_folders(DataFolder(catalogue.root, ""))
        published = published_sequences(catalogue, copy)
        expected = Totals.of(published.values(), sum(one.frames for one in published.values()))
        problems += differences(catalogue, copy, published)
        if hints:
            problems = with_hints(problems, catalogue, copy)
    elif dataset == "oulu-casia":
        of_each = dict.fromkeys(SIX_EMOTIONS, OULU_SUBJECTS)
        expected = Totals(sum(of_each.values()), OULU_SUBJECTS, None, of_each)
        problems += missing_sequences(catalogue)
    if not hints:
        problems = [replace(problem, hint="") for problem in problems]
    found = Totals.of(catalogue.sequences, n_frames)
    return Inspection(catalogue, found, expected, tuple(problems), tuple(notes))


def _decode(sequence: LabelledSequence) -> tuple[int, list[Problem], list[str]]:
    """Number of decodable frames, problems of the others, and notes on images with wrong suffixes."""
    if sequence.clip:
        decoded, damage = 0, []
        try:
            for _ in frames_of(sequence):
                decoded += 1
        except BadInput as error:
            damage.append(_damage(error, sequence.path, sequence))
        return decoded, damage, []
    sizes: list[tuple[int, ...]] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for path in sequence.frames:
        try:
            data = read_bytes(path)
            sizes.append(decode_image(data, path).shape)
        except BadInput as error:
            problems.append(_damage(error, path, sequence))
            continue
        if note := _misnamed(path, data):
            notes.append(note)
    if len(set(sizes)) > 1:
        what = "its frames differ in size; one sequence must have one size"
        hint = f"restore the images of {sequence.name} in {sequence.path}"
        problems.append(Problem(sequence.path, what, sequence.name, hint=hint))
    return len(sizes), problems, notes


def _damage(error: BadInput, path: Path, sequence: LabelledSequence) -> Problem:
    return Problem.of(error, path, sequence.name, f"restore {path} from where the data set came from")


def _misnamed(path: Path, data: bytes) -> str | None:
    known = read_header(data).format
    if path.suffix.lower() in SUFFIXES[known]:
        return None
    return f"{path}: is a {known} inside, and read as one"
