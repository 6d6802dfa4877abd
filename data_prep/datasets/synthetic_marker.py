"""The file that marks a folder in CK+'s layout as synthetic."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import BadInput

MARKER = "SYNTHETIC.txt"
SUBJECTS = 118


@dataclass(frozen=True)
class Marker:
    """Content of the marker file.

    Attributes:
        subjects: number of subjects, the first of the 118.
        seed: of the random numbers.
        generator: version of the generator.
    """

    subjects: int
    seed: int
    generator: int


def read_marker(root: Path) -> Marker | None:
    """Read the marker of a synthetic data set; None if the folder has none and so is not synthetic.

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
            "Remove the folder and write the synthetic data set again."
        ) from None


def is_synthetic(root: Path) -> bool:
    """Whether a folder is a synthetic data set, complete or not."""
    return (Path(root) / MARKER).is_file()
