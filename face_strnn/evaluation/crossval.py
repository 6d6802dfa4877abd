"""Cross-validation of an STRNN: from a feature store to a run folder."""

import json
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import BaseCrossValidator
from torch import Tensor

from data_prep.atomic_files import write_text_whole
from data_prep.datasets.problems import PROBLEMS_FILE, read_damaged
from data_prep.errors import BadInput, DataWarning
from data_prep.store.store import FeatureStore
from face_strnn.config import Augmentation, Config, Protocol, Selection
from face_strnn.evaluation.baselines import BASELINES
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.predictions import (
    MEMBERS_FILE,
    ensemble_answers,
    member_figures,
    sequence_answers,
    tested_words,
)
from face_strnn.evaluation.protocols import splitter
from face_strnn.evaluation.run_folder import checkpoint_name, read_summary, take_folder
from face_strnn.models.spatial import scan_backend
from face_strnn.models.strnn import STRNN
from face_strnn.training.gpu_memory import networks_that_fit
from face_strnn.training.samples import Samples, channel_moments, names_sha256
from face_strnn.training.stack import Epoch, Member, Stack, train

NETWORKS_PER_STACK = 10
"""Networks that are trained together on a CPU. Their states take about 30 MB each per batch of 16 sequences."""


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
    augmentation: Augmentation = "all",
    test_average: bool = False,
    ensemble: bool = False,
) -> dict[str, Any]:
    """Train and test one network per fold and seed and write the run folder, all but its figures and page.

    Warns (:mod:`warnings`) by name of classes that a fold's network is never taught.

    A run that was interrupted is taken up where it stopped: finished folds are kept, and folds in training go on after
    the last epoch that they finished. A finished run is left as it is.

    Args:
        store: the features.
        out: the run folder; made where it is missing.
        config: the settings; sizes that are None become those of the features.
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
        augmentation: ``"all"`` takes every variant that the features hold in every epoch, ``"one"`` one of each
            sequence, drawn anew for every epoch, ``"none"`` only the sequences as they were taken.
        test_average: answer a test sequence by the mean over all its variants, and not by itself alone.
        ensemble: answer it by the mean over the networks of all seeds, and not by each.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        BadInput: ``out`` holds another run or something else; fewer subjects than folds; maps of other sizes than the
            network; a damaged store or checkpoint; variants are asked for and the features have one, or an ensemble
            and there is one seed.
    """
    started = time.perf_counter()
    if n_seeds < 1:
        raise BadInput(f"--seeds {n_seeds}: every fold is trained at least once")
    if ensemble and n_seeds == 1:
        raise BadInput("--ensemble: --seeds 1 has one network for a fold; give --seeds 2 or more, or leave it out")
    stored = Samples.of(store)
    _require_variants(stored, augmentation, test_average)
    samples = stored.learned_with(augmentation)
    tested = stored if test_average else stored.as_taken()
    config = config_for(samples, config)
    damaged = read_damaged(store.folder / PROBLEMS_FILE)
    folds = splitter(protocol, n_folds, samples.subjects.tolist(), samples.given_folds.tolist())
    assignment = _assign(samples, folds)
    seeds = range(seed, seed + n_seeds)
    settings = {
        "data": store.recipe["data"],
        "features": {
            "fingerprint": store.fingerprint,
            **samples.variant_facts(),
            "samples_sha256": samples.sha256(),
        },
        "protocol": protocol,
        "folds": len(assignment),
        "selection": selection,
        "seed": seed,
        "seeds": n_seeds,
        "augmentation": augmentation,
        "test_average": test_average,
        "ensemble": ensemble,
        **asdict(config),
    }
    members = [
        _member(samples, assignment, fold, one_seed, selection) for one_seed in seeds for fold in range(len(assignment))
    ]
    take_folder(out, settings)
    (out / "checkpoints").mkdir(exist_ok=True)
    lacking = _lacking_classes(samples, members)
    if _is_finished(out, members, ensemble):
        return read_summary(out)
    for one in lacking:
        warnings.warn(one, DataWarning, stacklevel=2)
    write_text_whole(out / "folds.csv", _folds_table(samples, tested, assignment, selection).to_csv(index=False))
    checkpoints = _train_members(members, samples, config, out / "checkpoints", settings, device, progress)
    models = [STRNN.load(checkpoint) for checkpoint in checkpoints]
    write_text_whole(out / "history.csv", _history_table(models, selection).to_csv(index=False))
    answers = _test(samples, tested, assignment, members, models, config)
    predictions = ensemble_answers(answers) if ensemble else answers
    if ensemble:
        write_text_whole(out / MEMBERS_FILE, answers.to_csv(index=False))
    write_text_whole(out / "predictions.csv", predictions.to_csv(index=False))
    summary = {
        "data": store.recipe["data"],
        "protocol": protocol,
        "selection": selection,
        "seed": seed,
        "seeds": n_seeds,
        "variant": config.network.variant,
        "augmentation": augmentation,
        "tested": tested_words(tested.n_variants),
        "ensemble": n_seeds if ensemble else None,
        "epochs": config.training.epochs,
        "classes": list(samples.class_names),
        **summarise(predictions, samples.class_names),
        "seed_accuracies": [accuracy(rows) for _, rows in answers.groupby("seed")],
        **({"members": member_figures(answers)} if ensemble else {}),
        "n_samples": len(samples),
        "left_out": store.left_out(),
        "damaged": damaged,
        "warnings": lacking,
        "baselines": _baselines(samples, folds),
        "features": {**store.recipe, **settings["features"]},
        "spatial_scan": scan_backend(config, device),
        "versions": _versions(),
        "command": command,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_text_whole(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _require_variants(stored: Samples, augmentation: Augmentation, test_average: bool) -> None:
    asked = "--test-average" if test_average else "--augmentation one" if augmentation == "one" else None
    if asked and stored.n_variants == 1:
        raise BadInput(
            f"{asked}: {stored.store.folder} holds one variant of every sequence; run `face-strnn prepare` with "
            "--augment, or leave it out"
        )


def config_for(samples: Samples, config: Config) -> Config:
    """Return the settings with the network's sizes that the samples give, where they are None.

    Raises:
        BadInput: a size that is set is not that of the samples, or all samples are of one class.
    """
    if len(samples.class_names) < 2:
        raise BadInput(
            f"{samples.store.folder}: all its sequences show {samples.class_names[0]}; a classifier needs two emotions"
        )
    try:
        network = config.network.for_maps(samples[0].shape[1:], len(samples.class_names))
    except BadInput as error:
        raise BadInput(f"{samples.store.folder}: {error}") from error
    return replace(config, network=network)


def _assign(samples: Samples, folds: BaseCrossValidator) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold the numbers of its training samples, all variants among them, and of its test samples."""
    numbers = np.arange(len(samples))
    if len(set(samples.subjects)) < 2:
        raise BadInput(f"{samples.store.folder}: holds one subject; a subject-independent test needs at least 2")
    assignment = []
    for train_numbers, test_numbers in folds.split(numbers, groups=samples.subjects):
        assignment.append((train_numbers, np.intersect1d(test_numbers, samples.unrotated)))
    return assignment


def _is_finished(out: Path, members: Sequence[Member], ensemble: bool) -> bool:
    """Whether a run with these settings has been here to its end, and its models are whole."""
    names = ["summary.json", "predictions.csv", "history.csv", "folds.csv", *([MEMBERS_FILE] if ensemble else [])]
    tables = [out / name for name in names]
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
    # The validation subjects' other variants are not taught either.
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
    sequences, size = None, _stack_size(samples, config, device)
    if settings["augmentation"] == "one":
        sequences = samples.sequence_numbers
    # What an epoch takes is drawn by seed: networks of another one would read other maps.
    apart = settings["folds"] if sequences is not None else len(members)
    for first, last in _stacks(len(members), size, folder, apart):
        if all(checkpoint.is_file() for checkpoint in checkpoints[first:last]):
            continue
        if moments is None:
            moments = channel_moments(samples)
        state_file = folder / f"networks-{first + 1:02d}-{last:02d}.training"
        stack = train(
            members[first:last],
            samples,
            samples.labels,
            moments,
            config,
            state_file,
            progress,
            device,
            sequences=sequences,
        )
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


def _stacks(n_members: int, size: int, folder: Path, apart: int | None = None) -> list[tuple[int, int]]:
    """Deal the networks to stacks of ``size``, but leave stacks together whose training was begun.

    No stack reaches over a multiple of ``apart``, where it is given.
    """
    begun = {}
    for file in folder.glob("networks-*.training"):
        first, last = map(int, file.stem.split("-")[1:])
        begun[first - 1] = last
    stacks, first = [], 0
    while first < n_members:
        following = (first // apart + 1) * apart if apart else n_members
        end = min([first + size, n_members, following, *(other for other in begun if other > first)])
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


def _test(
    samples: Samples,
    tested: Samples,
    assignment: Sequence[tuple[np.ndarray, np.ndarray]],
    members: Sequence[Member],
    models: Sequence[STRNN],
    config: Config,
) -> pd.DataFrame:
    rows = []
    for member, model in zip(members, models, strict=True):
        numbers = _variants_of(samples, assignment[member.fold - 1][1], tested)
        for entry, probabilities in sequence_answers(model, tested, numbers, config.training.interpolation):
            prediction = samples.class_names[int(np.argmax(probabilities))]
            row = (entry.sequence, entry.subject, member.fold, member.seed, entry.emotion, prediction)
            rows.append((*row, *probabilities.tolist()))
    probabilities_of = [f"p_{name}" for name in samples.class_names]
    columns = ["sequence", "subject", "fold", "seed", "truth", "prediction", *probabilities_of]
    return pd.DataFrame(rows, columns=columns).sort_values(["seed", "sequence"], kind="stable")


def _variants_of(samples: Samples, test: np.ndarray, tested: Samples) -> np.ndarray:
    """Numbers in ``tested`` of all variants of the sequences whose numbers in ``samples`` are ``test``."""
    names = {samples.entries[n].sequence for n in test}
    return np.flatnonzero([entry.sequence in names for entry in tested.entries])


def _folds_table(
    samples: Samples, tested: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]], selection: Selection
) -> pd.DataFrame:
    """Every sample's role in every fold: train, test, or validation (which chooses the epoch)."""
    rows = []
    for fold, (_, test) in enumerate(assignment):
        taught, watched = _roles(samples, assignment, fold, selection)
        roles = {
            "train": [samples.entries[n] for n in np.flatnonzero(taught)],
            "test": [tested.entries[n] for n in _variants_of(samples, test, tested)],
        }
        if selection == "inner":
            roles["validation"] = [samples.entries[n] for n in np.flatnonzero(watched)]
        for role, entries in roles.items():
            for one in entries:
                rows.append((fold + 1, one.sequence, one.subject, one.emotion, one.rotation, one.flip, role))
    table = pd.DataFrame(rows, columns=["fold", "sequence", "subject", "emotion", "rotation", "flip", "role"])
    return table if table["flip"].any() else table.drop(columns="flip")


def _baselines(samples: Samples, folds: BaseCrossValidator) -> list[dict[str, Any]]:
    tested = {name: test(samples, folds) for name, test in BASELINES.items()}
    kept = ("accuracy", "accuracy_interval", "mean_class_recall")
    results = {name: summarise(predictions, samples.class_names) for name, predictions in tested.items()}
    return [{"name": name, **{key: result[key] for key in kept}} for name, result in results.items()]


def _versions() -> dict[str, str]:
    packages = ("face-strnn", "torch", "torchvision", "facenet-pytorch", "albumentations", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
