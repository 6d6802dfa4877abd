"""``face-strnn backbones``."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.pretrain import scores_in_words
from face_strnn.cli.progress import Step, progress
from face_strnn.report.formatting import percent

if TYPE_CHECKING:
    from data_prep.backbones.known_weights import KnownWeights
    from data_prep.backbones.weights import Weights
    from data_prep.pretraining.image_test import ImageTest
    from face_strnn.experiments.compare_stores import StoreChoice


def backbones(
    file: str | None = None,
    images: Path | None = None,
    faces: Literal["mtcnn", "given"] = "mtcnn",
    compare: bool = False,
    features: list[str] | None = None,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    partial: bool = False,
    jobs: int = 1,
    json: bool = False,
) -> None:
    """List the known weights of backbones, identify and test one, or compare feature stores of several backbones.

    Args:
        file: weights file to identify, or a name such as faces.
        images: folder of labelled images, as `pretrain` has it, on which the weights' classifier of frames is tested;
            of a folder with a test part that part.
        faces: of --images: mtcnn finds them; given: the images are the crops, such as 48 x 48 faces.
        compare: choose the best of the stores of --features, inside the training folds only.
        features: for --compare: two feature stores or more, of one data set.
        protocol: for --compare: how subjects are assigned to the outer folds.
        folds: for --compare: number of folds of the protocols interleaved and contiguous.
        partial: for --compare: use feature stores that are not complete.
        jobs: of --images: processes that cut faces; -1 for one per core.
        json: print one JSON object and nothing else.
    """
    if compare != (features is not None):
        raise BadInput("--compare and --features belong together: give both, with two feature stores or more")
    if compare and file:
        raise BadInput(f"{file}: a file of weights is no feature store; give it without --compare")
    if images is not None and file is None:
        raise BadInput("--images: say which weights to test on them, such as `face-strnn backbones faces --images DIR`")
    if compare:
        _compare(features, protocol, folds, partial, json)
    elif images is not None:
        _test(file, images, faces, jobs, json)
    elif file:
        _identify(file, json)
    else:
        _list(json)


def _compare(features: list[str], protocol: str, folds: int, partial: bool, json: bool) -> None:
    from data_prep.store.store import FeatureStore
    from face_strnn.experiments.compare_stores import choose_store

    stores = [FeatureStore.open(Path(path)) for path in features]
    with progress() as show:

        def tested(store: int, fold: int, n_folds: int) -> None:
            stage = f"store {store} of {len(stores)} ({stores[store - 1].folder.name})"
            show(Step(stage, fold, n_folds, "outer fold", each=True, part=store, parts=len(stores)))

        choice = choose_store(stores, protocol, folds, partial, progress=tested)
    if json:
        print(dumps(choice.as_json(), indent=2))
    else:
        print_store_choice(choice)


def _test(source: str, images: Path, faces: Literal["mtcnn", "given"], jobs: int, json: bool) -> None:
    from data_prep.device import compute_device
    from data_prep.pretraining.image_test import classify_images

    if jobs != -1 and jobs < 1:
        raise BadInput(f"--jobs {jobs}: give 1 or more, or -1 for one per core")
    with progress() as show:

        def cut(stage: str, done: int, whole: int, _: str = "") -> None:
            show(Step(stage, done, whole, ""))

        tested = classify_images(source, images, faces, jobs, compute_device(), cut)
    if json:
        print(dumps(asdict(tested) | {"accuracy_interval": tested.scores.accuracy_interval}, indent=2))
    else:
        print_image_test(tested)


def _identify(source: str, json: bool) -> None:
    from data_prep.backbones.known_weights import recognised_file
    from data_prep.backbones.weights import PUBLISHED, load_file, load_weights

    recognised = load_weights(source) if source in PUBLISHED else load_file(Path(source))
    if json:
        print(dumps(recognised_file(recognised), indent=2))
    else:
        print_recognised(recognised)


def _list(json: bool) -> None:
    from data_prep.backbones.known_weights import known_weights

    if json:
        print(dumps({"weights": [one.as_json() for one in known_weights()]}, indent=2))
    else:
        print_known_weights(known_weights())


def print_known_weights(known: Sequence["KnownWeights"]) -> None:
    """Print the weights that the program can load."""
    for one in known:
        takes = str(one.preprocessing) if one.preprocessing else "what its header says"
        lines = {
            "what": one.what,
            "backbones": ", ".join(one.architectures),
            "source": one.source,
            "licence": one.licence,
            "trained on": f"{one.input_pixels} x {one.input_pixels} pixels, {takes}",
            "on real faces": one.real_faces,
            "to get it": one.obtain,
        }
        if one.here is not None:
            lines["on this machine"] = ", ".join(one.here) or "no"
        console.print(f"[b]--weights {escape(one.weights)}[/b]", highlight=False)
        for name, text in lines.items():
            console.print(f"  {name}: {text}", markup=False, highlight=False, soft_wrap=True)
    console.print("`face-strnn backbones FILE` says what a file of weights is.", highlight=False)


def print_recognised(weights: "Weights") -> None:
    """Print what weights were recognised as."""
    from data_prep.backbones.evidence import real_face_evidence

    default = "" if weights.says_preprocessing else ", the default of this form; --preprocessing sets another"
    blocks = "" if weights.n_blocks is None else f", its first {weights.n_blocks} blocks"
    lines = {
        "recognised as": weights.form,
        "backbone": f"{weights.architecture}{blocks}",
        "takes": f"{weights.preprocessing}{default}",
        "SHA-256": weights.sha256,
        "on real faces": real_face_evidence(weights),
    }
    if weights.head:
        lines["classifier"] = f"of single frames, on {weights.head.maps}: {', '.join(weights.head.classes)}"
    for name, text in {**lines, **weights.facts}.items():
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)


def print_image_test(tested: "ImageTest") -> None:
    """Print how well a weights file's classifier does on a folder of images."""
    table = Table("class")
    for heading in ("images", "recall %"):
        table.add_column(heading, justify="right")
    for emotion, n in tested.n_images.items():
        recall = tested.scores.recalls.get(emotion)
        table.add_row(emotion, str(n), "unknown to the classifier" if recall is None else percent(recall))
    console.print(table)
    n, accuracy, interval, recall = scores_in_words(tested.scores)
    what = "the test part" if tested.part == "test" else "all images"
    console.print(
        f"{tested.weights} on {what} of {tested.images}, frame by frame: {n} faces, accuracy {accuracy} % "
        f"({interval}), mean class recall {recall} %",
        markup=False,
        soft_wrap=True,
    )
    left_out = {"no face found": tested.without_face, "damaged or unknown": tested.damaged}
    for why, count in left_out.items():
        if count:
            console.print(f"left out: {count}, {why}", style="yellow", soft_wrap=True)
    for note in tested.notes:
        console.print(note, markup=False, soft_wrap=True)


def print_store_choice(choice: "StoreChoice") -> None:
    """Print which of several feature stores the training folds would choose."""
    table = Table("store")
    for heading in ("inner accuracy %", "std over inner folds", "chosen by outer folds"):
        table.add_column(heading, justify="right")
    for one in choice.as_json()["stores"]:
        folds = ", ".join(map(str, one["chosen_by_folds"])) or "none"
        figures = (percent(one["inner_accuracy"]), percent(one["std_over_inner_folds"]))
        table.add_row(escape(one["store"]), *figures, folds)
    unfolded().print(table)
    console.print(choice.as_json()["note"], highlight=False)
