"""Access to a data set's folder that never leaves it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.emotions import emotion_named, likely_emotion
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.media.frames import image_files

_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


class DataFolder:
    """The folder of a data set's copy.

    Symbolic links that lead out of it, or nowhere, are not followed: each becomes a problem. Hidden files and folders
    (``.DS_Store``, ``._S005_001_00000001.png``), ``__MACOSX``, ``Thumbs.db`` and ``desktop.ini`` are ignored.

    Args:
        root: the folder; it may be a link itself.
        remedy: what ``--root`` must be, for the error message.

    Attributes:
        root: as given.
        notes: unexpected files and folders that were ignored.

    Raises:
        BadInput: ``root`` is not a folder.
    """

    def __init__(self, root: Path, remedy: str) -> None:
        if not root.is_dir():
            raise BadInput(f"{root}: no such folder; {remedy}")
        self.root = root
        self._real_root = root.resolve()
        self.notes: list[str] = []
        self._problems: dict[Path, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems found so far, one for each path."""
        return tuple(self._problems.values())

    def add(self, problem: Problem) -> None:
        """Record a problem, unless there is one with the same path."""
        self._problems.setdefault(problem.path, problem)

    def pass_over(self, path: Path, what: str) -> None:
        """Record a note that a file or folder is ignored."""
        self.notes.append(f"{path}: {what}, ignored")

    def entries(self, folder: Path, sequence: str = "") -> list[Path]:
        """Return the files and folders in ``folder``, in ascending order of name.

        Args:
            folder: where to look.
            sequence: name of the sequence that problems in it concern; empty if there is none or it is unknown.
        """
        try:
            found = sorted(folder.iterdir())
        except OSError as error:
            what = f"cannot be listed ({error.strerror}); check the folder and its permissions"
            self.add(Problem(folder, what, sequence, hint=f"let yourself read and enter {folder}"))
            return []
        return [entry for entry in found if self._may_be_read(entry, sequence)]

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders in ``folder``, in ascending order of name."""
        return [entry for entry in self.entries(folder) if entry.is_dir()]

    def levels(self, deepest: int, ends: re.Pattern[str] | None = None) -> Iterator[list[Path]]:
        """Yield the folders below the root, level by level.

        Args:
            deepest: number of levels.
            ends: names of folders, such as subjects', that are not yielded and not entered.
        """
        level = [self.root]
        for _ in range(deepest):
            inner = [folder for outer in level for folder in self.folders(outer)]
            level = [folder for folder in inner if not (ends and ends.fullmatch(folder.name))]
            yield level

    def holding(self, folders: Iterable[Path], names: re.Pattern[str]) -> list[Path]:
        """Return those of the folders that hold a folder with such a name."""
        return [folder for folder in folders if any(names.fullmatch(inner.name) for inner in self.folders(folder))]

    def subjects(self, folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
        """Yield the folders in ``folder`` that are named as subjects are.

        A file with such a name is a problem; files and folders with other names are ignored.
        """
        for entry in self.entries(folder):
            if not names.fullmatch(entry.name):
                self.pass_over(entry, "no subject's folder")
            elif entry.is_dir():
                yield entry
            else:
                what = "a file where the subject's folder should be; unpack the distribution again"
                hint = f"move {entry} away, and unpack the images of {entry.name} there"
                self.add(Problem(entry, what, hint=hint))

    def images(self, folder: Path, sequence: str = "") -> list[Path]:
        """Return the files with names of images in ``folder``, in the order of the numbers in the names.

        A folder with such a name is a problem; other files are ignored. Arguments are those of :meth:`entries`.
        """
        entries = self.entries(folder, sequence)
        images = image_files(entries)
        for entry in sorted({*entries} - {*images}):
            self.pass_over(entry, "no image")
        for image in images:
            if not image.is_file():
                what = "a folder where an image should be; restore the image"
                self.add(Problem(image, what, sequence, hint=f"put the image in place of {image}"))
        return [image for image in images if image.is_file()]

    def emotion_of(self, folder: Path) -> str | None:
        """Return the emotion that a folder is named after; for an unknown one, record a problem and return None."""
        try:
            return emotion_named(folder.name)
        except BadInput as unknown:
            likely = likely_emotion(folder.name) or ""
            spelled = likely.capitalize() if folder.name[0].isupper() else likely
            renamed = f"rename {folder} to {folder.with_name(spelled)}, or " if likely else ""
            what = f"{unknown}; rename the folder, or move it out of the data set"
            self.add(Problem(folder, what, hint=f"{renamed}move {folder} out of {self.root}"))
            return None

    def catalogue(self, data: str, root: Path, sequences: Mapping[str, LabelledSequence], unlabelled: int) -> Catalogue:
        """Return the catalogue of the sequences, with the problems and notes recorded so far."""
        ordered = tuple(sequences[name] for name in sorted(sequences))
        return Catalogue(data, root, ordered, unlabelled, self.problems, tuple(self.notes))

    def holds(self, path: Path) -> bool:
        """Whether a path stays within the data set when all its links and ``..`` are resolved."""
        try:
            return path.resolve().is_relative_to(self._real_root)
        except (OSError, RuntimeError, ValueError):  # a cycle of links, or an impossible file name
            return False

    def _may_be_read(self, entry: Path, sequence: str) -> bool:
        if entry.name.startswith(".") or entry.name.casefold() in _LITTER:
            return False
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            shown = entry.with_name(entry.name.encode(errors="backslashreplace").decode())
            hint = f"rename that file in {entry.parent}"
            self.add(Problem(shown, "its name is not in UTF-8; rename it", sequence, hint=hint))
            return False
        if entry.is_symlink():
            if not self.holds(entry):
                what = "a symbolic link that leads out of the data set; put the file in its place"
                self.add(Problem(entry, what, sequence, hint=f"copy {entry.readlink()} over the link {entry}"))
                return False
            if not entry.exists():
                what = "a symbolic link that leads nowhere; put the file in its place"
                self.add(Problem(entry, what, sequence, hint=f"put a file at {entry}"))
                return False
        return True
