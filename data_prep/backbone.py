"""The frozen VGG that turns a face crop into pooling maps."""

from dataclasses import dataclass

import torch
import torchvision.models
from torch import nn

from data_prep.errors import BadInput
from data_prep.weights import Preprocessing, Weights, load_weights

ARCHITECTURES = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))

CROP_PIXELS = {"pool5": 224, "pool4": 112}
"""Maps -> side of the crops from which they are 7 x 7 x 512."""

FRAMES_PER_BATCH = 32


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor.

    Attributes:
        architecture: torchvision's name, for example ``"vgg16"``.
        maps: ``"pool5"`` or ``"pool4"``.
        weights: name and checksum of the weights.
        features: the network's layers up to and with that pooling layer, on ``device``, in evaluation mode.
        device: where it runs.
    """

    architecture: str
    maps: str
    weights: Weights
    features: nn.Sequential
    device: torch.device

    @property
    def crop_pixels(self) -> int:
        """Side of the crops that it takes."""
        return CROP_PIXELS[self.maps]

    @property
    def preprocessing(self) -> Preprocessing:
        """What it does to pixels first."""
        return self.weights.preprocessing

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooling maps of face crops.

        Args:
            images: uint8 (n, side, side, 3), RGB, with the side of :attr:`crop_pixels`.

        Returns:
            float16 (n, 7, 7, 512) on the CPU.

        Raises:
            BadInput: a value does not fit float16, the type in which maps are stored.
        """
        batches = []
        for batch in images.split(FRAMES_PER_BATCH):
            maps = self.features(self.preprocessing(batch.to(self.device)))
            # In channels-last memory this is a view: (n, channels, h, w) -> (n, h, w, channels).
            batches.append(maps.permute(0, 2, 3, 1).half().cpu())
        maps = torch.cat(batches).contiguous()
        if not maps.isfinite().all():
            raise BadInput(
                f"weights {self.weights.name}: {self.maps} of {self.architecture} exceed float16's range, 65504; "
                "scale the last layers' weights down, or take others"
            )
        return maps


def load_backbone(
    architecture: str = "vgg16", weights: str = "imagenet", maps: str = "pool5", device: torch.device | str = "cpu"
) -> Backbone:
    """Load a pretrained VGG up to its fourth or fifth pooling layer.

    Args:
        architecture: one of :data:`ARCHITECTURES`.
        weights: see :func:`data_prep.weights.load_weights`.
        maps: ``"pool5"``, the paper's, from 224 x 224 pixels, or ``"pool4"`` from 112 x 112; both are 7 x 7 x 512.
        device: where it runs.

    Raises:
        BadInput: unknown architecture or maps, no such weights, or weights of another architecture.
    """
    if architecture not in ARCHITECTURES:
        raise BadInput(f"no backbone named {architecture}; there are {', '.join(ARCHITECTURES)}")
    if maps not in CROP_PIXELS:
        raise BadInput(f"no maps named {maps}; there are {', '.join(CROP_PIXELS)}")
    loaded = load_weights(weights, architecture)
    with torch.device("meta"):  # shapes only: the unused classifier alone would take a second and 480 MB
        features = getattr(torchvision.models, architecture)(weights=None, init_weights=False).features
    _check_shapes(features.state_dict(), loaded, architecture)
    # A counter of training steps that plays no part here, and that old files lack.
    counters = {name: torch.tensor(0) for name in features.state_dict() if name.endswith("num_batches_tracked")}
    features.load_state_dict({**counters, **loaded.state}, assign=True)
    pools = [place for place, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    features = features[: pools[int(maps.removeprefix("pool")) - 1] + 1]
    features = features.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return Backbone(architecture, maps, loaded, features, torch.device(device))


def _check_shapes(expected: dict[str, torch.Tensor], weights: Weights, architecture: str) -> None:
    for name, tensor in expected.items():
        found = weights.state.get(name)
        if name.endswith("num_batches_tracked"):
            continue
        if found is None or found.shape != tensor.shape:
            shape = "absent" if found is None else f"of shape {tuple(found.shape)}"
            raise BadInput(
                f"weights {weights.name}: not those of a {architecture}: features.{name} is {shape} "
                f"and should be {tuple(tensor.shape)}; give --backbone the architecture of the file"
            )
    surplus = sorted(set(weights.state) - set(expected))
    if surplus:
        raise BadInput(
            f"weights {weights.name}: not those of a {architecture}: features.{surplus[0]} has no place in it; "
            "give --backbone the architecture of the file"
        )
