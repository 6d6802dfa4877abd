"""The work folder of an unfinished pretraining, from which the same command resumes."""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput


class WorkFolder(AbstractContextManager["WorkFolder"]):
    """The folder ``OUT.unfinished``, which goes when all is done, and stays when something stops it.

    Args:
        out: the file that is being made.
        settings: what shapes it; the header of the finished file repeats it.

    Raises:
        BadInput: the folder belongs to other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, object]) -> None:
        self.folder = out.with_name(f"{out.name}.unfinished")
        self._settings = json.dumps(dict(settings), sort_keys=True)
        kept = self.folder / "settings.json"
        if kept.is_file():
            if kept.read_text(encoding="utf-8") != self._settings:
                raise BadInput(
                    f"{self.folder}: holds an unfinished pretraining with other settings ({kept.name} has them); "
                    "repeat that command, remove the folder, or give another --out"
                )
            return
        if self.folder.exists():
            raise BadInput(f"{self.folder}: is there and belongs to no pretraining; move it away or give another --out")
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise BadInput(f"{self.folder}: cannot be made ({error.strerror}); give an --out that can be") from error
        write_text_whole(kept, self._settings)

    @property
    def facts(self) -> dict[str, str]:
        """What the finished file says about how it was made."""
        return {"settings": self._settings}

    def once(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what was measured before, or measure it and keep it."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            write_text_whole(path, json.dumps(measure()))
        return json.loads(path.read_text(encoding="utf-8"))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self.folder)


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
