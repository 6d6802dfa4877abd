"""What an audit checks.

Each check is a function that yields what it finds wrong, one line each. Where it lacks what it takes it raises
:class:`face_strnn.audit.run_files.Lacking`: that is neither passed nor failed.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch

from data_prep.datasets.problems import PROBLEMS_FILE, read_damaged
from face_strnn.audit.finetuned import figures_beside_frozen, finetuned_probabilities, read_in_finetuning
from face_strnn.audit.run_files import Checkpoint, Evidence, Lacking
from face_strnn.evaluation.baselines import BASELINES, baseline_predictions
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.predictions import ensemble_answers, member_figures, tested_words
from face_strnn.evaluation.protocols import NOT_COMPARABLE, splitter
from face_strnn.evaluation.run_folder import FROZEN
from face_strnn.training.samples import Samples, names_sha256

PROBABILITY_TOLERANCE = 1e-3
"""How far a probability may be from the one computed anew: another device, or other batches, round sums differently."""

MEAN_TOLERANCE = 1e-9
"""How far a probability of an ensemble may be from the mean of its members' in the same folder: a sum's rounding."""

ENTROPY_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
"""The same for a validation cross entropy, as a share of it, by the precision in which it was measured in training."""

LONGEST_LIST = 6
_NAMED_SINCE = {"variant": "network.variant", "augmentation": "augmentation"}
"""What a summary says of the settings since there is more than one of them."""

SEQUENCES_PER_BATCH = 16


def _files(evidence: Evidence) -> Iterator[str]:
    yield from evidence.problems


def _settings(evidence: Evidence) -> Iterator[str]:
    settings, summary = evidence.settings, evidence.summary
    claimed = {key: summary[key] for key in ("data", "protocol", "selection", "seed", "seeds")}
    claimed |= {key: summary[name] for name, key in _NAMED_SINCE.items() if name in summary}
    claimed |= {name: summary.get(name) for name in ("finetune", "finetuning") if name in {**settings, **summary}}
    claimed |= {"ensemble": bool(summary.get("ensemble"))} if "ensemble" in settings else {}
    claimed |= {"training.epochs": summary["epochs"], "folds": len(summary["fold_accuracies"])}
    claimed |= {f"features.{key}": summary["features"].get(key) for key in settings["features"]}
    for key, value in claimed.items():
        if value != (wanted := _at(settings, key)):
            yield f"summary.json has {key} {value}, config.yaml {wanted}"
    if evidence.is_ensemble and summary.get("ensemble") not in (None, settings["seeds"]):
        yield f"summary.json has an ensemble of {summary['ensemble']}, config.yaml {settings['seeds']} seeds"
    tested = evidence.folds[evidence.folds["role"] == "test"]
    n_variants = len(tested[["rotation", "flip"]].drop_duplicates()) if evidence.averages_variants else 1
    if (said := summary.get("tested", tested_words(1))) != (wanted := tested_words(n_variants)):
        yield f"summary.json has tested {said}, by config.yaml and folds.csv it is {wanted}"
    for checkpoint in evidence.checkpoints:
        said = {f"network.{name}": value for name, value in asdict(checkpoint.model.config).items()}
        facts = checkpoint.model.facts
        # What an earlier version did not write is not held against the run here.
        headed = {
            "features": "features.fingerprint",
            "data": "data",
            "interpolation": "training.interpolation",
            "selection": "selection",
            "samples_sha256": "features.samples_sha256",
        }
        said |= {key: facts[name] for name, key in headed.items() if name in facts}
        for key, value in said.items():
            wanted = _at(settings, key)
            if wanted is None and key == "network.variant":  # there was one only, and it had no name
                wanted = "strnn"
            if _plain(value) != _plain(wanted):
                yield f"{checkpoint.name} has {key} {value}, config.yaml {wanted}"


def _at(settings: dict[str, Any], path: str) -> Any:  # noqa: ANN401
    for key in path.split("."):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


def _plain(value: Any) -> Any:  # noqa: ANN401
    return list(value) if isinstance(value, tuple) else value


def _classes(evidence: Evidence) -> Iterator[str]:
    classes = list(evidence.summary["classes"])
    columns = [name.removeprefix("p_") for name in evidence.predictions if name.startswith("p_")]
    if columns != classes:
        yield f"predictions.csv has probabilities of {', '.join(columns)}, summary.json classes {', '.join(classes)}"
    for checkpoint in evidence.checkpoints:
        if checkpoint.classes != classes:
            yield f"{checkpoint.name} has classes {', '.join(checkpoint.classes)}, summary.json {', '.join(classes)}"


def _subjects(evidence: Evidence) -> Iterator[str]:
    folds, predictions = evidence.folds, evidence.predictions
    for fold, rows in folds.groupby("fold"):
        tested = set(rows.loc[rows["role"] == "test", "subject"])
        for role in ("train", "validation"):
            if shared := tested & set(rows.loc[rows["role"] == role, "subject"]):
                yield f"fold {fold}: {_some(shared)} in {role} and test (folds.csv)"
        watched = set(rows.loc[rows["role"] == "validation", "subject"])
        if shared := watched & set(rows.loc[rows["role"] == "train", "subject"]):
            yield f"fold {fold}: {_some(shared)} in train and validation (folds.csv)"
    # A subject under a second name would stand on both sides unseen.
    named = pd.concat([folds[["sequence", "subject"]], predictions[["sequence", "subject"]]]).drop_duplicates()
    if doubled := set(named.loc[named.duplicated("sequence"), "sequence"]):
        yield f"{_some(doubled)} under more than one subject (folds.csv, predictions.csv)"


def _folds(evidence: Evidence) -> Iterator[str]:
    columns = ["fold", "sequence", "subject", "emotion", "rotation", "flip", "role"]
    found, wanted = (list(map(tuple, table[columns].to_numpy())) for table in (evidence.folds, evidence.roles))
    for text, rows in (("missing", set(wanted) - set(found)), ("too many", set(found) - set(wanted))):
        if rows:
            fold, sequence, subject, emotion, rotation, flip, role = min(rows, key=str)
            variant = _variant_words(rotation, flip)
            example = f"{sequence} ({subject}, {emotion}) {variant} as {role} in fold {fold}"
            yield f"folds.csv: {len(rows)} rows {text} by the protocol, such as {example}"
    if len(set(found)) < len(found):
        yield f"folds.csv: {len(found) - len(set(found))} rows stand there twice"


def _rotated(evidence: Evidence) -> Iterator[str]:
    folds = evidence.folds
    rows = folds[(folds["role"] != "train") & ((folds["rotation"] != 0) | folds["flip"])]
    if evidence.averages_variants:
        rows = rows[rows["role"] != "test"]
    for (fold, role), part in rows.groupby(["fold", "role"]):
        names = (f"{row.sequence} {_variant_words(row.rotation, row.flip)}" for row in part.itertuples())
        yield f"fold {fold}: {_some(names)} as {role} (folds.csv)"


def _variant_words(rotation: float, flip: bool) -> str:
    return f"rotated by {rotation:g}{' and flipped' if flip else ''}"


def _tested(evidence: Evidence) -> Iterator[str]:
    wanted = evidence.roles[evidence.roles["role"] == "test"].drop_duplicates("sequence").set_index("sequence")
    table, name = evidence.seed_answers, evidence.seed_table
    if strange := set(table["seed"]) - set(evidence.seeds):
        yield f"{name}: seeds {_some(map(str, strange))} are not those of config.yaml"
    tests = [(f"seed {seed}", name, table[table["seed"] == seed]) for seed in evidence.seeds]
    if evidence.is_ensemble:
        tests.append(("the ensemble", "predictions.csv", evidence.predictions))
    for who, file, rows in tests:
        times = rows["sequence"].value_counts()
        for text, names in (
            ("not tested", set(wanted.index) - set(times.index)),
            ("tested more than once", times.index[times > 1]),
            ("tested though not to be tested", set(times.index) - set(wanted.index)),
        ):
            if len(names):
                yield f"{who}: {_some(names)} {text} ({file})"
    for file, rows in {name: table, "predictions.csv": evidence.predictions}.items():
        known = rows[rows["sequence"].isin(wanted.index)]
        for column, truth in (("fold", "fold"), ("subject", "subject"), ("truth", "emotion")):
            differs = known[column].to_numpy() != wanted[truth].loc[known["sequence"]].to_numpy()
            if differs.any():
                yield f"{_some(known.loc[differs, 'sequence'])} with another {column} than the protocol's ({file})"


def _answers(evidence: Evidence) -> Iterator[str]:
    yield from _answers_of("predictions.csv", evidence.predictions, evidence.summary["classes"])
    if evidence.is_ensemble:
        yield from _answers_of(evidence.seed_table, evidence.seed_answers, evidence.summary["classes"])
        yield from _differences_of_ensemble(evidence)


def _differences_of_ensemble(evidence: Evidence) -> Iterator[str]:
    """Yield where a row of the ensemble is not the mean of its members' rows, by all seeds."""
    columns = [f"p_{name}" for name in evidence.summary["classes"]]
    means = ensemble_answers(evidence.seed_answers).set_index("sequence")[columns]
    said = evidence.predictions.drop_duplicates("sequence").set_index("sequence")[columns]
    means, said = means[~means.index.duplicated()].align(said, join="inner", axis=0)
    differs = ~(np.abs(means - said).max(axis=1) <= MEAN_TOLERANCE)
    if differs.any():
        yield (
            f"predictions.csv has other probabilities than the mean over the seeds of {evidence.seed_table} for "
            f"{differs.sum()} of {len(differs)} sequences: {_some(differs.index[differs])}"
        )


def _answers_of(file: str, predictions: pd.DataFrame, classes: list[str]) -> Iterator[str]:
    if lacking := [name for name in classes if f"p_{name}" not in predictions]:
        raise Lacking(f"{file} has no probabilities of {', '.join(lacking)}")
    probabilities = predictions[[f"p_{name}" for name in classes]].apply(pd.to_numeric, errors="coerce").to_numpy()
    wrong_sum = ~(np.abs(probabilities.sum(1) - 1) < PROBABILITY_TOLERANCE)  # holds for NaN too
    if wrong_sum.any():
        yield f"probabilities of {_some(predictions.loc[wrong_sum, 'sequence'])} do not sum to 1 ({file})"
    best = np.array(classes)[np.nan_to_num(probabilities).argmax(1)]
    other = predictions["prediction"].to_numpy() != best
    if other.any():
        yield f"{_some(predictions.loc[other, 'sequence'])}: the prediction is not the most probable ({file})"


def _figures(evidence: Evidence) -> Iterator[str]:
    predictions, summary = evidence.predictions, evidence.summary
    try:
        counted = summarise(predictions, summary["classes"])
    except ValueError as error:
        yield f"predictions.csv: {error}"
        return
    counted["seed_accuracies"] = [accuracy(rows) for _, rows in evidence.seed_answers.groupby("seed")]
    if evidence.is_ensemble:
        counted["members"] = member_figures(evidence.seed_answers)
    for name, value in counted.items():
        if not _equal(summary[name], value):
            yield f"summary.json has {name} {_short(summary[name])}, predictions.csv gives {_short(value)}"
    if evidence.is_finetuned:
        found, wanted = summary[FROZEN], figures_beside_frozen(evidence)
        if not _equal(found, wanted):
            yield f"summary.json has {FROZEN} {_short(found)}, the two predictions.csv give {_short(wanted)}"


def _taught(evidence: Evidence) -> Iterator[str]:
    for checkpoint in evidence.checkpoints:
        who = tuple(int(checkpoint.fact(name)) for name in ("fold", "seed"))
        if who != (checkpoint.fold, checkpoint.seed):
            yield f"{checkpoint.name} holds the network of fold {who[0]} and seed {who[1]}"
        if checkpoint.fact("taught_sha256") != names_sha256(evidence.names(checkpoint.fold, "train")):
            yield f"{checkpoint.name}: its network was taught other samples than the protocol gives to its fold"
        if evidence.is_finetuned:
            yield from read_in_finetuning(evidence, checkpoint)


def _selection(evidence: Evidence) -> Iterator[str]:
    stage = "finetuning" if evidence.is_finetuned else "training"
    selection, epochs = evidence.settings["selection"], _at(evidence.settings, f"{stage}.epochs")
    if selection == "oracle":
        yield f"each fold's epoch was chosen by its test accuracy (oracle): {NOT_COMPARABLE}"
        return
    for checkpoint in evidence.checkpoints:
        history = checkpoint.history
        if history["epoch"].tolist() != list(range(1, epochs + 1)):
            yield f"{checkpoint.name}: its history is not of the epochs 1 to {epochs} of config.yaml"
        if selection == "last" and history["watched_accuracy"].notna().any():
            yield f"{checkpoint.name}: its history has accuracies that choose an epoch, and the selection is last"
        if selection == "inner" and history["watched_accuracy"].isna().any():
            yield f"{checkpoint.name}: its history has no validation accuracy"
    yield from _differences_of_history(evidence)
    for checkpoint in evidence.checkpoints:
        kept = int(checkpoint.fact("epoch"))
        watched = names_sha256(evidence.names(checkpoint.fold, "validation")) if selection == "inner" else ""
        if checkpoint.fact("watched_sha256") != watched:
            yield f"{checkpoint.name}: other samples chose its epoch than {selection} allows"
        if kept != (wanted := _epoch_to_keep(checkpoint.history) if selection == "inner" else epochs):
            yield f"{checkpoint.name}: keeps epoch {kept}, and {selection} asks for {wanted}"


def _epoch_to_keep(history: pd.DataFrame) -> int:
    """Return the epoch of the highest watched accuracy, among equals the lowest cross entropy, then the first."""
    if "watched_cross_entropy" not in history:
        raise Lacking("the history has no validation cross entropy: an earlier version wrote it")
    order = {"watched_accuracy": False, "watched_cross_entropy": True, "epoch": True}
    return int(history.sort_values(list(order), ascending=list(order.values()))["epoch"].iloc[0])


def _differences_of_history(evidence: Evidence) -> Iterator[str]:
    name = "validation" if evidence.settings["selection"] == "inner" else "watched"
    headers = pd.concat([checkpoint.history for checkpoint in evidence.checkpoints], ignore_index=True)
    headers = headers.dropna(axis="columns", how="all").rename(columns=lambda column: column.replace("watched", name))
    if set(evidence.history) != set(headers):
        differing = set(evidence.history) ^ set(headers)
        yield f"history.csv and the checkpoints' headers differ in the columns {', '.join(sorted(differing))}"
    key = ["fold", "seed", "epoch"]
    table, headers = evidence.history.set_index(key).sort_index(), headers.set_index(key).sort_index()
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


def _store(evidence: Evidence) -> Iterator[str]:
    samples = evidence.given_samples
    store, named = samples.store, evidence.settings["features"]
    found = {
        "fingerprint": store.fingerprint,
        "samples_sha256": samples.sha256(),
        **samples.variant_facts(),
    }
    for name, value in found.items():
        if value != named.get(name):
            yield f"the features have {name} {_short(value)}, config.yaml {_short(named.get(name))}"
    if evidence.averages_variants:
        said, given = evidence.summary.get("tested"), tested_words(evidence.n_stored_variants)
        if said != given:
            yield f"summary.json has tested {said}, by the features it is {given}"
    # The index of a store is a convenience; what counts is what the files say of themselves.
    if wrong := [entry.file_name for entry in samples.entries if not store.holds(entry)]:
        yield f"the features' index does not tell what {_some(wrong)} hold"
    claimed = evidence.summary
    held = {"n_samples": len(samples), "classes": list(samples.class_names)}
    held |= {"left_out": store.left_out(), "damaged": read_damaged(store.folder / PROBLEMS_FILE)}
    held |= {"data": store.recipe.get("data"), **{f"features.{name}": value for name, value in store.recipe.items()}}
    for name, value in held.items():
        if (said := _at(claimed, name)) != value:
            yield f"summary.json has {name} {_short(said)}, the features {_short(value)}"


def _recomputed(evidence: Evidence) -> Iterator[str]:
    samples, predictions, file = evidence.tested_samples, evidence.seed_answers, evidence.seed_table
    numbers_of: dict[str, list[int]] = {}
    for number, entry in enumerate(samples.entries):
        numbers_of.setdefault(entry.sequence, []).append(number)
    for checkpoint in evidence.checkpoints:
        rows = predictions[(predictions["fold"] == checkpoint.fold) & (predictions["seed"] == checkpoint.seed)]
        rows = rows[rows["sequence"].isin(list(numbers_of))]
        columns = [f"p_{name}" for name in checkpoint.classes]
        if rows.empty or (set(columns) - set(rows)):
            yield f"{checkpoint.name}: {file} has no sequence with the probabilities of its classes"
            continue
        asked = [numbers_of[name] for name in rows["sequence"]]
        of_variants = _probabilities(evidence, checkpoint, samples, [number for numbers in asked for number in numbers])
        ends = np.cumsum([len(numbers) for numbers in asked])
        probabilities = np.stack([part.mean(0) for part in np.split(of_variants, ends[:-1])])
        written = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy()
        differs = ~(np.abs(written - probabilities).max(1) <= PROBABILITY_TOLERANCE)
        if differs.any():
            names = _some(rows.loc[differs, "sequence"])
            yield f"{checkpoint.name} gives other probabilities for {differs.sum()} of {len(rows)} sequences: {names}"
        position = pd.Index(checkpoint.classes).get_indexer(rows["prediction"])
        answered = np.where(position >= 0, probabilities[np.arange(len(rows)), position], -math.inf)
        # Where two classes are as good as equal, rounding decides; elsewhere the answer must be the best one.
        flipped = answered < probabilities.max(1) - 2 * PROBABILITY_TOLERANCE
        if flipped.any():
            names = _some(rows.loc[flipped, "sequence"])
            yield f"{checkpoint.name} gives other answers for {flipped.sum()} of {len(rows)} sequences: {names}"
    if evidence.settings["selection"] == "inner":
        yield from _validated_anew(evidence)


def _validated_anew(evidence: Evidence) -> Iterator[str]:
    samples, roles = evidence.samples, evidence.roles
    tolerance = ENTROPY_TOLERANCE[_at(evidence.settings, "training.precision")]
    for checkpoint in evidence.checkpoints:
        history = checkpoint.history.set_index("epoch").loc[int(checkpoint.fact("epoch"))]
        watched = roles[(roles["fold"] == checkpoint.fold) & (roles["role"] == "validation")]["sequence"]
        numbers = [int(n) for n in samples.unrotated if samples.entries[n].sequence in set(watched)]
        probabilities = _probabilities(evidence, checkpoint, samples, numbers)
        truth = np.array([checkpoint.classes.index(samples.entries[n].emotion) for n in numbers])
        n_right = int((probabilities.argmax(1) == truth).sum())
        entropy = float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-300)).mean())
        wanted = history["watched_accuracy"], history.get("watched_cross_entropy", entropy)
        # One answer may flip by rounding alone.
        if abs(n_right - wanted[0] * len(truth)) > 1.5 or not math.isclose(entropy, wanted[1], rel_tol=tolerance):
            yield (
                f"{checkpoint.name}: on the validation subjects it has accuracy {n_right / len(truth):.4f} and cross "
                f"entropy {entropy:.4f}, its history in the epoch that it keeps {wanted[0]:.4f} and {wanted[1]:.4f}"
            )


@torch.inference_mode()
def _probabilities(
    evidence: Evidence, checkpoint: Checkpoint, samples: Samples, numbers: Collection[int]
) -> np.ndarray:
    """Return float64 (samples, classes): a checkpoint's answers to samples of the features, computed anew."""
    how = _at(evidence.settings, "training.interpolation")
    if evidence.is_finetuned:
        return finetuned_probabilities(evidence, checkpoint, [samples.entries[n] for n in numbers])
    remaining, outputs = iter(numbers), []
    while batch := [samples[n] for n in islice(remaining, SEQUENCES_PER_BATCH)]:
        outputs.append(checkpoint.model.logits_of_sequences(batch, how))
    return torch.cat(outputs).double().softmax(1).numpy()


def _baselines(evidence: Evidence) -> Iterator[str]:
    samples, settings = evidence.samples, evidence.settings
    protocol = splitter(
        settings["protocol"], settings["folds"], samples.subjects.tolist(), samples.given_folds.tolist()
    )
    claimed = {baseline["name"]: baseline for baseline in evidence.summary["baselines"]}
    if claimed.keys() != BASELINES.keys():
        yield f"summary.json has the baselines {'; '.join(claimed)} and not {'; '.join(BASELINES)}"
    for name in (name for name in BASELINES if name in claimed):
        tested = baseline_predictions(name, samples, protocol)
        found = summarise(tested, samples.class_names)
        # One answer may flip by the rounding of another machine.
        per_class = tested["truth"].value_counts()
        slack = {"accuracy": 1 / len(tested), "mean_class_recall": 1 / (per_class.min() * len(per_class))}
        for key, most in slack.items():
            if not abs(claimed[name][key] - found[key]) <= most + 1e-9:
                yield f"summary.json has {key} {claimed[name][key]} for {name}, tested anew it is {found[key]}"


def _equal(found: Any, wanted: Any) -> bool:  # noqa: ANN401
    """Whether two values of a summary are the same, numbers but for the rounding of other versions of the libraries."""
    if isinstance(wanted, dict):
        same_keys = isinstance(found, dict) and found.keys() == wanted.keys()
        return same_keys and all(_equal(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_equal, found, wanted))
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(found, wanted, rel_tol=0, abs_tol=1e-9)
    return found == wanted


def _short(value: Any) -> str:  # noqa: ANN401
    """Write a value as it stands in a file, shortened to a line's worth."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _some(names: Collection[str] | Iterator[str]) -> str:
    """List a few names, and how many more there are."""
    ordered = sorted(set(names))
    more = f" and {len(ordered) - LONGEST_LIST} more" if len(ordered) > LONGEST_LIST else ""
    return ", ".join(ordered[:LONGEST_LIST]) + more


CHECKS: tuple[tuple[str, str, Callable[[Evidence], Iterator[str]]], ...] = (
    ("files", "Every file of the run is there, whole, and of this run.", _files),
    ("settings", "config.yaml, summary.json and the checkpoints name the same settings.", _settings),
    ("classes", "All name the same classes in the same order.", _classes),
    ("subjects", "No subject is on both sides of a fold.", _subjects),
    ("folds", "folds.csv is the protocol's own split, dealt anew.", _folds),
    ("rotated copies", "No rotated or flipped copy chose an epoch, or was tested if not so configured.", _rotated),
    ("tested once", "Every sequence was tested once per seed or ensemble, by the fold that held it out.", _tested),
    ("taught", "Each network was taught its own fold's training samples and no other.", _taught),
    ("selection", "No test data chose an epoch; each network is of the epoch that the selection asks for.", _selection),
    (
        "answers",
        "Each prediction is its row's most probable class; an ensemble's rows are means of its members'.",
        _answers,
    ),
    ("figures", "The figures of summary.json are those of predictions.csv, and of members.csv.", _figures),
    ("features", "The features are those that the run names.", _store),
    ("baselines", "The baselines have the figures of summary.json under the same folds.", _baselines),
    ("recomputed", "The checkpoints give the predictions, and the validation accuracy of a chosen epoch.", _recomputed),
)
"""Name, promise, and the function that yields what is wrong."""
