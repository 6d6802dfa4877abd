"""A run compared with its features: the networks and baselines are tested again."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from data_prep.datasets.problems import PROBLEMS_FILE, read_damaged
from data_prep.errors import BadInput
from face_strnn.audit.findings import short, some
from face_strnn.audit.run_files import RunFiles
from face_strnn.evaluation.baselines import BASELINES, baseline_predictions
from face_strnn.evaluation.learners.learner import Learner
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.predictions import prediction_table, probability_columns, tested_words
from face_strnn.evaluation.training_accuracy import seen_samples, training_accuracy
from face_strnn.training.samples import Samples

PROBABILITY_TOLERANCE = 1e-3
"""How far a probability may be from the one computed anew: another device, or other batches, round sums differently."""

ENTROPY_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
"""The same for a validation cross entropy, as a share of it, by the precision in which it was measured in training."""


def features(files: RunFiles) -> Iterator[str]:
    """Yield where the features at hand are not those that the run names."""
    samples, named, summary = files.given_samples, files.settings.features, files.summary
    store = samples.store
    for name, value in files.given_features.items():
        if value != named.get(name):
            yield f"the features have {name} {short(value)}, config.yaml {short(named.get(name))}"
    yield from _damages(samples if not files.settings.test_average else files.stored)
    if files.settings.test_average and summary.tested != (given := tested_words(files.stored.n_variants)):
        yield f"summary.json has tested {summary.tested}, by the features it is {given}"
    # The index of a store is a convenience; what counts is what the files say of themselves.
    if wrong := [entry.file_name for entry in samples.entries if not store.holds(entry)]:
        yield f"the features' index does not tell what {some(wrong)} hold"
    pairs = {
        "n_samples": (summary.n_samples, len(samples)),
        "classes": (summary.classes, list(samples.class_names)),
        "left_out": (summary.left_out, store.left_out()),
        "damaged": (summary.damaged, read_damaged(store.folder / PROBLEMS_FILE)),
        "data": (summary.data, store.recipe.get("data")),
        **{f"features.{name}": (summary.features.get(name), value) for name, value in store.recipe.items()},
    }
    for name, (claimed, value) in pairs.items():
        if claimed != value:
            yield f"summary.json has {name} {short(claimed)}, the features {short(value)}"


def _damages(samples: Samples) -> Iterator[str]:
    """Read all maps, which compares each with its checksum."""
    for number in range(len(samples)):
        try:
            samples[number]
        except BadInput as error:
            yield str(error)


def recomputed(files: RunFiles) -> Iterator[str]:
    """Yield where a recomputed network gives other probabilities or predictions than the tables have."""
    samples, members, file = files.tested_samples, files.members, files.members_file
    learner, numbers_of = files.learner(), _numbers_by_sequence(samples)
    for network in files.networks:
        rows = members[(members["fold"] == network.fold) & (members["seed"] == network.seed)]
        rows = rows[rows["sequence"].isin(list(numbers_of))]
        columns = probability_columns(network.classes)
        if rows.empty or (set(columns) - set(rows)):
            yield f"{network.name}: {file} has no sequence with the probabilities of its classes"
            continue
        tested = samples.subset(number for name in rows["sequence"].unique() for number in numbers_of[name])
        table = prediction_table(tested.entries, learner.probabilities(network, tested), network.classes, network.fold)
        found = table.set_index("sequence").loc[rows["sequence"], columns].to_numpy()
        written = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy()
        differs = ~(np.abs(written - found).max(1) <= PROBABILITY_TOLERANCE)
        if differs.any():
            names = some(rows.loc[differs, "sequence"])
            yield f"{network.name} gives other probabilities for {differs.sum()} of {len(rows)} sequences: {names}"
        column = pd.Index(network.classes).get_indexer(rows["prediction"])
        predicted = np.where(column >= 0, found[np.arange(len(rows)), column], -math.inf)
        # Where two classes are as good as equal, rounding decides; elsewhere the prediction must be the best one.
        other = predicted < found.max(1) - 2 * PROBABILITY_TOLERANCE
        if other.any():
            names = some(rows.loc[other, "sequence"])
            yield f"{network.name} gives other predictions for {other.sum()} of {len(rows)} sequences: {names}"
    yield from _trained_anew(files, learner)
    if files.settings.selection == "inner":
        yield from _validated_anew(files, learner)


def _numbers_by_sequence(samples: Samples) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, entry in enumerate(samples.entries):
        numbers.setdefault(entry.sequence, []).append(number)
    return numbers


def _trained_anew(files: RunFiles, learner: Learner) -> Iterator[str]:
    claimed = {(one.fold, one.seed): one for one in files.summary.networks}
    seen = seen_samples(files.samples, files.sample_folds, files.samples)
    for network in files.networks:
        one, samples = claimed.get((network.fold, network.seed)), seen[network.fold]
        if one is None:
            continue  # the check of the figures names it
        found = training_accuracy(learner, network, samples)
        # One prediction may flip by rounding alone.
        if one.training_sequences != len(samples) or abs(found - one.training_accuracy) * len(samples) > 1.5:
            yield (
                f"summary.json has training_accuracy {one.training_accuracy:.4f} on {one.training_sequences} sequences "
                f"for {network.name}, which gives {found:.4f} on {len(samples)}"
            )


def _validated_anew(files: RunFiles, learner: Learner) -> Iterator[str]:
    samples, roles = files.samples, files.roles
    tolerance = ENTROPY_TOLERANCE[files.settings.training.precision]
    for network in files.networks:
        kept = network.history.set_index("epoch").loc[int(network.model.facts["epoch"])]
        names = set(roles[(roles["fold"] == network.fold) & (roles["role"] == "validation")]["sequence"])
        validation = samples.subset(n for n in samples.original_numbers if samples.entries[n].sequence in names)
        found, truth = learner.probabilities(network, validation), validation.labels.numpy()
        n_right = int((found.argmax(1) == truth).sum())
        entropy = float(-np.log(np.maximum(found[np.arange(len(truth)), truth], 1e-300)).mean())
        claimed = kept["validation_accuracy"], kept["validation_cross_entropy"]
        # One prediction may flip by rounding alone.
        if abs(n_right - claimed[0] * len(truth)) > 1.5 or not math.isclose(entropy, claimed[1], rel_tol=tolerance):
            yield (
                f"{network.name}: on the validation subjects it has accuracy {n_right / len(truth):.4f} and cross "
                f"entropy {entropy:.4f}, its history in the epoch that it keeps {claimed[0]:.4f} and {claimed[1]:.4f}"
            )


def baselines(files: RunFiles) -> Iterator[str]:
    """Yield where a baseline, tested anew, has other figures than the summary."""
    samples = files.samples
    claimed = {baseline.name: baseline for baseline in files.summary.baselines}
    if claimed.keys() != BASELINES.keys():
        yield f"summary.json has the baselines {'; '.join(claimed)} and not {'; '.join(BASELINES)}"
    for name in (name for name in BASELINES if name in claimed):
        tested = baseline_predictions(samples, files.settings, BASELINES[name])
        found = summarise(tested, samples.class_names)
        # One prediction may flip by the rounding of another machine.
        per_class = tested["truth"].value_counts()
        slack = {"accuracy": 1 / len(tested), "mean_class_recall": 1 / (per_class.min() * len(per_class))}
        for key, most in slack.items():
            if not abs(getattr(claimed[name], key) - found[key]) <= most + 1e-9:
                yield f"summary.json has {key} {getattr(claimed[name], key)} for {name}, tested anew it is {found[key]}"
        ends, interval = claimed[name].accuracy_interval or [], found["accuracy_interval"] or []
        if len(ends) != len(interval) or any(abs(a - b) > 2 / len(tested) for a, b in zip(ends, interval, strict=True)):
            yield f"summary.json has accuracy_interval {ends} for {name}, tested anew it is {interval}"
