"""The files of a run folder, read back."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput

RESUME = "run `face-strnn cv` again with the same --out: it resumes"
FROZEN = "frozen"
"""Folder in a fine-tuned run: the run of the networks that it started from, and their figures in its summary."""

_BACKBONE_SUFFIX = ".backbone.safetensors"

RESTART = "run `face-strnn cv` again with another --out"

_SALIENCY_AGAIN = "run `face-strnn saliency` again"

_SUMMARY_KEYS = frozenset({
    "accuracy", "fold_accuracies", "mean_fold_accuracy", "std_fold_accuracy", "mean_class_recall", "accuracy_interval",
    "mean_class_recall_interval", "class_recalls", "confusion_matrix", "classes", "n_sequences", "n_subjects",
    "n_samples", "left_out", "protocol", "selection", "seed", "seeds", "seed_accuracies", "epochs",
    "seconds", "versions", "features", "data", "command", "baselines",
})  # fmt: skip


_SETTINGS: Mapping[str, type] = {
    "data": str, "features": dict, "protocol": str, "folds": int, "selection": str, "seed": int, "seeds": int,
    "network": dict, "training": dict,
}  # fmt: skip


def checkpoint_name(fold: int, seed: int, first_seed: int) -> str:
    """Return the name of the file that holds the network of a fold, from 1, and a seed."""
    of_seed = "" if seed == first_seed else f"-seed-{seed}"
    return f"fold-{fold:02d}{of_seed}.safetensors"


def backbone_file(checkpoint: Path) -> Path:
    """Return where the thawed weights of a fine-tuned network's backbone are: beside its checkpoint."""
    return checkpoint.with_suffix(_BACKBONE_SUFFIX)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints that are in a folder, in order of their names, without the weights of backbones."""
    return [file for file in sorted(folder.glob("fold-*.safetensors")) if not file.name.endswith(_BACKBONE_SUFFIX)]


def take_folder(out: Path, settings: dict[str, Any], name: str = "config.yaml") -> None:
    """Begin a folder of results, or take up the one that was begun with the same settings.

    Args:
        out: the folder; made where it is missing.
        settings: what the results depend on.
        name: of the file in it that holds the settings.

    Raises:
        BadInput: the folder holds something else, results with other settings, or cannot be written.
    """
    file = out / name
    text = yaml.safe_dump(json.loads(json.dumps(settings)), sort_keys=False)
    if file.is_file():
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise BadInput(f"{file}: damaged ({' '.join(str(error).split())}); give another --out") from error
        wanted = yaml.safe_load(text)
        if found != wanted:
            raise BadInput(
                f"{file}: this run was made with {_differences(found, wanted)}; "
                "give another --out, or the same settings to take it up"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: exists and is no run folder; give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, text)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); give another --out") from error


def _differences(found: Any, wanted: dict[str, Any], prefix: str = "") -> str:  # noqa: ANN401
    """Name the settings of a run that are not those wanted now, with both values."""
    if not isinstance(found, dict):
        return "other settings"
    named = []
    for key in sorted(found.keys() | wanted.keys()):
        before, now = found.get(key), wanted.get(key)
        if isinstance(before, dict) and isinstance(now, dict) and before != now:
            named.append(_differences(before, now, f"{prefix}{key}."))
        elif before != now:
            named.append(f"{prefix}{key} {before} (now {now})")
    return ", ".join(named)


def read_settings(run: Path) -> dict[str, Any]:
    """Return a run's ``config.yaml``.

    Raises:
        BadInput: it is missing, is not YAML, or lacks a setting.
    """
    path = run / "config.yaml"
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist; {RESUME}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: is not readable as YAML ({' '.join(str(error).split())}); {RESTART}") from error
    if not isinstance(settings, dict):
        raise BadInput(f"{path}: holds no settings; {RESTART}")
    if wrong := [key for key, kind in _SETTINGS.items() if not isinstance(settings.get(key), kind)]:
        raise BadInput(f"{path}: {', '.join(wrong)} missing or of another kind; {RESTART}")
    return settings


def read_summary(run: Path) -> dict:
    """Return a run's ``summary.json``.

    Raises:
        BadInput: it is missing, is not JSON, or lacks a key.
    """
    path = run / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist; {RESUME}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as JSON ({error}); delete it and {RESUME}") from error
    if not isinstance(summary, dict) or (missing := sorted(_SUMMARY_KEYS - summary.keys())):
        lacking = "is not a JSON object" if not isinstance(summary, dict) else f"lacks {', '.join(missing)}"
        raise BadInput(f"{path}: {lacking}; delete it and {RESUME}")
    return {"damaged": [], **summary}  # which runs of earlier versions do not name


def read_table(
    run: Path, name: str, columns: Collection[str], numbers: Collection[str] = (), resume: str = RESUME
) -> pd.DataFrame:
    """Return one of a run's CSV files, for example ``predictions.csv``.

    Args:
        run: the run folder.
        name: the file's name in it.
        columns: those it must have.
        numbers: those of them that must hold numbers.
        resume: what to do where it is missing or damaged.

    Raises:
        BadInput: it is missing, is not a table, is empty, lacks a column, or holds something else for a number.
    """
    path = run / name
    try:
        table = pd.read_csv(path, dtype={"sequence": str, "subject": str})
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist; {resume}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as a table ({error}); delete it and {resume}") from error
    if missing := [column for column in columns if column not in table]:
        raise BadInput(f"{path}: lacks the column {', '.join(missing)}; delete it and {resume}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        state = "has no rows" if table.empty else "has empty cells"
        raise BadInput(f"{path}: {state}; delete it and {resume}")
    if wrong := [column for column in numbers if not pd.api.types.is_numeric_dtype(table[column])]:
        raise BadInput(f"{path}: {', '.join(wrong)} not a number in every row; delete it and {resume}")
    return table


def read_predictions(run: Path, summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return a run's ``predictions.csv``.

    Args:
        run: the run folder.
        summary: its ``summary.json``, for the class names, and whether there is a row for every seed.

    Raises:
        BadInput: it cannot be read as :func:`read_table` says, names another class, or holds a probability that is
            none.
    """
    path = run / "predictions.csv"
    classes = summary["classes"]
    probabilities = [f"p_{name}" for name in classes]
    by_seed = summary["seeds"] > 1 and not summary.get("ensemble")
    numbers = ["fold", *(["seed"] if by_seed else []), *probabilities]
    table = read_table(run, path.name, ["sequence", "subject", "fold", "truth", "prediction", *numbers[1:]], numbers)
    if unknown := (set(table["truth"]) | set(table["prediction"])) - set(classes):
        raise BadInput(
            f"{path}: names {', '.join(sorted(map(str, unknown)))}, which summary.json does not list among its "
            f"classes; delete both and {RESUME}"
        )
    if not table[probabilities].stack().between(0, 1).all():
        raise BadInput(f"{path}: holds probabilities below 0 or above 1; delete it and {RESUME}")
    return table


def read_saliency(run: Path) -> dict[str, Any] | None:
    """Return a run's ``saliency.json``; None before ``face-strnn saliency``.

    Raises:
        BadInput: it is not JSON, or holds something else than that command writes.
    """
    path = run / "saliency.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as JSON ({error}); delete it and {_SALIENCY_AGAIN}") from error
    if not isinstance(found, dict) or not _are_scores(found.get("localisation")):
        raise BadInput(f"{path}: its localisation is not as a run writes it; delete it and {_SALIENCY_AGAIN}")
    return found


def _are_scores(rows: Any) -> bool:  # noqa: ANN401
    """Whether this is what :func:`face_strnn.saliency.localisation.localisation` gives, or null."""
    if rows is None:
        return True
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("saliency"), str)
        and row.get("kind") in ("network", "control")
        and isinstance(row.get("auc"), dict)
        and row["auc"].keys() == rows[0]["auc"].keys()
        and all(isinstance(area, int | float) for area in [*row["auc"].values(), row.get("mean")])
        and isinstance(row.get("mean_among_moved"), int | float | None)
        for row in rows
    )


def checkpoints_of(run: Path, n_networks: int) -> list[Path]:
    """Return the checkpoints, one per fold and seed, in order of the folds.

    Raises:
        BadInput: there are fewer than ``n_networks``.
    """
    folder = run / "checkpoints"
    found = checkpoint_files(folder)
    if len(found) < n_networks:
        raise BadInput(f"{folder}: holds {len(found)} of {n_networks} checkpoints (fold-NN.safetensors); {RESUME}")
    return found
