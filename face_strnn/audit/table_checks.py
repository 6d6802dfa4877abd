"""The tables of a run, compared with each other, the protocol and the summary."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from face_strnn.audit.findings import Remark, equal, short, some
from face_strnn.audit.finetuned import figures_beside_frozen
from face_strnn.audit.run_files import RunFiles
from face_strnn.evaluation.folds import FOLD_COLUMNS, NOT_TRAINED_ON, missing_classes
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.predictions import ensemble_predictions, member_scores, probability_columns
from face_strnn.evaluation.run import FROZEN
from face_strnn.evaluation.training_accuracy import held_out_accuracies

PROBABILITY_TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1."""

MEAN_TOLERANCE = 1e-9
"""How far a probability of an ensemble may be from the mean of its members' in the same folder: a sum's rounding."""


def classes(files: RunFiles) -> Iterator[str]:
    """Yield where tables, networks and summary name other classes, or in another order."""
    wanted = list(files.summary.classes)
    columns = [name.removeprefix("p_") for name in files.predictions if name.startswith("p_")]
    if columns != wanted:
        yield f"predictions.csv has probabilities of {', '.join(columns)}, summary.json classes {', '.join(wanted)}"
    for network in files.networks:
        if network.classes != wanted:
            yield f"{network.name} has classes {', '.join(network.classes)}, summary.json {', '.join(wanted)}"
    trained = files.folds[files.folds["role"] == "train"].groupby("fold")["emotion"].agg(set)
    due = missing_classes(trained.to_dict(), wanted)
    found = [warning for warning in files.summary.warnings if NOT_TRAINED_ON in warning]
    if found != due:
        yield f"summary.json has the warnings {short(found)}, folds.csv gives {short(due)}"


def subjects(files: RunFiles) -> Iterator[str]:
    """Yield subjects that are on both sides of a fold, and sequences of more than one subject."""
    folds, predictions = files.folds, files.predictions
    for fold, rows in folds.groupby("fold"):
        tested = set(rows.loc[rows["role"] == "test", "subject"])
        for role in ("train", "validation"):
            if shared := tested & set(rows.loc[rows["role"] == role, "subject"]):
                yield f"fold {fold}: {some(shared)} in {role} and test (folds.csv)"
        validation = set(rows.loc[rows["role"] == "validation", "subject"])
        if shared := validation & set(rows.loc[rows["role"] == "train", "subject"]):
            yield f"fold {fold}: {some(shared)} in train and validation (folds.csv)"
    # A subject under a second name would stand on both sides unseen.
    named = pd.concat([folds[["sequence", "subject"]], predictions[["sequence", "subject"]]]).drop_duplicates()
    if doubled := set(named.loc[named.duplicated("sequence"), "sequence"]):
        yield f"{some(doubled)} under more than one subject (folds.csv, predictions.csv)"


def folds(files: RunFiles) -> Iterator[str]:
    """Yield where ``folds.csv`` is not the protocol's split."""
    found, wanted = (list(map(tuple, table[FOLD_COLUMNS].to_numpy())) for table in (files.folds, files.roles))
    for text, rows in (("missing", set(wanted) - set(found)), ("too many", set(found) - set(wanted))):
        if rows:
            fold, sequence, subject, emotion, rotation, flip, role = min(rows, key=str)
            variant = _variant_words(rotation, flip)
            example = f"{sequence} ({subject}, {emotion}) {variant} as {role} in fold {fold}"
            yield f"folds.csv: {len(rows)} rows {text} by the protocol, such as {example}"
    if len(set(found)) < len(found):
        yield f"folds.csv: {len(found) - len(set(found))} rows stand there twice"


def copies(files: RunFiles) -> Iterator[str]:
    """Yield rotated and flipped copies that chose an epoch or were tested."""
    folds = files.folds
    rows = folds[(folds["role"] != "train") & ((folds["rotation"] != 0) | folds["flip"])]
    if files.settings.test_average:
        rows = rows[rows["role"] != "test"]
    for (fold, role), part in rows.groupby(["fold", "role"]):
        names = (f"{row.sequence} {_variant_words(row.rotation, row.flip)}" for row in part.itertuples())
        yield f"fold {fold}: {some(names)} as {role} (folds.csv)"


def _variant_words(rotation: float, flip: bool) -> str:
    return f"rotated by {rotation:g}{' and flipped' if flip else ''}"


def tested_once(files: RunFiles) -> Iterator[str]:
    """Yield sequences that were not tested exactly once per seed, or in another fold."""
    if files.summary.partial:
        yield Remark(f"the features were partial: {files.summary.partial}")
    wanted = files.roles[files.roles["role"] == "test"].drop_duplicates("sequence").set_index("sequence")
    table, name = files.members, files.members_file
    if strange := set(table["seed"]) - set(files.settings.all_seeds):
        yield f"{name}: seeds {some(map(str, strange))} are not those of config.yaml"
    tests = [(f"seed {seed}", name, table[table["seed"] == seed]) for seed in files.settings.all_seeds]
    if files.settings.ensemble:
        tests.append(("the ensemble", "predictions.csv", files.predictions))
    for who, file, rows in tests:
        times = rows["sequence"].value_counts()
        for text, names in (
            ("not tested", set(wanted.index) - set(times.index)),
            ("tested more than once", times.index[times > 1]),
            ("tested though not to be tested", set(times.index) - set(wanted.index)),
        ):
            if len(names):
                yield f"{who}: {some(names)} {text} ({file})"
    for file, rows in {name: table, "predictions.csv": files.predictions}.items():
        known = rows[rows["sequence"].isin(wanted.index)]
        for column, truth in (("fold", "fold"), ("subject", "subject"), ("truth", "emotion")):
            differs = known[column].to_numpy() != wanted[truth].loc[known["sequence"]].to_numpy()
            if differs.any():
                yield f"{some(known.loc[differs, 'sequence'])} with another {column} than the protocol's ({file})"


def predictions(files: RunFiles) -> Iterator[str]:
    """Yield rows whose prediction is not the most probable class, or no mean of an ensemble."""
    yield from _predictions_of("predictions.csv", files.predictions, files.summary.classes)
    if files.settings.ensemble:
        yield from _predictions_of(files.members_file, files.members, files.summary.classes)
        yield from _differences_of_ensemble(files)


def _differences_of_ensemble(files: RunFiles) -> Iterator[str]:
    """Yield where a row of the ensemble is not the mean of its members' rows, by all seeds."""
    columns = probability_columns(files.summary.classes)
    means = ensemble_predictions(files.members).set_index("sequence")[columns]
    written = files.predictions.drop_duplicates("sequence").set_index("sequence")[columns]
    means, written = means[~means.index.duplicated()].align(written, join="inner", axis=0)
    differs = ~(np.abs(means - written).max(axis=1) <= MEAN_TOLERANCE)
    if differs.any():
        yield (
            f"predictions.csv has other probabilities than the mean over the seeds of {files.members_file} for "
            f"{differs.sum()} of {len(differs)} sequences: {some(differs.index[differs])}"
        )


def _predictions_of(file: str, predictions: pd.DataFrame, classes: list[str]) -> Iterator[str]:
    if lacking := [name for name in classes if f"p_{name}" not in predictions]:
        yield f"{file} has no probabilities of {', '.join(lacking)}"
        return
    probabilities = predictions[probability_columns(classes)].apply(pd.to_numeric, errors="coerce").to_numpy()
    wrong_sum = ~(np.abs(probabilities.sum(1) - 1) < PROBABILITY_TOLERANCE)  # holds for NaN too
    if wrong_sum.any():
        yield f"probabilities of {some(predictions.loc[wrong_sum, 'sequence'])} do not sum to 1 ({file})"
    best = np.array(classes)[np.nan_to_num(probabilities).argmax(1)]
    other = predictions["prediction"].to_numpy() != best
    if other.any():
        yield f"{some(predictions.loc[other, 'sequence'])}: the prediction is not the most probable ({file})"


def figures(files: RunFiles) -> Iterator[str]:
    """Yield where figures of the summary are not those of the tables of predictions."""
    summary, classes = files.summary, files.summary.classes
    try:
        counted = summarise(files.predictions, classes)
    except ValueError as error:
        yield f"predictions.csv: {error}"
        return
    counted["seed_accuracies"] = [accuracy(rows) for _, rows in files.members.groupby("seed")]
    if files.settings.ensemble:
        counted["members"] = member_scores(files.members).model_dump()
    claimed = summary.model_dump()
    for name, value in counted.items():
        if not equal(claimed[name], value):
            yield f"summary.json has {name} {short(claimed[name])}, predictions.csv gives {short(value)}"
    held_out = held_out_accuracies(files.members)
    claims = {(one.fold, one.seed): (one.held_out_sequences, one.held_out_accuracy) for one in summary.networks}
    if claims.keys() != held_out.keys() or len(claims) < len(summary.networks):
        yield f"summary.json has networks of other folds and seeds than {files.members_file}"
    for fold, seed in sorted(claims.keys() & held_out.keys()):
        if not equal(list(claims[fold, seed]), held_out[fold, seed]):
            count, share = claims[fold, seed]
            yield (
                f"summary.json has held_out_accuracy {share} on {count} sequences for fold {fold}, seed {seed}, "
                f"{files.members_file} gives {held_out[fold, seed][1]} on {held_out[fold, seed][0]}"
            )
    if files.settings.is_finetuned:
        value = figures_beside_frozen(files)
        if not equal(claimed[FROZEN], value):
            yield f"summary.json has {FROZEN} {short(claimed[FROZEN])}, the two predictions.csv give {short(value)}"
