"""The work folder of an unfinished pretraining, from which the same command resumes."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from data_prep.store.lock import LOCK_FILES, sole_writer

Measured = TypeVar("Measured")


class WorkFolder:
    """The folder ``OUT.unfinished``; :func:`work_folder` opens it.

    Args:
        out: the file that is being made.
        settings: what shapes it; the header of the finished file repeats it.
    """

    def __init__(self, out: Path, settings: Mapping[str, object]) -> None:
        self.folder = out.with_name(f"{out.name}.unfinished")
        self._settings = json.dumps(dict(settings), sort_keys=True)

    def begin(self) -> None:
        """Make the folder, or resume it.

        Raises:
            BadInput: it belongs to other settings or to no pretraining, or cannot be made.
        """
        kept = self.folder / "settings.json"
        if kept.is_file():
            if kept.read_bytes() != self._settings.encode():
                raise BadInput(
                    f"{self.folder}: holds an unfinished pretraining with other settings ({kept.name} has them); "
                    "repeat that command, remove the folder, or give another --out"
                )
            return
        if self.folder.exists() and not (self.folder.is_dir() and self._holds_only_locks()):
            raise BadInput(f"{self.folder}: is there and belongs to no pretraining; move it away or give another --out")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{self.folder}: cannot be made ({error.strerror}); give an --out that can be") from error
        write_text_whole(kept, self._settings)

    @property
    def facts(self) -> dict[str, str]:
        """What the finished file says about how it was made."""
        return {"settings": self._settings}

    def once(self, name: str, kind: type[Measured], measure: Callable[[], Measured]) -> Measured:
        """Return what was measured before, a dataclass, or measure it and keep it, also where the file is damaged."""
        path = self.folder / f"{name}.json"
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except (OSError, ValidationError):
            measured = measure()
            write_text_whole(path, json.dumps(asdict(measured)))
            return measured

    def _holds_only_locks(self) -> bool:
        return all(path.match(LOCK_FILES) for path in self.folder.iterdir())


@contextmanager
def work_folder(out: Path, settings: Mapping[str, object]) -> Iterator[WorkFolder]:
    """Yield the work folder of a file; it goes when the block ends, and stays when something stops it.

    Other processes are kept out of it while the block runs.

    Args:
        out, settings: see :class:`WorkFolder`.

    Raises:
        BadInput: see :meth:`WorkFolder.begin`; or another process is at work in it.
    """
    work = WorkFolder(out, settings)
    work.begin()
    with sole_writer(work.folder, "pretrain"):
        work.begin()  # another process may have finished and removed it in between
        yield work
        shutil.rmtree(work.folder)


def finished(out: Path, settings: Mapping[str, object]) -> dict[str, str] | None:
    """Return the header's facts of a file that was made with these settings; None where there is no file.

    Raises:
        BadInput: the file is there and is another thing, or cannot be written.
    """
    if out.suffix != ".safetensors":
        raise BadInput(f"--out {out}: give a name that ends in .safetensors, as --weights of `prepare` asks for")
    if not out.exists():
        return None
    try:
        with safe_open(out, "pt") as file:
            facts = file.metadata() or {}
    except (SafetensorError, OSError):
        facts = {}
    if facts.get("settings") != json.dumps(dict(settings), sort_keys=True):
        raise BadInput(f"{out}: is there and was not made with these settings; remove it or give another --out")
    return facts


def read_facts(path: Path, facts: Mapping[str, str], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the header of a finished file says in JSON.

    Args:
        path: the file.
        facts: of its header.
        kinds: type of each fact that is read, by its name.

    Raises:
        BadInput: a fact is missing or of another type.
    """
    read = {}
    for name, kind in kinds.items():
        try:
            read[name] = TypeAdapter(kind).validate_json(facts[name])
        except (KeyError, UnicodeEncodeError, ValidationError) as error:
            raise BadInput(
                f"{path}: its header's {name} is missing or not what pretraining writes: the file was edited; "
                "remove it or give another --out"
            ) from error
    return read


def tensors_of(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of a file's tensors by name; none where it is absent or damaged, and to be made anew."""
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 it is no mapping
            return {name: (values.get_dtype(), values.get_shape()) for name, values in slices.items()}
    except (SafetensorError, OSError):
        return {}
