"""Learning emotions, neutral among them, from labelled crops: the mean of each channel of the maps, a linear layer."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from data_prep.backbones.split import SplitBackbone
from data_prep.datasets.emotions import EMOTION_OF_CODE

# From there, because it keeps albumentations from asking the network for a newer version.
from data_prep.faces.variants import STEEPEST, albumentations
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import Part

BATCH = 32


class LabelledTask:
    """A task of :func:`data_prep.pretraining.learning.learn`.

    Args:
        backbone: what learns; it must not have learned yet.
        crops: all cut.
        places: of the crops that there are.
        keep: weight of the mean squared difference to the starting maps, standardised by channel.
        seed: of the head, the order and the disturbances.
    """

    def __init__(
        self, backbone: SplitBackbone, crops: LabelledCrops, places: Sequence[int], keep: float, seed: int
    ) -> None:
        self.backbone, self.crops, self.keep, self.seed = backbone, crops, keep, seed
        self.places: dict[Part, list[int]] = {"learning": [], "choosing": [], "held-out": []}
        for place in places:
            self.places[crops.images[place].part].append(place)
        self.steps = -(-len(self.places["learning"]) // BATCH)
        learning = self.places["learning"]
        some = learning[:: -(-len(learning) // 64)]  # of all classes, which follow one another
        with torch.no_grad():
            # A copy, because statistics of batch norm would count this pass.
            maps = deepcopy(backbone.trained)(backbone.frozen_maps(crops.batch(some)[0]))
        deviation, self._mean = torch.std_mean(maps, dim=(0, 2, 3), keepdim=True)
        self._deviation = deviation.clamp(min=float(deviation.median()) / 10)
        channels = maps.shape[1]
        self.heads = nn.Linear(channels, len(EMOTION_OF_CODE))
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.heads.weight, std=channels**-0.5, generator=generator)
        nn.init.zeros_(self.heads.bias)
        self.heads.to(backbone.whole.device)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all crops to learn from once, mirrored, moved and relit at random."""
        learning = self.places["learning"]
        order = np.random.default_rng([self.seed, epoch]).permutation(len(learning))
        disturb = _disturbances()
        disturb.set_random_seed(int(np.random.default_rng([self.seed, epoch, 1]).integers(2**31)))
        for first in range(0, len(order), BATCH):
            crops, codes = self.crops.batch([learning[place] for place in order[first : first + BATCH]])
            yield torch.from_numpy(np.stack([disturb(image=crop)["image"] for crop in crops.numpy()])), codes

    def loss(self, batch: tuple[Tensor, Tensor], heads_only: bool) -> Tensor:
        """Return the cross entropy, plus the distance to the initial maps if ``keep`` is not zero."""
        crops, codes = batch
        below = self.backbone.frozen_maps(crops)
        with torch.set_grad_enabled(not heads_only):
            maps = self.backbone.maps(below)
        loss = functional.cross_entropy(self._answers(maps), codes.to(self.backbone.whole.device))
        if self.keep and not self.backbone.from_scratch:
            apart = (maps - self.backbone.starting_maps(below)) / self._deviation
            loss = loss + self.keep * apart.square().mean()
        return loss

    def held_out_loss(self) -> float:
        """Return the cross entropy on the validation images."""
        logits, codes = self.answers("choosing")
        return float(functional.cross_entropy(logits, codes))

    def answers(self, part: Part) -> tuple[Tensor, Tensor]:
        """Return the logits (n, 8) of a part's crops, undisturbed, and their codes (n,)."""
        logits, codes = [], []
        with self.backbone.evaluated():
            for first in range(0, len(self.places[part]), BATCH):
                crops, of_crops = self.crops.batch(self.places[part][first : first + BATCH])
                logits.append(self._answers(self.backbone.maps(crops)).cpu())
                codes.append(of_crops)
        return torch.cat(logits), torch.cat(codes)

    def _answers(self, maps: Tensor) -> Tensor:
        return self.heads(((maps - self._mean) / self._deviation).mean(dim=(2, 3)))


def _disturbances() -> albumentations.Compose:
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                rotate=(-STEEPEST, STEEPEST),
                scale=(0.9, 1.1),
                translate_percent=(-0.05, 0.05),
                border_mode=1,  # OpenCV's BORDER_REPLICATE
                p=0.8,
            ),
            albumentations.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            albumentations.CoarseDropout((1, 2), (0.08, 0.25), (0.08, 0.25), fill=90, p=0.2),
        ]
    )
