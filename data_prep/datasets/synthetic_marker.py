"""The file that marks a copy of CK+'s layout as drawn, and how it is read."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import BadInput

MARKER = "SYNTHETIC.txt"
SUBJECTS = 118


@dataclass(frozen=True)
class Marker:
    """What the marker file says.

    Attributes:
        subjects: how many of the 118 subjects, from the first.
        seed: what the drawing's randomness comes from.
        generator: version of the drawing program.
    """

    subjects: int
    seed: int
    generator: int


def read_marker(root: Path) -> Marker | None:
    """Read the marker of a stand-in data set; None when the folder has none, and so is not synthetic.

    Raises:
        BadInput: the marker is there but cannot be read as one.
    """
    path = Path(root) / MARKER
    if not path.is_file():
        return None
    try:
        pairs = [line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line]
        values = {key.strip(): value.strip() for key, value in pairs}
        return Marker(int(values["subjects"]), int(values["seed"]), int(values["generator"]))
    except (KeyError, ValueError, OSError):
        raise BadInput(
            f"{path}: marks the folder as synthetic, but its subjects, seed and generator cannot be read.\n"
            "Remove the folder and write the stand-in data set again."
        ) from None


def is_synthetic(root: Path) -> bool:
    """Whether a folder is a stand-in data set, finished or not."""
    return (Path(root) / MARKER).is_file()
