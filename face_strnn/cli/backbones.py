"""``face-strnn backbones``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.table import Table

from data_prep.errors import BadInput
from face_strnn.cli.console import console, unfolded
from face_strnn.cli.progress import Step, progress
from face_strnn.report.formatting import percent

if TYPE_CHECKING:
    from data_prep.backbones.known_weights import KnownWeights
    from data_prep.backbones.weights import Weights
    from face_strnn.experiments.compare_stores import StoreChoice


def backbones(
    file: Path | None = None,
    compare: bool = False,
    features: list[str] | None = None,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    partial: bool = False,
    json: bool = False,
) -> None:
    """List the known weights of backbones, identify a weights file, or compare feature stores of several backbones.

    Args:
        file: weights file to identify.
        compare: choose the best of the stores of --features, inside the training folds only.
        features: for --compare: two feature stores or more, of one data set.
        protocol: for --compare: how subjects are assigned to the outer folds.
        folds: for --compare: number of folds of the protocols interleaved and contiguous.
        partial: for --compare: use feature stores that are not complete.
        json: print one JSON object and nothing else.
    """
    from json import dumps

    if compare != (features is not None):
        raise BadInput("--compare and --features belong together: give both, with two feature stores or more")
    if compare and file:
        raise BadInput(f"{file}: a file of weights is no feature store; give it without --compare")
    if compare:
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
        return
    from data_prep.backbones.known_weights import known_weights, recognised_file

    if file:
        from data_prep.backbones.weights import load_file

        recognised = load_file(file)
        if json:
            print(dumps(recognised_file(recognised), indent=2))
        else:
            print_recognised(recognised)
    elif json:
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
            "trained on": f"{one.as_json()['input_pixels']} x {one.as_json()['input_pixels']} pixels, {takes}",
            "to get it": one.obtain,
        }
        if one.here is not None:
            lines["on this machine"] = ", ".join(one.here) or "no"
        console.print(f"[b]--weights {escape(one.weights)}[/b]", highlight=False)
        for name, text in lines.items():
            console.print(f"  {name}: {text}", markup=False, highlight=False, soft_wrap=True)
    console.print("`face-strnn backbones FILE` says what a file of weights is.", highlight=False)


def print_recognised(weights: "Weights") -> None:
    """Print what a file of weights was recognised as."""
    default = "" if weights.says_preprocessing else ", the default of this form; --preprocessing sets another"
    lines = {
        "recognised as": weights.form,
        "backbone": weights.architecture,
        "takes": f"{weights.preprocessing}{default}",
        "SHA-256": weights.sha256,
        **weights.facts,
    }
    for name, text in lines.items():
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)


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
