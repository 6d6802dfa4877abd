"""The face crops of a store's sequences, kept for a training that goes back to the pixels.

One file for each sequence in the folder ``crops`` of a store, without rotated copies. They show subjects' faces.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from data_prep.backbones.backbone import grid_of
from data_prep.backbones.preprocessing import PREPROCESSINGS
from data_prep.backbones.weights import PUBLISHED
from data_prep.errors import BadInput
from data_prep.faces.crops import MARGIN
from data_prep.store.store import FeatureStore, StoredSequence
from data_prep.tensor_files import tensor_in_parts

FOLDER = "crops"
TENSOR = "crops"


def crops_in_parts(
    store: FeatureStore, entry: StoredSequence, side: int
) -> AbstractContextManager[Callable[[torch.Tensor], None]]:
    """Write a sequence's crops some frames at a time, whole or not at all.

    Args:
        store: where they go.
        entry: the facts about the unrotated sequence, with the number of frames.
        side: of the crops with their room, in pixels.

    Returns:
        A context in which a function takes the next part, uint8 (n, side, side, 3).
    """
    path = _path(store, entry.sequence)
    path.parent.mkdir(exist_ok=True)
    shape = (entry.frames, side, side, 3)
    return tensor_in_parts(path, TENSOR, shape, _facts(store, entry), torch.uint8)


def holds_crops(store: FeatureStore, entry: StoredSequence) -> bool:
    """Whether the crops of exactly this unrotated sequence are there, whole and made from the same files."""
    try:
        with safe_open(_path(store, entry.sequence), framework="pt") as file:
            shape = file.get_slice(TENSOR).get_shape()
            return shape[0] == entry.frames and file.metadata() == _facts(store, entry)
    except (SafetensorError, OSError):
        return False


def read_crops(store: FeatureStore, entry: StoredSequence) -> torch.Tensor:
    """Return a sequence's crops, mapped from the file, not read into memory.

    Args:
        store: where they are.
        entry: the unrotated sequence.

    Returns:
        uint8 (frames, n, n, 3), RGB, n the side of the backbone's crops with :data:`data_prep.faces.variants.ROOM`
        around.

    Raises:
        BadInput: they are not there, damaged, or of other images.
    """
    if not holds_crops(store, entry):
        path = _path(store, entry.sequence)
        what = "damaged, or of other images than the maps" if path.is_file() else "does not exist"
        raise BadInput(f"{path}: {what}; {_remedy(store)}")
    with safe_open(_path(store, entry.sequence), framework="pt") as file:
        return file.get_tensor(TENSOR)


def require_crops(store: FeatureStore, entries: Sequence[StoredSequence]) -> None:
    """Refuse a store that lacks crops.

    Args:
        store: the store.
        entries: the unrotated sequences whose crops are needed.

    Raises:
        BadInput: crops are missing, damaged or of other images; the message says how to make them.
    """
    lacking = [entry.sequence for entry in entries if not holds_crops(store, entry)]
    if lacking:
        raise BadInput(
            f"{store.folder}: holds no face crops of {len(lacking)} of {len(entries)} sequences "
            f"({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); {_remedy(store)}"
        )


def command_that_keeps_crops(store: FeatureStore) -> str:
    """Return the `prepare` that adds the crops to a store, as far as the store's recipe tells it.

    It makes no variants: those that are there stay. Where the data set lies, and where a file of weights, the recipe
    does not know.
    """
    recipe, square = store.recipe, store.recipe["crop"]
    options = [
        *("--out", str(store.folder.parent), "--backbone", recipe["backbone"], "--weights", recipe["weights"]),
        *("--maps", recipe["maps"]),
    ]
    if grid_of(recipe["maps"], square["pixels"]) != 7:
        options += ["--grid", "14"]
    if recipe["weights"] not in PUBLISHED:
        named = [name for name, value in PREPROCESSINGS.items() if value.as_json() == recipe["preprocessing"]]
        options += ["--preprocessing", *named] if named else []
    if square["detector"] == "given":
        options += ["--faces", "given"]
    else:
        options += ["--crop", "per-sequence" if square["per"] == "sequence" else square["per"]]
        options += ["--margin", str(square["margin"])] if square["margin"] != MARGIN else []
    options += ["--precision", recipe["precision"]] if "precision" in recipe else []
    return shlex.join(["face-strnn", "prepare", "--root", "DATA", *options, "--augment", "none", "--keep-crops"])


def _remedy(store: FeatureStore) -> str:
    try:
        command = command_that_keeps_crops(store)
    except (KeyError, TypeError, ValueError):  # of a recipe that `prepare` did not write
        return "run `face-strnn prepare` as before, with --keep-crops: the maps that are there are kept"
    return f"run `{command}`, with --dataset where it was given: the maps and variants that are there are kept"


def remove_outdated_crops(store: FeatureStore, sequence: str, current: StoredSequence | None = None) -> None:
    """Delete a sequence's crops where they are damaged or not of what ``current`` says; None deletes them.

    The number of frames is not compared: it is not known of a video before it is decoded.
    """
    path = _path(store, sequence)
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
    except (SafetensorError, OSError):
        found = {}
    if current is None or found != {**_facts(store, current), "frames": found.get("frames")}:
        path.unlink()


def _path(store: FeatureStore, sequence: str) -> Path:
    return store.folder / FOLDER / f"{sequence}.safetensors"


def _facts(store: FeatureStore, entry: StoredSequence) -> dict[str, str]:
    return {name: str(value) for name, value in entry.facts().items()} | {"fingerprint": store.fingerprint}
