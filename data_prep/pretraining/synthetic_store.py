"""Synthetic people on disk during training: drawn once, with everything that does not change in training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from data_prep.backbones.split import SplitBackbone
from data_prep.errors import BadInput
from data_prep.pretraining.recording_style import Style
from data_prep.pretraining.synthetic_people import FACES_OF, Movements, Purpose, SyntheticPerson, draw_person
from data_prep.pretraining.work_folder import tensors_of
from data_prep.tensor_files import write_tensors

PEOPLE_PER_FILE = 8

FILES_AHEAD = 64
"""How far drawing may run ahead of the network: what is drawn and not yet taken lies in memory, a MB or four a file."""

_NAMES = {"below", "units", "landmarks", "emotions"}
"""Tensors of every file."""


@dataclass(frozen=True, eq=False)
class SyntheticBatch:
    """Faces of some people, the faces of each person consecutive.

    Attributes:
        below: what the learning part of a backbone sees, (n, channels, h, w), or pixels uint8 (n, side, side, 3) where
            all of it learns.
        starting: maps of the backbone as it was at first, float32 (n, channels, h, w); None from scratch.
        units, landmarks, emotions: see :class:`data_prep.pretraining.synthetic_people.SyntheticPerson`, (n, ...).
    """

    below: Tensor
    starting: Tensor | None
    units: Tensor
    landmarks: Tensor
    emotions: Tensor


@dataclass(frozen=True)
class SyntheticStore:
    """People drawn for one purpose, in files of eight.

    Attributes:
        folder: of the files.
        purpose, movements, style: see :func:`data_prep.pretraining.synthetic_people.draw_person`.
        people: how many.
        seed: of the drawing.
    """

    folder: Path
    purpose: Purpose
    people: int
    seed: int
    movements: Movements = "mixed"
    style: Style = "varied"

    @property
    def faces_each(self) -> int:
        """Faces of a person."""
        return FACES_OF[self.movements]

    def draw(self, backbone: SplitBackbone, pixels: int, jobs: int, progress: Callable[[int], None]) -> None:
        """Draw what is missing, in worker processes, while this one computes the lower blocks' maps.

        Args:
            backbone: as it is at first.
            pixels: side of the crops.
            jobs: processes that draw; -1 for one per core.
            progress: called after each file with the number of faces in it.

        Raises:
            BadInput: a map exceeds float16, the type of stored maps.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, self.people, PEOPLE_PER_FILE)
        files = [range(start, min(start + PEOPLE_PER_FILE, self.people)) for start in starts]
        missing = [numbers for numbers in files if not self._is_whole(numbers)]
        progress(self.faces_each * (self.people - sum(map(len, missing))))
        draw = joblib.delayed(partial(_draw, self.seed, self.purpose, pixels, self.movements, self.style))
        with joblib.Parallel(n_jobs=jobs, return_as="generator") as parallel:
            for first in range(0, len(missing), FILES_AHEAD):
                ahead = missing[first : first + FILES_AHEAD]
                for numbers, people in zip(ahead, parallel(draw(numbers) for numbers in ahead), strict=True):
                    self._write(self._path(numbers[0]), people, backbone)
                    progress(self.faces_each * len(numbers))

    def batch(self, people: Sequence[int]) -> SyntheticBatch:
        """Read all faces of some people, in the order given.

        Raises:
            BadInput: a file holds NaN or infinity.
        """
        parts: dict[str, list[Tensor]] = {}
        for person in people:
            first = person % PEOPLE_PER_FILE * self.faces_each
            with safe_open(self._path(person), "pt") as file:
                for name in file.keys():  # noqa: SIM118 it is no mapping
                    values = file.get_slice(name)[first : first + self.faces_each]
                    if values.is_floating_point() and not values.isfinite().all():
                        raise BadInput(
                            f"{self._path(person)}: its {name} hold NaN or infinity; delete it and run the same "
                            "`face-strnn pretrain` again"
                        )
                    parts.setdefault(name, []).append(values)
        tensors = {name: torch.cat(of_people) for name, of_people in parts.items()}
        below = tensors["below"] if tensors["below"].dtype == torch.uint8 else _channels_last(tensors["below"])
        starting = _channels_last(tensors["starting"]) if "starting" in tensors else None
        return SyntheticBatch(below, starting, tensors["units"], tensors["landmarks"], tensors["emotions"])

    def _is_whole(self, numbers: range) -> bool:
        found = tensors_of(self._path(numbers[0]))
        n_faces = len(numbers) * self.faces_each
        return found.keys() >= _NAMES and all(shape[:1] == [n_faces] for _, shape in found.values())

    def _path(self, person: int) -> Path:
        return self.folder / f"{self.purpose}-{self.style}-{person // PEOPLE_PER_FILE:06}.safetensors"

    def _write(self, path: Path, people: Sequence[SyntheticPerson], backbone: SplitBackbone) -> None:
        images = torch.from_numpy(np.concatenate([person.images for person in people]))
        tensors = {
            name: torch.from_numpy(np.concatenate([getattr(person, name) for person in people]))
            for name in ("units", "landmarks", "emotions")
        }
        if backbone.from_scratch:
            tensors["below"] = images
        else:
            below = backbone.frozen_maps(images)
            tensors["below"], tensors["starting"] = _half(below), _half(backbone.starting_maps(below))
            if not all(tensors[name].isfinite().all() for name in ("below", "starting")):
                raise BadInput(
                    f"weights {backbone.whole.weights.name}: their maps of drawn faces exceed float16's range, 65504; "
                    "scale the layers' weights down, or take others"
                )
        write_tensors(path, tensors, {"synthetic": "true"})


def _draw(
    seed: int, purpose: Purpose, pixels: int, movements: Movements, style: Style, numbers: Sequence[int]
) -> list[SyntheticPerson]:
    return [draw_person(seed, purpose, number, pixels, movements, style) for number in numbers]


def _half(maps: Tensor) -> Tensor:
    """(n, channels, h, w) -> float16 (n, h, w, channels), half the size on disk."""
    return maps.permute(0, 2, 3, 1).half().cpu().contiguous()


def _channels_last(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2).float()
