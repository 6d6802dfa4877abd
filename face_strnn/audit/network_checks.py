"""The networks' headers, compared with the settings, the protocol and the history."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd

from face_strnn.audit.finetuned import read_in_finetuning, settings_of_frozen
from face_strnn.audit.repetition import is_stack, repeated
from face_strnn.audit.run_files import Declared, RunFiles
from face_strnn.evaluation.predictions import tested_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE
from face_strnn.training.samples import names_sha256

_SHARED = ("data", "protocol", "selection", "seed", "seeds", "learn_from", "finetune")
"""Settings that the summary repeats under the same name."""


def settings(files: RunFiles) -> Iterator[str]:
    """Yield where the summary and the networks' headers name other settings than ``config.yaml``."""
    wanted, summary = files.settings, files.summary
    network, epochs = wanted.network, wanted.training.epochs
    pairs = {name: (getattr(summary, name), getattr(wanted, name)) for name in _SHARED}
    pairs |= {
        "variant": (summary.variant, network.variant),
        "ensemble": (summary.ensemble, wanted.seeds if wanted.ensemble else None),
        "finetuning": (summary.finetuning, wanted.as_dict.get("finetuning")),
        "epochs": (summary.epochs, epochs),
        "folds": (summary.n_folds, wanted.folds),
        "tested": (summary.tested, tested_words(_variants_tested(files))),
    }
    pairs |= {f"features.{key}": (summary.features.get(key), value) for key, value in wanted.features.items()}
    for key, (claimed, value) in pairs.items():
        if claimed != value:
            yield f"summary.json has {key} {claimed}, config.yaml {value}"
    if wanted.is_finetuned:
        yield from settings_of_frozen(files)
    for one in files.networks:
        facts = one.model.facts
        pairs = {f"network.{name}": (value, getattr(network, name)) for name, value in asdict(one.model.config).items()}
        pairs |= {
            "features.fingerprint": (facts["features"], wanted.features.get("fingerprint")),
            "features.samples_sha256": (facts["samples_sha256"], wanted.features.get("samples_sha256")),
            "data": (facts["data"], wanted.data),
            "selection": (facts["selection"], wanted.selection),
            "training.interpolation": (facts["interpolation"], wanted.training.interpolation),
        }
        for key, (claimed, value) in pairs.items():
            if claimed != value:
                yield f"{one.name} has {key} {claimed}, config.yaml {value}"


def _variants_tested(files: RunFiles) -> int:
    if not files.settings.test_average:
        return 1
    tested = files.folds[files.folds["role"] == "test"]
    return len(tested[["rotation", "flip"]].drop_duplicates())


def trained_on(files: RunFiles) -> Iterator[str]:
    """Yield which networks were trained on other samples than their fold's, by their headers and by training again.

    Raises:
        Declared: not every fold is trained again, on the kind of machine that trained it, which alone shows it.
    """
    known = {(network.fold, network.seed) for network in files.networks}
    for network in files.networks:
        facts = network.model.facts
        if not is_stack(network, known):
            yield f"{network.name}: the networks named as trained together are not this one and others of this run"
        if (int(facts["fold"]), int(facts["seed"])) != (network.fold, network.seed):
            yield f"{network.name} holds the network of fold {facts['fold']} and seed {facts['seed']}"
        if facts["train_sha256"] != names_sha256(files.names(network.fold, "train")):
            yield f"{network.name}: its network was trained on other samples than the protocol gives to its fold"
        if files.settings.is_finetuned:
            yield from read_in_finetuning(files, network)
    if not files.repetition.folds:
        raise Declared("the checkpoints' headers say so; to show it, --repeat-fold trains a fold again")
    yield from repeated(files)


def selection(files: RunFiles) -> Iterator[str]:
    """Yield where an epoch was chosen by other samples than the selection allows, or another one was kept."""
    how = files.settings.selection
    epochs = (files.settings.finetuning if files.settings.is_finetuned else files.settings.training).epochs
    if how == "oracle":
        yield f"each fold's epoch was chosen by its test accuracy (oracle): {NOT_COMPARABLE}"
        return
    for network in files.networks:
        history = network.history
        if len(history) != epochs or history["epoch"].tolist() != list(range(1, epochs + 1)):
            yield f"{network.name}: its history is not of the epochs 1 to {epochs} of config.yaml"
        if how == "last" and history["validation_accuracy"].notna().any():
            yield f"{network.name}: its history has accuracies that choose an epoch, and the selection is last"
        if how == "inner" and history["validation_accuracy"].isna().any():
            yield f"{network.name}: its history has no validation accuracy"
    yield from _differences_of_history(files)
    for network in files.networks:
        kept = int(network.model.facts["epoch"])
        validation = names_sha256(files.names(network.fold, "validation")) if how == "inner" else ""
        if network.model.facts["validation_sha256"] != validation:
            yield f"{network.name}: other samples chose its epoch than {how} allows"
        if kept != (wanted := _epoch_to_keep(network.history) if how == "inner" else epochs):
            yield f"{network.name}: keeps epoch {kept}, and {how} asks for {wanted}"


def _epoch_to_keep(history: pd.DataFrame) -> int:
    """Return the epoch of the highest validation accuracy, among equals the lowest cross entropy, then the first."""
    order = {"validation_accuracy": False, "validation_cross_entropy": True, "epoch": True}
    return int(history.sort_values(list(order), ascending=list(order.values()))["epoch"].iloc[0])


def _differences_of_history(files: RunFiles) -> Iterator[str]:
    headers = pd.concat([network.history for network in files.networks], ignore_index=True)
    headers = headers.dropna(axis="columns", how="all")
    if set(files.history) != set(headers):
        differing = set(files.history) ^ set(headers)
        yield f"history.csv and the checkpoints' headers differ in the columns {', '.join(sorted(differing))}"
    key = ["fold", "seed", "epoch"]
    table, headers = files.history.set_index(key).sort_index(), headers.set_index(key).sort_index()
    if not table.index.equals(headers.index):
        yield "history.csv has other folds, seeds and epochs than the checkpoints' headers"
        return
    for column in sorted(set(table) & set(headers)):
        values = pd.to_numeric(table[column], errors="coerce")
        differs = ~np.isclose(values, headers[column].astype(float), rtol=1e-9, atol=0, equal_nan=True)
        if differs.any():
            fold, seed, epoch = table.index[differs][0]
            where = f"{differs.sum()} rows, such as fold {fold}, seed {seed}, epoch {epoch}"
            yield f"history.csv has another {column} than the checkpoints' headers in {where}"
