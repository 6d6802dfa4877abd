"""The VGGs that can be the STRNN's backbone: torchvision's, and a thin one with the same layers."""

import torchvision.models
from torch import nn
from torchvision.models.vgg import make_layers

from data_prep.errors import BadInput

TORCHVISION = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))

THIN = "vgg16_thin_bn"
"""VGG16's thirteen convolutions with half the channels and batch norm: a quarter of the work."""

ARCHITECTURES = (*TORCHVISION, THIN)

_THIN_LAYERS = [32, 32, "M", 64, 64, "M", 128, 128, 128, "M", 256, 256, 256, "M", 256, 256, 256, "M"]
"""Channels of each convolution; M is a pooling layer that halves height and width."""


def feature_layers(architecture: str) -> nn.Sequential:
    """Return the convolutions and pooling layers of a network, newly initialised, on PyTorch's default device.

    Args:
        architecture: one of :data:`ARCHITECTURES`.

    Raises:
        BadInput: unknown architecture.
    """
    if architecture == THIN:
        return make_layers(_THIN_LAYERS, batch_norm=True)
    if architecture not in TORCHVISION:
        raise BadInput(f"no backbone named {architecture}; there are {', '.join(ARCHITECTURES)}")
    # Skip the initialisation of the classifier: it is discarded, and its weights are most of the network's.
    return getattr(torchvision.models, architecture)(weights=None, init_weights=False).features
