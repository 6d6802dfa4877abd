"""Options of preparing a data set, apart from its backbone."""

from dataclasses import dataclass
from typing import Literal, get_args

from data_prep.errors import BadInput
from data_prep.faces.crops import MARGIN, CropKind, require_crop
from data_prep.faces.variants import ROTATIONS, Variant, variants_of

Faces = Literal["mtcnn", "given"]
"""Where the faces come from: found by MTCNN, or the images are the crops."""

SMALLEST, LARGEST = 16, 512
"""Side in pixels of crops that are made without maps: less shows no face, more is beyond what data sets hold."""


@dataclass(frozen=True)
class PrepareOptions:
    """Which crops, variants and tables :func:`data_prep.preparation.pipeline.prepare` makes.

    Attributes:
        rotations: degrees of the copies beside the original sequence, with up to one decimal; empty for none.
        flip: also make a flipped copy of the original sequence and of every rotated one.
        crop, margin: see :func:`data_prep.faces.crops.crops_of`.
        faces: ``"mtcnn"``, or ``"given"``: the images are the crops.
        pixels: side of the crops where they are made alone; None with a backbone, which says it.
        keep_crops: also store every sequence's face crops, see :mod:`data_prep.store.crop_store`: a training that
            changes the backbone starts from them. Crops that are made alone are stored in any case.
        contact_sheet: draw one, which shows subjects' faces; without it, an earlier one is deleted.
        strict: stop at the first problem.
        device: where the detector runs; None for where the backbone runs, and the CPU without one.

    Raises:
        BadInput: a value is out of range.
    """

    rotations: tuple[float, ...] = ROTATIONS
    flip: bool = False
    crop: CropKind = "per-sequence"
    margin: float = MARGIN
    faces: Faces = "mtcnn"
    pixels: int | None = None
    keep_crops: bool = False
    contact_sheet: bool = False
    strict: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        variants_of(self.rotations, self.flip)
        require_crop(self.crop, self.margin)
        if self.faces not in get_args(Faces):
            raise BadInput(f"--faces {self.faces}: must be one of {', '.join(get_args(Faces))}")
        if self.faces == "given" and (self.crop, self.margin) != ("per-sequence", MARGIN):
            raise BadInput("--faces given: the images are the crops; omit --crop and --margin")
        if self.pixels is not None and not SMALLEST <= self.pixels <= LARGEST:
            raise BadInput(f"--pixels {self.pixels}: must be from {SMALLEST} to {LARGEST}")

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that are made of every sequence, the original first."""
        return variants_of(self.rotations, self.flip)


DEFAULT = PrepareOptions()
"""The paper's four rotated copies, per-sequence crops, faces found."""
