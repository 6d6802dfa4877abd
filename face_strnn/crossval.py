"""Cross-validation of an STRNN: from a feature store to a run folder."""

import json
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import BaseCrossValidator
from torch import Tensor

from data_prep.errors import BadInput, DataWarning
from data_prep.problems import PROBLEMS_FILE, read_damaged
from data_prep.store import FeatureStore
from data_prep.whole_files import write_text_whole
from face_strnn.baselines import BASELINES
from face_strnn.config import Config
from face_strnn.gpu_memory import networks_that_fit
from face_strnn.metrics import accuracy, summarise
from face_strnn.network import STRNN
from face_strnn.protocols import Augmentation, Protocol, Selection, splitter
from face_strnn.run_folder import checkpoint_name, read_summary, take_folder
from face_strnn.samples import Samples, channel_moments, names_sha256
from face_strnn.spatial import scan_path
from face_strnn.training import Epoch, Member, Stack, train

NETWORKS_PER_STACK = 10
"""Networks that are trained together on a CPU. Their states take about 30 MB each per batch of 16 sequences."""

SEQUENCES_PER_TEST_BATCH = 16


def cross_validate(
    store: FeatureStore,
    out: Path,
    config: Config,
    protocol: Protocol = "interleaved",
    n_folds: int = 10,
    selection: Selection = "last",
    seed: int = 0,
    n_seeds: int = 1,
    device: torch.device | str = "cpu",
    command: str = "",
    progress: Callable[[Stack], None] | None = None,
    augmentation: Augmentation = "rotations",
) -> dict[str, Any]:
    """Train and test one network per fold and seed and write the run folder, all but its figures and page.

    Warns (:mod:`warnings`) by name of classes that a fold's network is never taught.

    A run that was interrupted is taken up where it stopped: finished folds are kept, and folds in training go on after
    the last epoch that they finished. A finished run is left as it is.

    Args:
        store: the features.
        out: the run folder; made where it is missing.
        config: the settings.
        protocol: how subjects are dealt to folds.
        n_folds: number of folds of the protocols that have one.
        selection: which epoch is tested: ``"last"``; ``"inner"``: the best on a share of the training subjects
            (those of the following fold), which the network is then not taught; ``"oracle"``: the best on the test
            subjects themselves, not comparable with anything.
        seed: of the initial parameters; the first one where there are several.
        n_seeds: number of times that every fold is trained, with seeds from ``seed`` upwards.
        device: where the networks are trained.
        command: how to repeat the run; stands in the summary.
        progress: called after every epoch of a stack of folds.
        augmentation: ``"none"`` leaves out the rotated copies that the features hold.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        BadInput: ``out`` holds another run or something else; fewer subjects than folds; maps of other sizes than the
            network; a damaged store or checkpoint.
    """
    started = time.perf_counter()
    if n_seeds < 1:
        raise BadInput(f"--seeds {n_seeds}: every fold is trained at least once")
    samples = Samples.of(store).learned_with(augmentation)
    _require_sizes(samples, config)
    damaged = read_damaged(store.folder / PROBLEMS_FILE)
    folds = splitter(protocol, n_folds, samples.subjects.tolist(), samples.given_folds.tolist())
    assignment = _assign(samples, folds)
    seeds = range(seed, seed + n_seeds)
    settings = {
        "data": store.recipe["data"],
        "features": {
            "fingerprint": store.fingerprint,
            "rotations": sorted(set(samples.rotations.tolist())),
            "samples_sha256": samples.sha256(),
        },
        "protocol": protocol,
        "folds": len(assignment),
        "selection": selection,
        "seed": seed,
        "seeds": n_seeds,
        "augmentation": augmentation,
        **asdict(config),
    }
    members = [
        _member(samples, assignment, fold, one_seed, selection) for one_seed in seeds for fold in range(len(assignment))
    ]
    take_folder(out, settings)
    (out / "checkpoints").mkdir(exist_ok=True)
    lacking = _lacking_classes(samples, members)
    if _is_finished(out, members):
        return read_summary(out)
    for one in lacking:
        warnings.warn(one, DataWarning, stacklevel=2)
    write_text_whole(out / "folds.csv", _folds_table(samples, assignment, selection).to_csv(index=False))
    checkpoints = _train_members(members, samples, config, out / "checkpoints", settings, device, progress)
    models = [STRNN.load(checkpoint) for checkpoint in checkpoints]
    write_text_whole(out / "history.csv", _history_table(models, selection).to_csv(index=False))
    predictions = _test(samples, assignment, members, models, config)
    write_text_whole(out / "predictions.csv", predictions.to_csv(index=False))
    summary = {
        "data": store.recipe["data"],
        "protocol": protocol,
        "selection": selection,
        "seed": seed,
        "seeds": n_seeds,
        "variant": config.network.variant,
        "augmentation": augmentation,
        "epochs": config.training.epochs,
        "classes": list(samples.class_names),
        **summarise(predictions, samples.class_names),
        "seed_accuracies": [accuracy(rows) for _, rows in predictions.groupby("seed")],
        "n_samples": len(samples),
        "left_out": store.left_out(),
        "damaged": damaged,
        "warnings": lacking,
        "baselines": _baselines(samples, folds),
        "features": {**store.recipe, **settings["features"]},
        "spatial_scan": scan_path(config, device),
        "versions": _versions(),
        "command": command,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_text_whole(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _require_sizes(samples: Samples, config: Config) -> None:
    found = tuple(samples[0].shape[1:])
    expected = (*config.network.grid, config.network.input_size)
    if found != expected:
        raise BadInput(
            f"{samples.store.folder}: its maps are {' x '.join(map(str, found))} and the network takes "
            f"{' x '.join(map(str, expected))}; set network.grid and network.input_size to those of the maps"
        )
    if config.network.n_classes != len(samples.class_names):
        raise BadInput(
            f"network.n_classes is {config.network.n_classes} and the data has {len(samples.class_names)} classes; "
            "leave it at its default"
        )


def _assign(samples: Samples, folds: BaseCrossValidator) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold the numbers of its training samples, rotated copies among them, and of its test samples."""
    numbers = np.arange(len(samples))
    if len(set(samples.subjects)) < 2:
        raise BadInput(f"{samples.store.folder}: holds one subject; a subject-independent test needs at least 2")
    assignment = []
    for train_numbers, test_numbers in folds.split(numbers, groups=samples.subjects):
        assignment.append((train_numbers, np.intersect1d(test_numbers, samples.unrotated)))
    return assignment


def _is_finished(out: Path, members: Sequence[Member]) -> bool:
    """Whether a run with these settings has been here to its end, and its models are whole."""
    tables = [out / name for name in ("summary.json", "predictions.csv", "history.csv", "folds.csv")]
    checkpoints = [out / "checkpoints" / checkpoint_name(m.fold, m.seed, members[0].seed) for m in members]
    if not all(file.is_file() for file in (*tables, *checkpoints)):
        return False
    for checkpoint in checkpoints:
        STRNN.load(checkpoint)
    return True


def _member(
    samples: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]], fold: int, seed: int, selection: Selection
) -> Member:
    taught, watched = _roles(samples, assignment, fold, selection)
    return Member(fold + 1, seed, taught, watched)


def _roles(
    samples: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]], fold: int, selection: Selection
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which samples a fold's network is taught, and which choose its epoch."""
    train_numbers, test_numbers = assignment[fold]
    taught = np.zeros(len(samples), bool)
    taught[train_numbers] = True
    if selection == "last":
        return taught, None
    watched = np.zeros(len(samples), bool)
    if selection == "oracle":
        watched[test_numbers] = True
        return taught, watched
    validation = assignment[(fold + 1) % len(assignment)][1]
    watched[validation] = True
    # The validation subjects' rotated copies are not taught either.
    taught &= ~np.isin(samples.subjects, samples.subjects[validation])
    if not taught.any():
        raise BadInput("--selection inner needs at least 3 folds: one to test, one to choose the epoch, one to learn")
    return taught, watched


def _train_members(
    members: Sequence[Member],
    samples: Samples,
    config: Config,
    folder: Path,
    settings: dict[str, Any],
    device: torch.device | str,
    progress: Callable[[Stack], None] | None,
) -> list[Path]:
    """Train what is not trained yet; return the members' checkpoints."""
    checkpoints = [folder / checkpoint_name(m.fold, m.seed, first_seed=members[0].seed) for m in members]
    moments: Tensor | None = None
    for first, last in _stacks(len(members), _stack_size(samples, config, device), folder):
        if all(checkpoint.is_file() for checkpoint in checkpoints[first:last]):
            continue
        if moments is None:
            moments = channel_moments(samples)
        state_file = folder / f"networks-{first + 1:02d}-{last:02d}.training"
        stack = train(members[first:last], samples, samples.labels, moments, config, state_file, progress, device)
        for checkpoint, member, model in zip(checkpoints[first:last], stack.members, stack.models(), strict=True):
            history = [epoch for epoch in stack.history if (epoch.fold, epoch.seed) == (member.fold, member.seed)]
            model.save(
                checkpoint,
                # What an audit holds against the protocol: who this network is and what it was really taught.
                fold=str(member.fold),
                seed=str(member.seed),
                selection=settings["selection"],
                epoch=str(_kept_epoch(history)),
                taught_sha256=names_sha256(samples.names(member.taught)),
                watched_sha256="" if member.watched is None else names_sha256(samples.names(member.watched)),
                samples_sha256=settings["features"]["samples_sha256"],
                history=json.dumps([asdict(epoch) for epoch in history]),
                classes=json.dumps(samples.class_names),
                features=settings["features"]["fingerprint"],
                data=settings["data"],
                interpolation=config.training.interpolation,
            )
        state_file.unlink()
    return checkpoints


def _stack_size(samples: Samples, config: Config, device: torch.device | str) -> int:
    if torch.device(device).type == "cpu":
        return NETWORKS_PER_STACK
    longest = sorted(entry.frames for entry in samples.entries)[-config.training.batch_size :]
    return networks_that_fit(config, sum(longest), torch.cuda.mem_get_info(device)[0])


def _stacks(n_members: int, size: int, folder: Path) -> list[tuple[int, int]]:
    """Deal the networks to stacks of ``size``, but leave stacks together whose training was begun."""
    begun = {}
    for file in folder.glob("networks-*.training"):
        first, last = map(int, file.stem.split("-")[1:])
        begun[first - 1] = last
    stacks, first = [], 0
    while first < n_members:
        end = min([first + size, n_members, *(other for other in begun if other > first)])
        last = begun.get(first, end)
        stacks.append((first, last))
        first = last
    return stacks


def _lacking_classes(samples: Samples, members: Sequence[Member]) -> list[str]:
    """Say by name which classes a fold's network is never shown: it cannot recognise them."""
    said = []
    labels = samples.labels.numpy()
    for fold, member in {member.fold: member for member in members}.items():
        lacking = [name for number, name in enumerate(samples.class_names) if number not in labels[member.taught]]
        if lacking:
            said.append(f"fold {fold}: no training sequence shows {', '.join(lacking)}; its network cannot learn it")
    if said and len(said) == len({member.fold for member in members}) and len({one.split(":")[1] for one in said}) == 1:
        return [f"all folds:{said[0].split(':', 1)[1]}"]
    return said


def _kept_epoch(history: Sequence[Epoch]) -> int:
    if history[-1].watched_accuracy is None:
        return history[-1].epoch
    return max(history, key=lambda epoch: (epoch.watched_accuracy, -(epoch.watched_cross_entropy or 0.0))).epoch


def _history_table(models: Sequence[STRNN], selection: Selection) -> pd.DataFrame:
    history = pd.DataFrame([epoch for model in models for epoch in json.loads(model.facts["history"])])
    watched = {"inner": "validation", "oracle": "test"}
    if selection in watched:
        return history.rename(columns=lambda name: name.replace("watched", watched[selection]))
    return history.drop(columns=["watched_accuracy", "watched_cross_entropy"], errors="ignore")


@torch.inference_mode()
def _test(
    samples: Samples,
    assignment: Sequence[tuple[np.ndarray, np.ndarray]],
    members: Sequence[Member],
    models: Sequence[STRNN],
    config: Config,
) -> pd.DataFrame:
    rows = []
    for member, model in zip(members, models, strict=True):
        test = assignment[member.fold - 1][1]
        for batch in np.array_split(test, -(-len(test) // SEQUENCES_PER_TEST_BATCH)):
            outputs = model.logits_of_sequences([samples[n] for n in batch], config.training.interpolation)
            for n, probabilities in zip(batch, outputs.double().softmax(1).tolist(), strict=True):
                entry = samples.entries[n]
                prediction = samples.class_names[int(np.argmax(probabilities))]
                row = (entry.sequence, entry.subject, member.fold, member.seed, entry.emotion, prediction)
                rows.append((*row, *probabilities))
    probabilities_of = [f"p_{name}" for name in samples.class_names]
    columns = ["sequence", "subject", "fold", "seed", "truth", "prediction", *probabilities_of]
    return pd.DataFrame(rows, columns=columns).sort_values(["seed", "sequence"], kind="stable")


def _folds_table(
    samples: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]], selection: Selection
) -> pd.DataFrame:
    """Every sample's role in every fold: train, test, or validation (which chooses the epoch)."""
    rows = []
    for fold, (_, test) in enumerate(assignment):
        taught, watched = _roles(samples, assignment, fold, selection)
        roles = {"train": np.flatnonzero(taught), "test": test}
        if selection == "inner":
            roles["validation"] = np.flatnonzero(watched)
        for role, numbers in roles.items():
            for entry in (samples.entries[n] for n in numbers):
                rows.append((fold + 1, entry.sequence, entry.subject, entry.emotion, entry.rotation, role))
    return pd.DataFrame(rows, columns=["fold", "sequence", "subject", "emotion", "rotation", "role"])


def _baselines(samples: Samples, folds: BaseCrossValidator) -> list[dict[str, Any]]:
    tested = {name: test(samples, folds) for name, test in BASELINES.items()}
    kept = ("accuracy", "accuracy_interval", "mean_class_recall")
    results = {name: summarise(predictions, samples.class_names) for name, predictions in tested.items()}
    return [{"name": name, **{key: result[key] for key in kept}} for name, result in results.items()]


def _versions() -> dict[str, str]:
    packages = ("face-strnn", "torch", "torchvision", "facenet-pytorch", "albumentations", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
