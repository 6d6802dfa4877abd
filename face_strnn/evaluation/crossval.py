"""Cross-validation of any learner: from a store to a run folder."""

import platform
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from data_prep.atomic_files import write_text_whole
from data_prep.datasets.problems import PROBLEMS_FILE, read_damaged
from data_prep.divergence import require_finite
from data_prep.errors import BadInput, DataWarning
from data_prep.store.store import FeatureStore
from face_strnn.evaluation.baselines import BASELINES, baseline_predictions
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, checkpoint_paths, load_networks
from face_strnn.evaluation.folds import Fold, fold_table, make_folds, missing_classes, trained_classes
from face_strnn.evaluation.learners.fold_on_crops import FoldOnCrops
from face_strnn.evaluation.learners.learner import Extent, Learner, Progress
from face_strnn.evaluation.learners.stacked_on_maps import StackedOnMaps
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.predictions import (
    MEMBERS_FILE,
    PREDICTIONS_FILE,
    ensemble_predictions,
    in_order,
    member_scores,
    prediction_table,
    probability_columns,
    tested_words,
)
from face_strnn.evaluation.run import FROZEN, Run
from face_strnn.evaluation.run_folder import writing_in
from face_strnn.evaluation.settings import Plan, RunSettings
from face_strnn.evaluation.significance import beside_frozen
from face_strnn.evaluation.summary import SUMMARY_FILE, BaselineScore, FrozenScore, Summary
from face_strnn.evaluation.training_accuracy import network_scores, seen_samples
from face_strnn.models.spatial import scan_backend
from face_strnn.training.from_crops.thawed import thawed_precision
from face_strnn.training.optimisation import OTHER_FOLDER
from face_strnn.training.samples import Samples


def cross_validate(
    store: FeatureStore,
    out: Path,
    plan: Plan,
    device: torch.device | str = "cpu",
    weights: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Train and test one network per fold and seed and write the run folder, without its audit, figures and page.

    Warns (:mod:`warnings`) of classes that a fold's networks are never trained on.

    An interrupted run resumes where it stopped: trained networks are kept, and the others resume after their last
    finished epoch. A finished run is not changed. One process at a time writes in ``out``.

    Args:
        store: the features.
        out: the run folder; created if it is missing.
        plan: protocol, folds, seeds, settings. Fine-tuned networks start from those of a frozen run with the same plan
            in ``out/frozen``, which is trained first.
        device: where the networks are trained; on it the precision ``auto`` of fine-tuning depends.
        weights: for fine-tuning: file of the backbone's weights, if those of the features came from a local file.
        command: the command that repeats the run, for the summary.
        progress: called after every epoch, every network that was tested, and every fold of a baseline.

    Returns:
        The run.

    Raises:
        BadInput: ``out`` holds another run or something else, or another process is at work in it; fewer subjects than
            folds; maps of other sizes than the network, or constant; a damaged store or checkpoint; training diverges;
            the plan uses variants and the features have one; the plan fine-tunes and the store has no crops, or the
            backbone's weights are missing.
    """
    started, plan = time.perf_counter(), _on_device(plan, device)
    stored = Samples.of(store, plan.classes, plan.partial)
    _require_variants(stored, plan)
    samples = stored.learnable(plan.learn_from)
    tested = stored if plan.test_average else stored.originals()
    damaged = read_damaged(store.folder / PROBLEMS_FILE)
    folds = make_folds(samples, tested, plan)
    settings = RunSettings.of(plan, samples, tested, len(folds))
    learner = learner_of(settings, samples, device, weights)
    with writing_in(out, settings.as_dict, "cv"):
        if plan.is_finetuned:
            cross_validate(store, out / FROZEN, plan.frozen(), device, command=command, progress=progress)
        (out / FOLDER).mkdir(exist_ok=True)
        if _is_finished(out, settings, learner):
            return Run(out)
        warned = missing_classes(trained_classes(folds, samples), samples.class_names)
        for one in () if plan.is_finetuned else warned:  # the frozen run has warned already
            warnings.warn(one, DataWarning, stacklevel=2)
        _write_table(out / "folds.csv", fold_table(folds, samples, tested, plan.selection))
        learner.fit(folds, out, progress)
        networks = Run(out).networks
        _write_table(out / "history.csv", _history_table(networks, settings))
        members = predict_held_out(learner, networks, folds, tested, progress)
        _require_probabilities(members, samples.class_names, plan)
        predictions = ensemble_predictions(members) if plan.ensemble else members
        if plan.ensemble:
            _write_table(out / MEMBERS_FILE, members)
        _write_table(out / PREDICTIONS_FILE, predictions)
        scores = {
            "tested": tested_words(tested.n_variants),
            "networks": network_scores(learner, networks, seen_samples(samples, folds, tested), members),
            **_scores(members, predictions, samples, plan, progress),
            **_beside_frozen(settings, out, samples, predictions),
        }
        facts = {"damaged": damaged, "warnings": warned, "command": command, "versions": _versions()}
        facts |= {"spatial_scan": scan_backend(plan.config, device), "seconds": round(time.perf_counter() - started, 1)}
        Summary(**_summary_of(settings, samples), **scores, **facts).write(out)
        return Run(out)


def learner_of(
    settings: RunSettings, samples: Samples, device: torch.device | str = "cpu", weights: str | None = None
) -> Learner:
    """Return the learner that trains the networks of a run and predicts with them.

    Args:
        settings: of the run.
        samples: its training samples.
        device: where the networks are trained.
        weights: see :func:`cross_validate`.

    Raises:
        BadInput: the features lack what the learner reads.
    """
    if settings.is_finetuned:
        return FoldOnCrops(settings, samples, weights, device)
    return StackedOnMaps(settings, samples, device)


def predict_held_out(
    learner: Learner,
    networks: Sequence[TrainedNetwork],
    folds: Sequence[Fold],
    tested: Samples,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predict every fold's test samples with its networks; one row per sequence and seed."""
    by_number = {fold.number: tested.subset(fold.test) for fold in folds}
    tables = []
    for done, network in enumerate(networks, start=1):
        samples = by_number[network.fold]
        predicted = learner.probabilities(network, samples)
        tables.append(prediction_table(samples.entries, predicted, samples.class_names, network.fold, network.seed))
        if progress:
            progress("testing", (), Extent(done, len(networks)))
    return in_order(tables)


def _require_probabilities(members: pd.DataFrame, classes: Sequence[str], plan: Plan) -> None:
    """Refuse networks whose parameters are finite and whose outputs on held-out sequences are not."""
    for (fold, seed), rows in members.groupby(["fold", "seed"]):
        require_finite(
            f"fold {fold}, seed {seed}, after the last epoch",
            (plan.finetuning if plan.is_finetuned else plan.training).rate_words,
            {"probabilities of held-out sequences": [rows[probability_columns(classes)].to_numpy()]},
            OTHER_FOLDER,
        )


def _on_device(plan: Plan, device: torch.device | str) -> Plan:
    """Fill in what the machine decides: a run has one precision, wherever it is resumed or repeated."""
    precision = thawed_precision(plan.finetuning.precision, device)
    return replace(plan, finetuning=replace(plan.finetuning, precision=precision)) if plan.is_finetuned else plan


def _require_variants(stored: Samples, plan: Plan) -> None:
    option = "--test-average" if plan.test_average else "--learn-from one" if plan.learn_from == "one" else None
    if option and stored.n_variants == 1:
        raise BadInput(
            f"{option}: {stored.store.folder} holds one variant of every sequence; run `face-strnn prepare` with "
            f"--augment, or omit {option}"
        )


def _is_finished(out: Path, settings: RunSettings, learner: Learner) -> bool:
    """Whether a run with these settings has finished, and its networks are intact."""
    names = [SUMMARY_FILE, PREDICTIONS_FILE, "history.csv", "folds.csv", *([MEMBERS_FILE] if settings.ensemble else [])]
    paths = [*(out / name for name in names), *checkpoint_paths(out, settings).values()]
    if not all(path.is_file() for path in paths):
        return False
    networks, problems = load_networks(out, settings)
    if problems:
        raise BadInput(problems[0])
    return all(map(learner.is_fitted, networks))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_text_whole(path, table.to_csv(index=False))


def _history_table(networks: Sequence[TrainedNetwork], settings: RunSettings) -> pd.DataFrame:
    history = pd.concat([network.history for network in networks], ignore_index=True)
    if settings.selection == "last":
        return history.drop(columns=["validation_accuracy", "validation_cross_entropy"], errors="ignore")
    # With oracle selection the validation samples are the test samples; the columns say so.
    columns = {"oracle": lambda name: name.replace("validation", "test"), "inner": str}
    return history.rename(columns=columns[settings.selection])


def _summary_of(settings: RunSettings, samples: Samples) -> dict[str, object]:
    """The entries of a summary on the run's settings and features."""
    store = samples.store
    finetuning = {"finetune": settings.finetune, "finetuning": settings.as_dict.get("finetuning")}
    return {
        "data": settings.data,
        "protocol": settings.protocol,
        "selection": settings.selection,
        "seed": settings.seed,
        "seeds": settings.seeds,
        "variant": settings.network.variant,
        "learn_from": settings.learn_from,
        "ensemble": settings.seeds if settings.ensemble else None,
        "epochs": settings.training.epochs,
        "classes": list(samples.class_names),
        "n_samples": len(samples),
        "left_out": store.left_out(),
        "features": {**store.recipe, **settings.features},
        **(finetuning if settings.is_finetuned else {}),
    }


def _scores(
    members: pd.DataFrame, predictions: pd.DataFrame, samples: Samples, plan: Plan, progress: Progress | None
) -> dict[str, object]:
    """The metrics of a run and of the baselines under its folds."""
    return {
        **summarise(predictions, samples.class_names),
        "seed_accuracies": [accuracy(rows) for _, rows in members.groupby("seed")],
        **({"members": member_scores(members)} if plan.ensemble else {}),
        "baselines": _baseline_scores(samples, plan, progress),
    }


def _baseline_scores(samples: Samples, plan: Plan, progress: Progress | None) -> list[BaselineScore]:
    scores = []
    for name, baseline in BASELINES.items():

        def on_fold(done: int, whole: int, name: str = name) -> None:
            if progress:
                progress("baseline", (), Extent(done, whole, name=name))

        metrics = summarise(baseline_predictions(samples, plan, baseline, on_fold), samples.class_names)
        reported = {key: metrics[key] for key in ("accuracy", "accuracy_interval", "mean_class_recall")}
        scores.append(BaselineScore(name=name, **reported))
    return scores


def _beside_frozen(
    settings: RunSettings, out: Path, samples: Samples, predictions: pd.DataFrame
) -> dict[str, FrozenScore]:
    if not settings.is_finetuned:
        return {}
    return {FROZEN: FrozenScore(**beside_frozen(samples.class_names, Run(out / FROZEN).predictions, predictions))}


def _versions() -> dict[str, str]:
    packages = ("face-strnn", "torch", "torchvision", "facenet-pytorch", "albumentations", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
