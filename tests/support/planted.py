"""A store of random maps, an audit's words, and the edits that a cheat would make in a finished run's files."""

import json

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.datasets.emotions import EMOTIONS
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.audit.audit import audit_run
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.run import Run

SUBJECTS, FOLDS, EPOCHS = 8, 4, 5
NETWORK = NetworkConfig(
    input_size=4,
    grid=(2, 2),
    spatial_hidden=4,
    spatial_output=3,
    spatial_projection=2,
    temporal_hidden=5,
    length=5,
    n_classes=7,
)
CONFIG = Config(NETWORK, TrainingConfig(epochs=EPOCHS, batch_size=6, learning_rate=0.02))
NEED_FEATURES = {"features", "baselines", "recomputed"}
DECLARED = {"trained on"}


def write_store(folder, seed=0, source="0" * 64):
    """Eight subjects of three random sequences each, and one rotated copy of every sequence; subjects tell the fold."""
    rng = np.random.default_rng(seed)
    store = FeatureStore.create(folder, "random", {"data": "synthetic"})
    for subject in range(SUBJECTS):
        for number in range(3):
            emotion = EMOTIONS[(subject + number) % 3]
            for rotation in (0, 7):
                frames = 2 + number
                entry = StoredSequence(
                    f"S{subject}_{number}", f"S{subject}", emotion, rotation, frames, source, f"block {subject // 3}"
                )
                store.write(entry, torch.from_numpy(rng.normal(size=(frames, 2, 2, 4))).half())
    store.complete()
    store.entries()
    return FeatureStore.open(store.folder)


def outcomes(run, store=None):
    return {check.name: check.outcome for check in audit_run(Run(run), store).checks}


def failed(run, store=None):
    return {check.name for check in audit_run(Run(run), store).failed}


def findings(run, name, store=None):
    return " ".join(next(check.findings for check in audit_run(Run(run), store).checks if check.name == name))


def edit_table(run, name, edit):
    table = pd.read_csv(run / name)
    edit(table).to_csv(run / name, index=False)


def edit_json(run, **changes):
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_settings(run, **changes):
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def edit_header(path, edit):
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(load_file(path), path, edit(header))


def edit_history_of_header(path, edit):
    edit_header(path, lambda header: header | {"history": json.dumps(edit(json.loads(header["history"])))})


def checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def count_again(run):
    """Make summary.json agree with an edited predictions.csv, as a careful cheat would."""
    predictions = pd.read_csv(run / "predictions.csv")
    edit_json(run, **summarise(predictions, EMOTIONS))
    right = (predictions["truth"] == predictions["prediction"]).groupby([predictions["fold"], predictions["seed"]])
    shares, counts = right.mean().to_dict(), right.size().to_dict()
    networks = json.loads((run / "summary.json").read_text())["networks"]
    for one in networks:
        key = one["fold"], one["seed"]
        one |= {"held_out_accuracy": shares[key], "held_out_sequences": int(counts[key])}
    edit_json(run, networks=networks)
    seeds = predictions.assign(right=predictions["truth"] == predictions["prediction"]).groupby("seed")
    edit_json(run, seed_accuracies=seeds["right"].mean().tolist())


def relabel(run, selection):
    """Call an oracle run by another name, in every file but the checkpoints."""
    edit_settings(run, selection=selection)
    edit_json(run, selection=selection)
    new = {"last": lambda t: t.drop(columns=["test_accuracy", "test_cross_entropy"])}
    rename = lambda t: t.rename(columns=lambda column: column.replace("test_", "validation_"))  # noqa: E731
    edit_table(run, "history.csv", new.get(selection, rename))


def kept_epoch(path):
    with safe_open(path, framework="pt") as file:
        return int(file.metadata()["epoch"])


def make_right(table, with_probabilities):
    """Turn the first wrong prediction into a right one."""
    row = table.index[table["truth"] != table["prediction"]][0]
    predicted, truth = f"p_{table.loc[row, 'prediction']}", f"p_{table.loc[row, 'truth']}"
    table.loc[row, "prediction"] = table.loc[row, "truth"]
    if with_probabilities:
        table.loc[row, [predicted, truth]] = table.loc[row, [truth, predicted]].to_numpy()
    return table


def options_of(config):
    sizes = {name: value for name, value in vars(config.network).items() if name not in ("grid", "activation")}
    given = [text for name, value in sizes.items() for text in (f"--network.{name}", str(value))]
    return [*given, "--network.grid", "[2,2]", "--training.batch_size", "6", "--epochs", "2", "--folds", str(FOLDS)]
