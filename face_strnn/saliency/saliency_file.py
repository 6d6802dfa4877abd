"""``saliency.json``, read back for the page."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from data_prep.errors import BadInput

SALIENCY_FILE = "saliency.json"


class LocalisationScore(BaseModel):
    """How well one kind of saliency map finds the nodes that move; see :mod:`face_strnn.saliency.localisation`."""

    model_config = ConfigDict(extra="allow", strict=True)

    saliency: str
    kind: Literal["network", "control"]
    auc: dict[str, float | int]
    mean: float | int | None
    mean_among_moved: float | int | None


class SaliencyFile(BaseModel):
    """What a page shows of ``saliency.json``; ``localisation`` is None for data whose moving nodes are not known."""

    model_config = ConfigDict(extra="ignore")

    localisation: list[LocalisationScore] | None = None

    @field_validator("localisation")
    @classmethod
    def _of_the_same_emotions(cls, rows: list[LocalisationScore] | None) -> list[LocalisationScore] | None:
        if rows and any(row.auc.keys() != rows[0].auc.keys() for row in rows):
            raise ValueError("rows of different emotions")
        return rows


def read_saliency(run: Path) -> SaliencyFile | None:
    """Read a run's ``saliency.json``; None before ``face-strnn saliency``.

    Raises:
        BadInput: it is not JSON, or not what that command writes.
    """
    path = run / SALIENCY_FILE
    again = "delete it and run `face-strnn saliency` again"
    try:
        return SaliencyFile.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            raise BadInput(f"{path}: is not readable as JSON ({error.errors()[0]['msg']}); {again}") from error
        raise BadInput(f"{path}: its localisation is not as a run writes it; {again}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as JSON ({error}); {again}") from error
