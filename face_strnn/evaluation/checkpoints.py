"""The checkpoints of a run: one network for each fold and seed."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_prep.errors import BadInput
from face_strnn.evaluation.settings import RunSettings
from face_strnn.evaluation.summary import RESUME
from face_strnn.models.strnn import STRNN
from face_strnn.training.machine import MACHINE_FACTS, Machine

FOLDER = "checkpoints"

FACTS = frozenset({
    "fold", "seed", "selection", "epoch", "train_sha256", "validation_sha256", "samples_sha256", "history", "classes",
    "features", "data", "interpolation", "stack", "machines",
})  # fmt: skip
"""The facts in the header of every network, beside its sizes."""

_BACKBONE_SUFFIX = ".backbone.safetensors"


def checkpoint_name(fold: int, seed: int, first_seed: int) -> str:
    """Return the name of the file that holds the network of a fold, from 1, and a seed."""
    suffix = "" if seed == first_seed else f"-seed-{seed}"
    return f"fold-{fold:02d}{suffix}.safetensors"


def checkpoint_paths(run: Path, settings: RunSettings) -> dict[tuple[int, int], Path]:
    """Return where the network of each (fold, seed) is, or will be: seed by seed, in order of the folds."""
    return {
        (fold, seed): run / FOLDER / checkpoint_name(fold, seed, settings.seed)
        for seed in settings.all_seeds
        for fold in range(1, settings.folds + 1)
    }


def backbone_file(checkpoint: Path) -> Path:
    """Return the file of a fine-tuned network's backbone weights, beside its checkpoint."""
    return checkpoint.with_suffix(_BACKBONE_SUFFIX)


def checkpoint_files(run: Path) -> list[Path]:
    """Return the checkpoints that are in a run, in order of their names, without the weights of backbones."""
    files = sorted((run / FOLDER).glob("fold-*.safetensors"))
    return [file for file in files if not file.name.endswith(_BACKBONE_SUFFIX)]


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network of a run, with the facts in its file.

    Attributes:
        path: the file.
        fold, seed: from the file's name.
        model: the network; the header's facts are in ``model.facts``.
        history: one row per epoch, from the header.
        classes: the class names in the order of the network's outputs.
        stack: (fold, seed) of the networks that were trained together, itself among them.
        machines: the kinds of machine that trained it, see :func:`face_strnn.training.machine.kind_of_machine`; several
            where an interrupted training was resumed elsewhere.
    """

    path: Path
    fold: int
    seed: int
    model: STRNN
    history: pd.DataFrame
    classes: list[str]
    stack: list[tuple[int, int]]
    machines: list[Machine]

    @classmethod
    def load(cls, path: Path, fold: int, seed: int) -> "TrainedNetwork":
        """Load a network.

        Raises:
            BadInput: the file is missing, damaged or edited.
        """
        model = STRNN.load(path)
        if lacking := sorted(FACTS - model.facts.keys()):
            raise BadInput(f"{path}: its header lacks {', '.join(lacking)}; delete it and {RESUME}")
        try:
            history = pd.DataFrame(json.loads(model.facts["history"]))
            classes = json.loads(model.facts["classes"])
            history[["fold", "seed", "epoch", "validation_accuracy"]]
            stack = [(int(fold), int(seed)) for fold, seed in json.loads(model.facts["stack"])]
            machines = [
                {str(key): str(value) for key, value in one.items()} for one in json.loads(model.facts["machines"])
            ]
            if not machines or any(machine.keys() != MACHINE_FACTS for machine in machines):
                raise ValueError("machines name what trained the network")
            if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
                raise TypeError("classes are a list of names")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadInput(
                f"{path}: its header has no history, classes, stack or machines ({error}); the file was edited"
            ) from error
        if len(classes) != model.config.n_classes:
            raise BadInput(
                f"{path}: names {len(classes)} classes and has {model.config.n_classes}; the file was edited"
            )
        return cls(path, fold, seed, model, history, classes, stack, machines)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


def load_networks(run: Path, settings: RunSettings) -> tuple[list[TrainedNetwork], list[str]]:
    """Load every network of a run.

    Returns:
        The intact networks, in the order of :func:`checkpoint_paths`, and the problems of the others and of files that
        belong to no network.
    """
    paths = checkpoint_paths(run, settings)
    known = {*paths.values(), *(map(backbone_file, paths.values()) if settings.is_finetuned else ())}
    strays = sorted(path.name for path in (run / FOLDER).glob("*.safetensors") if path not in known)
    problems = [f"{run / FOLDER}: {', '.join(strays)} belong to no fold and seed of config.yaml"] if strays else []
    networks = []
    for (fold, seed), path in paths.items():
        try:
            networks.append(TrainedNetwork.load(path, fold, seed))
        except BadInput as error:
            problems.append(str(error))
    return networks, problems
