"""Learning emotions, neutral among them, from labelled crops: the mean of each channel of the maps, a linear layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import joblib
import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from data_prep.backbones.backbone import PIXELS_PER_CELL
from data_prep.backbones.head import Head
from data_prep.backbones.split import SplitBackbone
from data_prep.datasets.emotions import EMOTION_OF_CODE

# From there, because it keeps albumentations from asking the network for a newer version.
from data_prep.faces.variants import albumentations
from data_prep.preparation.options import Faces
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import Part

ClassWeights = Literal["none", "sqrt", "balanced"]

SIZES = ((0.6, 3), (0.8, 5), (1.0, 7))
"""From scratch, up to which share of the epochs crops are shrunk to how many cells of the maps.

Small crops cost a fifth, and most of what there is to learn is in them: progressive learning, as in Tan and Le,
"EfficientNetV2", ICML 2021."""

EVALUATED_AT_ONCE = 128

MOST_WORKERS = 8
"""Processes that read and disturb crops; more do not pay with one GPU."""


@dataclass(frozen=True)
class LabelledOptions:
    """How labelled crops are learned, beside :class:`data_prep.pretraining.learning.PretrainingOptions`.

    Attributes:
        faces: ``"mtcnn"`` finds the largest in each image; ``"given"``: the images are the crops.
        batch_size: images of a step.
        label_smoothing: share of the label that is distributed over all classes.
        class_weights: of the loss: ``"none"``; ``"balanced"``: inverse to the number of a class's images; ``"sqrt"``:
            to its square root.
    """

    faces: Faces = "mtcnn"
    batch_size: int = 128
    label_smoothing: float = 0.1
    class_weights: ClassWeights = "none"


class LabelledTask:
    """A task of :func:`data_prep.pretraining.learning.learn`.

    Args:
        backbone: what learns; it must not have learned yet.
        crops: all cut.
        places: of the crops that there are.
        options: how.
        n_epochs: number of all epochs.
        keep: weight of the mean squared difference to the starting maps, standardised by channel.
        seed: of the head, the order and the disturbances.

    Attributes:
        places: of each part's crops.
        classes: the emotions that there are images of, in the order of their codes.
        heads: the linear layer.
    """

    def __init__(
        self,
        backbone: SplitBackbone,
        crops: LabelledCrops,
        places: Sequence[int],
        options: LabelledOptions,
        n_epochs: int,
        keep: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.backbone, self.crops, self.options = backbone, crops, options
        self.n_epochs, self.keep, self.seed = n_epochs, keep, seed
        self.places: dict[Part, list[int]] = {"train": [], "validation": [], "test": []}
        for place in places:
            self.places[crops.images[place].part].append(place)
        codes = sorted({crops.images[place].code for place in places})
        self.classes = tuple(EMOTION_OF_CODE[code] for code in codes)
        self._class_of_code = {code: index for index, code in enumerate(codes)}
        self.steps = -(-len(self.places["train"]) // options.batch_size)
        device = backbone.whole.device
        self._loss_weights = self._class_weights().to(device)
        channels = backbone.whole.map_shape[-1]
        self.heads = nn.Linear(channels, len(codes))
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.heads.weight, std=channels**-0.5, generator=generator)
        nn.init.zeros_(self.heads.bias)
        self.heads.to(device)
        # Of pretrained maps, whose channels differ in size; those of a network from scratch are of batch norm.
        self._mean, self._deviation = torch.zeros((), device=device), torch.ones((), device=device)
        if not backbone.from_scratch:
            train = self.places["train"]
            some = train[:: -(-len(train) // 64)]  # of all classes, which follow one another
            maps = backbone.starting_maps(backbone.frozen_maps(crops.batch(some)[0]))
            deviation, self._mean = torch.std_mean(maps, dim=(0, 2, 3))
            self._deviation = deviation.clamp(min=float(deviation.median()) / 10)

    def pixels(self, epoch: int) -> int:
        """Return the side of an epoch's crops."""
        whole = self.backbone.whole
        if not self.backbone.from_scratch:
            return whole.crop_pixels
        cells = next(cells for share, cells in SIZES if epoch < share * self.n_epochs)
        return cells * PIXELS_PER_CELL[whole.maps]

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all training crops once, mirrored, moved, relit and erased at random, and their classes."""
        train = self.places["train"]
        order = np.random.default_rng([self.seed, epoch]).permutation(len(train))
        batches = [[train[place] for place in batch] for batch in np.array_split(order, self.steps)]
        disturbed = _DisturbedBatches(self.crops, batches, self.pixels(epoch), (self.seed, epoch))
        # A batch of the loader is one item: a whole batch, disturbed from a seed of its own.
        loader = DataLoader(disturbed, batch_size=None, num_workers=_workers(), worker_init_fn=_in_one_thread)
        for crops, codes in loader:
            yield crops, self._classes_of(codes)

    def loss(self, batch: tuple[Tensor, Tensor], heads_only: bool) -> Tensor:
        """Return the cross entropy, plus the distance to the initial maps if ``keep`` is not zero."""
        crops, classes = batch
        below = self.backbone.frozen_maps(crops)
        with torch.set_grad_enabled(not heads_only):
            maps = self.backbone.maps(below)
        loss = functional.cross_entropy(
            self._logits(maps),
            classes.to(maps.device),
            weight=self._loss_weights,
            label_smoothing=self.options.label_smoothing,
        )
        if self.keep and not self.backbone.from_scratch:
            apart = (maps - self.backbone.starting_maps(below)) / self._deviation[:, None, None]
            loss = loss + self.keep * apart.square().mean()
        return loss

    def validation_loss(self, epoch: int) -> float:
        """Return the cross entropy on the validation images, of the epoch's size."""
        places, total = self.places["validation"], 0.0
        shrink = albumentations.Resize(*[self.pixels(epoch)] * 2, interpolation=cv2.INTER_AREA)
        with self.backbone.evaluated():
            for first in range(0, len(places), EVALUATED_AT_ONCE):
                crops, codes = self.crops.batch(places[first : first + EVALUATED_AT_ONCE])
                crops = torch.from_numpy(np.stack([shrink(image=crop)["image"] for crop in crops.numpy()]))
                logits = self._logits(self.backbone.maps(crops)).cpu()
                total += float(functional.cross_entropy(logits, self._classes_of(codes), reduction="sum"))
        return total / len(places)

    def head(self) -> Head:
        """Return the head for the maps as they are, without standardisation."""
        weight = (self.heads.weight / self._deviation).detach().cpu()
        bias = (self.heads.bias - weight.to(self._mean.device) @ self._mean.expand(weight.shape[1])).detach().cpu()
        return Head(weight, bias, self.classes, self.backbone.whole.maps)

    def _logits(self, maps: Tensor) -> Tensor:
        return self.heads((maps.mean(dim=(2, 3)) - self._mean) / self._deviation)

    def _classes_of(self, codes: Tensor) -> Tensor:
        return torch.tensor([self._class_of_code[code] for code in codes.tolist()])

    def _class_weights(self) -> Tensor:
        labels = [self._class_of_code[self.crops.images[place].code] for place in self.places["train"]]
        power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[self.options.class_weights]
        present = np.unique(labels)
        weights = np.ones(len(self.classes))
        weights[present] = compute_class_weight("balanced", classes=present, y=labels) ** power
        return torch.tensor(weights, dtype=torch.float32)


@dataclass(frozen=True)
class _DisturbedBatches(Dataset):
    """An epoch's batches; each is drawn from a seed of its own, whichever process draws it."""

    crops: LabelledCrops
    batches: Sequence[Sequence[int]]
    pixels: int
    seed: tuple[int, int]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if number >= len(self):
            raise IndexError(number)
        crops, codes = self.crops.batch(self.batches[number])
        disturb = _disturbances(self.pixels)
        disturb.set_random_seed(int(np.random.default_rng([*self.seed, 1, number]).integers(2**31)))
        return torch.from_numpy(np.stack([disturb(image=crop)["image"] for crop in crops.numpy()])), codes


def _workers() -> int:
    """Processes that read and disturb crops: half the cores, the others being the network's."""
    return min(max(joblib.cpu_count() // 2, 1), MOST_WORKERS)


def _in_one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def _disturbances(pixels: int) -> albumentations.Compose:
    return albumentations.Compose(
        [
            albumentations.Resize(pixels, pixels, interpolation=cv2.INTER_AREA),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                rotate=(-15, 15),
                scale=(0.85, 1.2),
                keep_ratio=True,
                translate_percent=(-0.1, 0.1),
                border_mode=cv2.BORDER_REPLICATE,
                p=0.9,
            ),
            albumentations.RandomBrightnessContrast(0.2, 0.3, p=0.7),
            # Small images are smooth when enlarged; those of other cameras are not.
            albumentations.OneOf(
                [
                    albumentations.Sharpen(alpha=(0.2, 0.5)),
                    albumentations.GaussNoise(std_range=(0.01, 0.06), per_channel=False),
                ],
                p=0.2,
            ),
            albumentations.Erasing(scale=(0.02, 0.12), ratio=(0.5, 2.0), fill=127, p=0.25),
        ]
    )
