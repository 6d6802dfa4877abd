"""``contents.json``: what a store should hold, and, once its writer has finished, what it holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput

CONTENTS_FILE = "contents.json"


@dataclass(frozen=True)
class Contents:
    """The contents that the writer of a store has written down.

    Attributes:
        sequences: names of the sequences that the store should hold.
        complete: whether the writer has finished: it writes this last.
        files: BLAKE2b of the tensor in each file, by the file's name; empty until then.
    """

    sequences: tuple[str, ...]
    complete: bool = False
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Contents | None":
        """Return the contents of a store; None where nobody has written them down.

        Raises:
            BadInput: the file is damaged.
        """
        path = folder / CONTENTS_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            contents = cls(tuple(found["sequences"]), found["complete"], dict(found["files"]))
            texts = [*contents.sequences, *contents.files, *contents.files.values()]
            if not isinstance(contents.complete, bool) or not all(isinstance(text, str) for text in texts):
                raise ValueError("not as `face-strnn prepare` writes it")
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadInput(f"{path}: damaged ({error}); run the same `face-strnn prepare` again") from error
        return contents

    def write(self, folder: Path) -> None:
        """Write ``contents.json`` atomically."""
        found = {"complete": self.complete, "sequences": list(self.sequences), "files": dict(self.files)}
        write_text_whole(folder / CONTENTS_FILE, json.dumps(found, indent=1) + "\n")
