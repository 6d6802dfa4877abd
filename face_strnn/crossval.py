"""Cross-validation of an STRNN: from a feature store to a run folder."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from sklearn.model_selection import BaseCrossValidator
from torch import Tensor

from data_prep.errors import BadInput
from data_prep.store import FeatureStore
from data_prep.whole_files import write_text_whole
from face_strnn.baselines import apex_svm, most_frequent
from face_strnn.config import Config
from face_strnn.metrics import summarise
from face_strnn.network import STRNN
from face_strnn.protocols import Protocol, splitter
from face_strnn.samples import Samples, channel_moments
from face_strnn.training import Epoch, Member, Stack, train

FOLDS_PER_STACK = 10
"""Folds that are trained together. Their states take about 60 MB each per batch of 32 sequences."""

SEQUENCES_PER_TEST_BATCH = 16


def cross_validate(
    store: FeatureStore,
    out: Path,
    config: Config,
    protocol: Protocol = "interleaved",
    n_folds: int = 10,
    seed: int = 0,
    command: str = "",
    progress: Callable[[Stack], None] | None = None,
) -> dict[str, Any]:
    """Train and test one network per fold and write the run folder, all but its figures and page.

    A run that was interrupted is taken up where it stopped: finished folds are kept, and folds in training go on after
    the last epoch that they finished.

    Args:
        store: the features.
        out: the run folder; made where it is missing.
        config: the settings.
        protocol: how subjects are dealt to folds.
        n_folds: number of folds of the protocols that have one.
        seed: of the initial parameters.
        command: how to repeat the run; stands in the summary.
        progress: called after every epoch of a stack of folds.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        BadInput: ``out`` holds another run or something else; fewer subjects than folds; maps of other sizes than the
            network; a damaged store or checkpoint.
    """
    started = time.perf_counter()
    samples = Samples.of(store)
    _require_sizes(samples, config)
    folds = splitter(protocol, n_folds)
    assignment = _assign(samples, folds)
    settings = {
        "data": store.recipe["data"],
        "features": {"fingerprint": store.fingerprint, "rotations": sorted(set(samples.rotations.tolist()))},
        "protocol": protocol,
        "folds": len(assignment),
        "selection": "last",
        "seed": seed,
        **asdict(config),
    }
    _take_folder(out, settings)
    write_text_whole(out / "folds.csv", _folds_table(samples, assignment).to_csv(index=False))
    checkpoints = _train_folds(samples, assignment, config, seed, out / "checkpoints", settings, progress)
    models = [STRNN.load(checkpoint) for checkpoint in checkpoints]
    history = [Epoch(**epoch) for model in models for epoch in json.loads(model.facts["history"])]
    write_text_whole(out / "history.csv", pd.DataFrame(map(asdict, history)).to_csv(index=False))
    predictions = _test(samples, assignment, models, config)
    write_text_whole(out / "predictions.csv", predictions.to_csv(index=False))
    summary = {
        "data": store.recipe["data"],
        "protocol": protocol,
        "selection": "last",
        "seed": seed,
        "epochs": config.training.epochs,
        "classes": list(samples.class_names),
        **summarise(predictions, samples.class_names),
        "n_samples": len(samples),
        "baselines": _baselines(samples, folds),
        "features": {**store.recipe, **settings["features"]},
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
    assignment = []
    for train_numbers, test_numbers in folds.split(numbers, groups=samples.subjects):
        assignment.append((train_numbers, np.intersect1d(test_numbers, samples.unrotated)))
    return assignment


def _take_folder(out: Path, settings: dict[str, Any]) -> None:
    """Begin a run folder, or take up the one that was begun with the same settings."""
    file = out / "config.yaml"
    text = yaml.safe_dump(json.loads(json.dumps(settings)), sort_keys=False)
    if file.is_file():
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        wanted = yaml.safe_load(text)
        if found != wanted:
            changed = [key for key in wanted if not isinstance(found, dict) or found.get(key) != wanted[key]]
            raise BadInput(
                f"{file}: this run was made with another {', '.join(changed)}; "
                "give another --out, or the same settings to take it up"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: exists and is no run folder; give another --out")
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    write_text_whole(file, text)


def _train_folds(
    samples: Samples,
    assignment: Sequence[tuple[np.ndarray, np.ndarray]],
    config: Config,
    seed: int,
    folder: Path,
    settings: dict[str, Any],
    progress: Callable[[Stack], None] | None,
) -> list[Path]:
    checkpoints = [folder / f"fold-{fold:02d}.safetensors" for fold in range(1, len(assignment) + 1)]
    moments: Tensor | None = None
    for first in range(0, len(assignment), FOLDS_PER_STACK):
        last = min(first + FOLDS_PER_STACK, len(assignment))
        if all(checkpoint.is_file() for checkpoint in checkpoints[first:last]):
            continue
        if moments is None:
            moments = channel_moments(samples)
        members = []
        for fold in range(first, last):
            taught = np.zeros(len(samples), bool)
            taught[assignment[fold][0]] = True
            members.append(Member(fold + 1, seed, taught))
        state_file = folder / f"folds-{first + 1:02d}-{last:02d}.training"
        stack = train(members, samples, samples.labels, moments, config, state_file, progress)
        for member, model in zip(members, stack.models(), strict=True):
            history = [asdict(epoch) for epoch in stack.history if epoch.fold == member.fold]
            model.save(
                checkpoints[member.fold - 1],
                history=json.dumps(history),
                classes=json.dumps(samples.class_names),
                features=settings["features"]["fingerprint"],
                data=settings["data"],
                interpolation=config.training.interpolation,
            )
        state_file.unlink()
    return checkpoints


@torch.inference_mode()
def _test(
    samples: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]], models: Sequence[STRNN], config: Config
) -> pd.DataFrame:
    rows = []
    for fold, ((_, test), model) in enumerate(zip(assignment, models, strict=True), start=1):
        for batch in np.array_split(test, -(-len(test) // SEQUENCES_PER_TEST_BATCH)):
            outputs = model.logits_of_sequences([samples[n] for n in batch], config.training.interpolation)
            for n, probabilities in zip(batch, outputs.double().softmax(1).tolist(), strict=True):
                entry = samples.entries[n]
                prediction = samples.class_names[int(np.argmax(probabilities))]
                rows.append((entry.sequence, entry.subject, fold, entry.emotion, prediction, *probabilities))
    columns = ["sequence", "subject", "fold", "truth", "prediction", *(f"p_{name}" for name in samples.class_names)]
    return pd.DataFrame(rows, columns=columns).sort_values("sequence", kind="stable")


def _folds_table(samples: Samples, assignment: Sequence[tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    rows = [
        (fold, entry.sequence, entry.subject, entry.emotion, entry.rotation, role)
        for fold, sides in enumerate(assignment, start=1)
        for role, numbers in zip(("train", "test"), sides, strict=True)
        for entry in (samples.entries[n] for n in numbers)
    ]
    return pd.DataFrame(rows, columns=["fold", "sequence", "subject", "emotion", "rotation", "role"])


def _baselines(samples: Samples, folds: BaseCrossValidator) -> list[dict[str, Any]]:
    tested = {
        "linear SVM on the apex frame's maps": apex_svm(samples, folds),
        "chance: the most frequent emotion": most_frequent(samples, folds),
    }
    kept = ("accuracy", "accuracy_interval", "mean_class_recall")
    results = {name: summarise(predictions, samples.class_names) for name, predictions in tested.items()}
    return [{"name": name, **{key: result[key] for key in kept}} for name, result in results.items()]


def _versions() -> dict[str, str]:
    packages = ("face-strnn", "torch", "torchvision", "facenet-pytorch", "albumentations", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
