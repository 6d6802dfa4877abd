"""``face-strnn pretrain``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.progress import Step, progress

THIN = "vgg16_thin_bn"

if TYPE_CHECKING:
    from data_prep.pretraining.labelled import LabelledResult
    from data_prep.pretraining.scores import Scores
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
    rate: float | None = None,
    blocks: int | None = None,
    keep: float | None = None,
    batch_size: int = 128,
    label_smoothing: float = 0.1,
    class_weights: Literal["none", "sqrt", "balanced"] = "none",
    seed: int = 0,
    jobs: int = 1,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Pretrain a backbone on faces before `prepare` freezes it: on labelled images, or on synthetic faces.

    An interrupted pretraining is resumed. Unusable images are omitted and listed in OUT.problems.csv; the status is
    then 2.

    Args:
        out: the file to write, .safetensors.
        images: folder of a folder of images for each emotion, such as anger/0001.png, neutral among them; or of parts,
            such as train/anger/0001.png; FER2013's parts are known by its file names.
        synthetic: number of synthetic faces to train on, in place of --images.
        backbone: vgg16_thin_bn, the default without --weights, vgg11, vgg13, vgg16, vgg19, or a variant such as
            vgg16_bn.
        weights: what to start from, as `prepare` has it, or scratch; by default scratch, but faces for --synthetic
            without --backbone.
        maps: the last pooling layer, which determines the crops: pool4 112 pixels, pool5 224.
        faces: of --images: mtcnn finds them; given: the images are the crops, such as 48 x 48 faces.
        epochs: in which the backbone is trained; by default 3 on synthetic faces, on images 30 from scratch and 10 from
            weights.
        rate: AdamW's highest for the uppermost block; by default 0.002 from scratch, for every block, and 0.0001 from
            weights, 0.3 of it for each block below.
        blocks: number of uppermost convolution blocks to train; by default 1 on synthetic faces, 2 on images; from
            scratch all.
        keep: weight of the distance to the initial maps in the loss; by default 0.5 on synthetic faces, 0 on images.
        batch_size: of --images: images of a step.
        label_smoothing: of --images: share of the label that is distributed over all classes.
        class_weights: of --images: weights of the classes in the loss: none; balanced, inverse to the number of a
            class's images; or sqrt, to its square root.
        seed: of drawing, order and random weights.
        jobs: processes that draw or cut faces; -1 for one per core. The file is the same for any number.
        precision: of the convolutions; auto is bfloat16 where the processor multiplies in it, else float32.
        device: of the network; auto is a GPU if there is one.
    """
    from data_prep.backbones.split import SCRATCH, split_backbone
    from data_prep.device import compute_device, has_bfloat16
    from data_prep.pretraining.learning import PretrainingOptions

    if (images is None) == (synthetic is None):
        raise BadInput("give either --images, a folder of labelled faces, or --synthetic, a number of faces to draw")
    _require_in_range(epochs, rate, keep, batch_size, label_smoothing, seed, jobs)
    drawn = synthetic is not None
    if drawn:
        of_images = {
            f"--faces {faces}": faces != "mtcnn",
            f"--batch-size {batch_size}": batch_size != 128,
            f"--label-smoothing {label_smoothing:g}": label_smoothing != 0.1,
            f"--class-weights {class_weights}": class_weights != "none",
        }
        for option, given in of_images.items():
            if given:
                raise BadInput(f"{option}: belongs to --images; omit it with --synthetic")
    start = weights or ("faces" if drawn and backbone is None else SCRATCH)
    scratch = start == SCRATCH
    where = compute_device(device)
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(where) else "float32"
    if blocks is None:
        blocks = int(maps.removeprefix("pool")) if scratch else 1 if drawn else 2
    network = split_backbone(backbone or (THIN if scratch else None), start, maps, blocks, seed, where, precision)
    rate = rate or (2e-3 if scratch else 1e-4)
    with progress() as show:

        def told(stage: str, done: int, whole: int, note: str = "") -> None:
            show(Step(stage, done, whole, "steps" if stage == "learning" else "", note=note))

        if drawn:
            from data_prep.pretraining.synthetic import pretrain_on_synthetic_faces

            options = PretrainingOptions(epochs or 3, rate, keep=0.5 if keep is None else keep, seed=seed)
            result = pretrain_on_synthetic_faces(network, out, synthetic, options, jobs, told)
        else:
            from data_prep.pretraining.labelled import pretrain_on_images
            from data_prep.pretraining.labelled_task import LabelledOptions

            # Pretrained blocks learn slowly, a new classifier must not.
            head_rate = rate if scratch else 1e-3
            options = PretrainingOptions(epochs or (30 if scratch else 10), rate, head_rate, keep or 0.0, seed)
            how = LabelledOptions(faces, batch_size, label_smoothing, class_weights)
            result = pretrain_on_images(network, out, images, options, how, jobs, told)
    if drawn:
        print_pretrained_on_synthetic(result)
        return
    print_pretrained_on_images(result)
    if result.problems:
        more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
        raise BadInput(
            f"{result.problems[0]}{more}\nthe file is written; what was left out is listed in {result.problems_table}"
        )


def _require_in_range(
    epochs: int | None,
    rate: float | None,
    keep: float | None,
    batch_size: int,
    label_smoothing: float,
    seed: int,
    jobs: int,
) -> None:
    if epochs is not None and epochs < 1:
        raise BadInput(f"--epochs {epochs}: give 1 or more")
    if jobs != -1 and jobs < 1:
        raise BadInput(f"--jobs {jobs}: give 1 or more, or -1 for one per core")
    if rate is not None and not 0 < rate < math.inf:
        raise BadInput(f"--rate {rate}: give a number above 0")
    if keep is not None and not 0 <= keep < math.inf:
        raise BadInput(f"--keep {keep}: give 0 or more")
    if batch_size < 2:
        raise BadInput(f"--batch-size {batch_size}: give 2 or more")
    if not 0 <= label_smoothing < 1:
        raise BadInput(f"--label-smoothing {label_smoothing}: give 0 or more, below 1")
    if seed < 0:
        raise BadInput(f"--seed {seed}: give 0 or more")


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
    table = Table("part")
    for heading in ("images", "accuracy %", "95 % interval", "mean class recall %"):
        table.add_column(heading, justify="right")
    table.add_row("train", str(result.n_train), "", "", "")
    for part, scores in (("validation", result.validation), ("test", result.test)):
        table.add_row(part, *scores_in_words(scores))
    console.print(table)
    recalls = ", ".join(f"{emotion} {100 * recall:.1f}" for emotion, recall in result.test.recalls.items())
    console.print(f"recall on the test part: {recalls}; people may be in more than one part", soft_wrap=True)
    for note in result.notes:
        console.print(note, markup=False, soft_wrap=True)
    for path in result.without_face:
        console.print(f"{path}: MTCNN finds no face: left out", style="yellow", markup=False, soft_wrap=True)
    for problem in result.problems:
        console.print(str(problem), style="red", markup=False, soft_wrap=True)
    _print_backbone(result.path)


def scores_in_words(scores: "Scores") -> tuple[str, str, str, str]:
    """Return number of images, accuracy, its interval and mean class recall, in per cent."""
    low, high = scores.accuracy_interval
    shares = (f"{100 * share:.1f}" for share in (scores.accuracy, scores.mean_class_recall))
    accuracy, recall = shares
    return str(scores.n), accuracy, f"{100 * low:.1f} to {100 * high:.1f}", recall


def _print_backbone(path: Path) -> None:
    console.print(f"[b]{escape(str(path))}[/b]: `face-strnn prepare --weights` takes it", soft_wrap=True)
