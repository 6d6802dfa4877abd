"""The faces of labelled images, cut out once and kept on disk while a backbone learns from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.faces.crops import extract_crop, resize_whole, sequence_crop
from data_prep.faces.detection import FaceDetector
from data_prep.media.images import read_image
from data_prep.preparation.options import Faces
from data_prep.pretraining.labelled_images import LabelledImage
from data_prep.pretraining.work_folder import tensors_of
from data_prep.tensor_files import write_tensors

IMAGES_PER_FILE = 64

_DAMAGED, _NO_FACE, _CUT = 0, 1, 2


@dataclass(frozen=True)
class LabelledCrops:
    """Crops of images, in files of 64.

    Attributes:
        folder: of the files.
        images: whose faces they are, in this order.
        faces: whether MTCNN finds the faces, or the images are the crops.
        pixels: side of the crops.
    """

    folder: Path
    images: Sequence[LabelledImage]
    faces: Faces
    pixels: int

    def extract(self, jobs: int, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Extract the missing crops.

        Args:
            jobs: processes, each with its own detector; -1 for one per core.
            progress: called after each file with the number of images that are done, and of all.
        """
        starts = range(0, len(self.images), IMAGES_PER_FILE)
        missing = [start for start in starts if not self._is_whole(start)]
        done = len(self.images) - sum(len(self._of_file(start)) for start in missing)
        progress(done, len(self.images))
        work = (joblib.delayed(_crops)(self._of_file(start), self.faces, self.pixels) for start in missing)
        for start, (crops, status) in zip(
            missing, joblib.Parallel(n_jobs=jobs, return_as="generator")(work), strict=True
        ):
            tensors = {"crops": torch.from_numpy(crops), "outcomes": torch.from_numpy(status)}
            write_tensors(self._path(start), tensors, {})
            done += len(status)
            progress(done, len(self.images))

    def outcomes(self) -> tuple[list[int], list[LabelledImage], list[LabelledImage]]:
        """Return the indices of the images with a crop, the images that cannot be decoded, and those without a face."""
        codes: list[int] = []
        for start in range(0, len(self.images), IMAGES_PER_FILE):
            with safe_open(self._path(start), "pt") as file:
                codes += file.get_tensor("outcomes").tolist()
        indices = {code: [index for index, found in enumerate(codes) if found == code] for code in range(3)}
        damaged, faceless = ([self.images[index] for index in indices[code]] for code in (_DAMAGED, _NO_FACE))
        return indices[_CUT], damaged, faceless

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Read crops uint8 (n, pixels, pixels, 3), RGB, and their emotions' codes int64 (n,)."""
        crops = []
        for index in indices:
            with safe_open(self._path(index), "pt") as file:
                first = index % IMAGES_PER_FILE
                crops.append(file.get_slice("crops")[first : first + 1])
        return torch.cat(crops), torch.tensor([self.images[index].code for index in indices])

    def are_grey(self) -> bool:
        """Whether red, green and blue are equal in every crop."""
        for start in range(0, len(self.images), IMAGES_PER_FILE):
            with safe_open(self._path(start), "pt") as file:
                crops = file.get_tensor("crops")
            if not ((crops[..., 0] == crops[..., 1]) & (crops[..., 1] == crops[..., 2])).all():
                return False
        return True

    def _is_whole(self, start: int) -> bool:
        n, side = len(self._of_file(start)), self.pixels
        whole = {"crops": ("U8", [n, side, side, 3]), "outcomes": ("U8", [n])}
        return tensors_of(self._path(start)) == whole

    def _of_file(self, start: int) -> list[LabelledImage]:
        return list(self.images[start : start + IMAGES_PER_FILE])

    def _path(self, index: int) -> Path:
        return self.folder / f"crops-{index // IMAGES_PER_FILE:06}.safetensors"


def _crops(images: Sequence[LabelledImage], faces: Faces, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops of images, black where there is none, and what became of each."""
    crops = np.zeros((len(images), pixels, pixels, 3), np.uint8)
    status = np.zeros(len(images), np.uint8)
    for index, image in enumerate(images):
        try:
            pixels_of_image = read_image(image.path)
        except BadInput:
            continue  # decoded once more when it is named
        if faces == "given":
            crops[index], status[index] = resize_whole(pixels_of_image, pixels), _CUT
            continue
        # The quick search first: it finds nearly every face of a portrait, at a tenth of the cost.
        found = _detector().detect([pixels_of_image])[0] or _detector().detect([pixels_of_image], thorough=True)[0]
        status[index] = _NO_FACE
        if found:
            crops[index] = extract_crop(pixels_of_image, sequence_crop([found[0].box]), pixels)
            status[index] = _CUT
    return crops, status


@cache
def _detector() -> FaceDetector:
    return FaceDetector()
