"""``face-strnn pretrain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.progress import Step, progress

if TYPE_CHECKING:
    from data_prep.pretraining.labelled import LabelledResult
    from data_prep.pretraining.synthetic import SyntheticResult


def pretrain(
    out: Path,
    images: Path | None = None,
    synthetic: int | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    maps: Literal["pool5", "pool4"] = "pool4",
    faces: Literal["mtcnn", "given"] = "mtcnn",
    epochs: int | None = None,
    rate: float = 1e-4,
    blocks: int | None = None,
    keep: float | None = None,
    seed: int = 0,
    jobs: int = 1,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Pretrain a backbone on faces before `prepare` freezes it: on labelled images, or on synthetic faces.

    An interrupted pretraining is resumed. Unusable images are omitted and listed in OUT.problems.csv; the status is
    then 2.

    Args:
        out: the file to write, .safetensors.
        images: folder of a folder of images for each emotion, such as anger/0001.png; neutral is a class here.
        synthetic: number of synthetic faces to train on, in place of --images.
        backbone: vgg11, vgg13, vgg16, vgg19, a variant such as vgg16_bn, or vgg16_thin_bn; by default the weights' own.
        weights: what to start from, as `prepare` has it, or scratch; by default hed for vgg16, scratch for others.
        maps: the last pooling layer, which determines the crops: pool4 112 pixels, pool5 224.
        faces: of --images: mtcnn finds them; given: the images are the crops, such as 48 x 48 faces.
        epochs: in which the backbone is trained; by default 3 on synthetic faces, at most 20 on images.
        rate: Adam's for the uppermost block; 0.3 of it for each block below.
        blocks: number of uppermost convolution blocks to train; by default 1 on synthetic faces, 2 on images.
        keep: weight of the distance to the initial maps in the loss; by default 0.5 on synthetic faces, 0 on images.
        seed: of drawing, order and random weights.
        jobs: processes that draw or cut faces; -1 for one per core. The file is the same for any number.
        precision: of the convolutions; bfloat16 is coarser, and faster where the processor knows it.
        device: of the network; auto is a GPU if there is one.
    """
    from data_prep.backbones.split import SCRATCH, split_backbone
    from data_prep.device import compute_device
    from data_prep.pretraining.learning import PretrainingOptions

    if (images is None) == (synthetic is None):
        raise BadInput("give either --images, a folder of labelled faces, or --synthetic, a number of faces to draw")
    if epochs is not None and epochs < 1:
        raise BadInput(f"--epochs {epochs}: give 1 or more")
    if jobs != -1 and jobs < 1:
        raise BadInput(f"--jobs {jobs}: give 1 or more, or -1 for one per core")
    if synthetic is not None and faces == "given":
        raise BadInput("--faces given: belongs to --images; omit it with --synthetic")
    if rate <= 0 or (keep or 0) < 0 or seed < 0:
        raise BadInput(f"--rate {rate} must be above 0, and neither --keep {keep or 0} nor --seed {seed} below")
    drawn = synthetic is not None
    start = weights or ("hed" if backbone in (None, "vgg16") else SCRATCH)
    n_blocks = int(maps.removeprefix("pool")) if start == SCRATCH else 1 if drawn else 2
    network = split_backbone(
        backbone, start, maps, n_blocks if blocks is None else blocks, seed, compute_device(device), precision
    )
    with progress() as show:

        def told(stage: str, done: int, whole: int, note: str = "") -> None:
            show(Step(stage, done, whole, "steps" if stage == "learning" else "", note=note))

        if drawn:
            from data_prep.pretraining.synthetic import pretrain_on_synthetic_faces

            options = PretrainingOptions(epochs or 3, rate, keep=0.5 if keep is None else keep, seed=seed)
            result = pretrain_on_synthetic_faces(network, out, synthetic, options, jobs, told)
        else:
            from data_prep.pretraining.labelled import pretrain_on_images

            options = PretrainingOptions(epochs or 20, rate, keep=keep or 0.0, seed=seed)
            result = pretrain_on_images(network, out, images, options, faces, jobs, told)
    if drawn:
        print_pretrained_on_synthetic(result)
        return
    print_pretrained_on_images(result)
    if result.problems:
        more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
        raise BadInput(
            f"{result.problems[0]}{more}\nthe file is written; what was left out is listed in {result.problems_table}"
        )


def print_pretrained_on_synthetic(result: "SyntheticResult") -> None:
    """Print what ``pretrain --synthetic`` changed."""
    table = Table("accuracy of a linear classifier on unseen synthetic people, from")
    for heading in ("before %", "after %"):
        table.add_column(heading, justify="right")
    kinds = {
        "apex": "the maps of the apex",
        "change": "apex minus rest",
        "apex_unseen": "the maps of the apex, in a style not trained on",
        "change_unseen": "apex minus rest, in that style",
    }
    for kind, what in kinds.items():
        table.add_row(what, *(f"{100 * getattr(probed, kind):.1f}" for probed in (result.before, result.after)))
    console.print(table)
    chance = "14.3 % by chance. Synthetic faces: this says nothing about real ones."
    console.print(f"{result.after.n_tested} apexes, {chance}", style="bold yellow", soft_wrap=True)
    _print_backbone(result.path)


def print_pretrained_on_images(result: "LabelledResult") -> None:
    """Print the accuracy of ``pretrain --images``, and the omitted images."""
    counts = result.images
    table = Table()
    for heading in ("learned from", "choosing the epoch", "held out", "accuracy %", "mean class recall %"):
        table.add_column(heading, justify="right")
    shares = (f"{100 * share:.1f}" for share in (result.accuracy, result.mean_class_recall))
    table.add_row(*(str(counts[part]) for part in ("learning", "choosing", "held-out")), *shares)
    console.print(table)
    console.print(f"of {', '.join(result.classes)}; people may be in more than one part", soft_wrap=True)
    for path in result.without_face:
        console.print(f"{path}: MTCNN finds no face: left out", style="yellow", markup=False, soft_wrap=True)
    for problem in result.problems:
        console.print(str(problem), style="red", markup=False, soft_wrap=True)
    _print_backbone(result.path)


def _print_backbone(path: Path) -> None:
    console.print(f"[b]{escape(str(path))}[/b]: `face-strnn prepare --weights` takes it", soft_wrap=True)
