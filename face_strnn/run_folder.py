"""The files of a run folder, read back."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from data_prep.errors import BadInput

RESUME = "run `face-strnn cv` again with the same --out: it resumes"
RESTART = "run `face-strnn cv` again with another --out"

_SUMMARY_KEYS = frozenset({
    "accuracy", "fold_accuracies", "mean_fold_accuracy", "std_fold_accuracy", "mean_class_recall", "accuracy_interval",
    "mean_class_recall_interval", "class_recalls", "confusion_matrix", "classes", "n_sequences", "n_subjects",
    "n_samples", "left_out", "protocol", "selection", "seed", "seeds", "seed_accuracies", "epochs", "seconds",
    "versions", "features", "data", "command", "baselines",
})  # fmt: skip


_SETTINGS: Mapping[str, type] = {
    "data": str, "features": dict, "protocol": str, "folds": int, "selection": str, "seed": int, "seeds": int,
    "network": dict, "training": dict,
}  # fmt: skip


def checkpoint_name(fold: int, seed: int, first_seed: int) -> str:
    """Return the name of the file that holds the network of a fold, from 1, and a seed."""
    of_seed = "" if seed == first_seed else f"-seed-{seed}"
    return f"fold-{fold:02d}{of_seed}.safetensors"


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
    return summary


def read_table(run: Path, name: str, columns: Collection[str]) -> pd.DataFrame:
    """Return one of a run's CSV files, for example ``predictions.csv``.

    Args:
        run: the run folder.
        name: the file's name in it.
        columns: those it must have.

    Raises:
        BadInput: it is missing, is not a table, is empty, or lacks a column.
    """
    path = run / name
    try:
        table = pd.read_csv(path, dtype={"sequence": str, "subject": str})
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist; {RESUME}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: is not readable as a table ({error}); delete it and {RESUME}") from error
    if missing := [column for column in columns if column not in table]:
        raise BadInput(f"{path}: lacks the column {', '.join(missing)}; delete it and {RESUME}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        state = "has no rows" if table.empty else "has empty cells"
        raise BadInput(f"{path}: {state}; delete it and {RESUME}")
    return table


def checkpoints_of(run: Path, n_networks: int) -> list[Path]:
    """Return the checkpoints, one per fold and seed, in order of the folds.

    Raises:
        BadInput: there are fewer than ``n_networks``.
    """
    folder = run / "checkpoints"
    found = sorted(folder.glob("fold-*.safetensors"))
    if len(found) < n_networks:
        raise BadInput(f"{folder}: holds {len(found)} of {n_networks} checkpoints (fold-NN.safetensors); {RESUME}")
    return found
