"""``contents.json``: what a store should hold, and, once its writer has finished, what it holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput

CONTENTS_FILE = "contents.json"
_AGAIN = "delete it and run the same `face-strnn prepare` again"


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
            contents = TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise BadInput(f"{path}: damaged ({' '.join(str(error).split())[:200]}); {_AGAIN}") from error
        if contents.complete and not contents.files:
            raise BadInput(f"{path}: damaged (names none of the store's files); {_AGAIN}")
        return contents

    def write(self, folder: Path) -> None:
        """Write ``contents.json`` atomically."""
        write_text_whole(folder / CONTENTS_FILE, json.dumps(asdict(self), indent=1) + "\n")
