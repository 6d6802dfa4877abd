"""Preprocessing: from pixels to a network's input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

PreprocessingName = Literal["imagenet", "caffe", "vggface", "vggface-bgr"]
"""Names for files that do not state their preprocessing; see :data:`PREPROCESSINGS`."""


@dataclass(frozen=True)
class Preprocessing:
    """From pixels to a network's input: ``(pixel * scale - mean) / std`` per channel.

    Attributes:
        channels: ``"RGB"`` or ``"BGR"``, the order of the network's input, of ``mean`` and of ``std``.
        scale: factor for pixels from 0 to 255.
        mean, std: three numbers each, after scaling.
    """

    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Convert uint8 images (n, side, side, 3), RGB, to float32 (n, 3, side, side) in channels-last memory."""
        if self.channels == "BGR":
            images = images.flip(-1)
        mean, std = images.new_tensor([self.mean, self.std], dtype=torch.float32)
        return ((images.float() * self.scale - mean) / std).permute(0, 3, 1, 2)

    def as_json(self) -> list[object]:
        """Return channels, scale, mean and std as a feature store's recipe contains them."""
        return [self.channels, self.scale, list(self.mean), list(self.std)]

    @classmethod
    def of_json(cls, values: Sequence[Any]) -> "Preprocessing":
        """Return the preprocessing from the values of :meth:`as_json`.

        Raises:
            TypeError, ValueError: these are no such values.
        """
        channels, scale, mean, std = values
        if channels not in ("RGB", "BGR") or len(mean) != 3 or len(std) != 3 or not all(std):
            raise ValueError("not channels, scale, mean and std of a preprocessing")
        return cls(channels, float(scale), tuple(map(float, mean)), tuple(map(float, std)))

    def __str__(self) -> str:
        """For example ``"RGB x 1/255 - (0.485, 0.456, 0.406), / (0.229, 0.224, 0.225)"``."""
        scale = "" if self.scale == 1 else " x 1/255" if self.scale == 1 / 255 else f" x {self.scale:g}"
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std))
        if set(self.std) == {1.0}:
            return f"{self.channels}{scale} - ({mean})"
        return f"{self.channels}{scale} - ({mean}), / ({std})"


NEUTRAL = Preprocessing("RGB", 1 / 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
"""Of networks that learn from scratch: one scale for all channels, so that grey stays grey."""

_ONES = (1.0, 1.0, 1.0)
_FACES = (129.1863, 104.7624, 93.5940)
"""Mean of the red, green and blue pixels of VGG-Face's training images."""

PREPROCESSINGS: dict[PreprocessingName, Preprocessing] = {
    "imagenet": Preprocessing("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Preprocessing("BGR", 1.0, (103.939, 116.779, 123.68), _ONES),
    "vggface": Preprocessing("RGB", 1.0, _FACES, _ONES),
    "vggface-bgr": Preprocessing("BGR", 1.0, _FACES[::-1], _ONES),
}
"""Torchvision's for ImageNet; that of the Caffe models of Simonyan and Zisserman (2015), also used by Keras; that of
VGG-Face (Parkhi, Vedaldi and Zisserman 2015) in MatConvNet, and in Caffe, Torch 7 and Keras."""
