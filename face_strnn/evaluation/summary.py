"""What kind of value each key of ``summary.json`` has, so that an edited file is named and not drawn."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import BadInput
from face_strnn.evaluation.run_folder import RESUME


def require_summary_kinds(run: Path, summary: Mapping[str, Any]) -> None:
    """Refuse a summary whose values are not what a page and a table can show; the audit says whether they are true.

    Args:
        run: the run folder, to be named.
        summary: what :func:`face_strnn.evaluation.run_folder.read_summary` gave.

    Raises:
        BadInput: values are of another kind; every key is named.
    """
    wrong = [key for key, fits in _KINDS.items() if not fits(summary[key])]
    if "finetune" in summary or "frozen" in summary:
        wrong += [key for key, fits in _KINDS_OF_FINETUNED.items() if not fits(summary.get(key))]
    wrong += [key for key, fits in _KINDS_SINCE.items() if key in summary and not fits(summary[key])]
    if summary.get("ensemble") and "members" not in summary:
        wrong.append("members")
    if not wrong:
        n_classes, matrix = len(summary["classes"]), summary["confusion_matrix"]
        if [len(row) for row in matrix] != [n_classes] * n_classes:
            wrong.append("confusion_matrix")
        if set(summary["class_recalls"]) != set(summary["classes"]):
            wrong.append("class_recalls")
        if len(summary["seed_accuracies"]) != summary["seeds"]:
            wrong.append("seed_accuracies")
    if wrong:
        raise BadInput(
            f"{run / 'summary.json'}: {', '.join(wrong)} not as a run writes {'it' if len(wrong) == 1 else 'them'}: "
            f"the file was edited; delete it and {RESUME}"
        )


def _count(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int) and value >= 0


def _fraction(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and 0 <= value <= 1


def _text(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _optional(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _interval(value: Any) -> bool:  # noqa: ANN401
    return _list_of(_fraction)(value) and len(value) == 2


def _mapping_to(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _baseline(value: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(value, dict)
        and _text(value.get("name"))
        and _fraction(value.get("accuracy"))
        and _optional(_interval)(value.get("accuracy_interval"))
        and _optional(_fraction)(value.get("mean_class_recall"))
    )


def _number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float)


def _frozen(value: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(value, dict)
        and _baseline({"name": "", **value})
        and _number(value.get("difference"))
        and _optional(_list_of(_number))(value.get("difference_interval"))
        and _optional(_number)(value.get("mcnemar_p"))
        and _number(value.get("permutation_p"))
    )


_KINDS_OF_FINETUNED: Mapping[str, Callable[[Any], bool]] = {"finetune": _text, "frozen": _frozen}


def _members(value: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(value, dict)
        and _list_of(_count)(value.get("seeds"))
        and _list_of(_fraction)(value.get("accuracies"))
        and _fraction(value.get("mean"))
        and _optional(_fraction)(value.get("std"))
    )


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "accuracy": _fraction,
    "accuracy_interval": _optional(_interval),
    "mean_class_recall": _fraction,
    "mean_class_recall_interval": _optional(_interval),
    "mean_fold_accuracy": _fraction,
    "std_fold_accuracy": _optional(_fraction),
    "fold_accuracies": _list_of(_fraction),
    "seed_accuracies": _list_of(_fraction),
    "classes": _list_of(_text),
    "class_recalls": _mapping_to(_optional(_fraction)),
    "confusion_matrix": _list_of(_list_of(_count)),
    "n_sequences": _count,
    "n_subjects": _count,
    "n_samples": _count,
    "epochs": _count,
    "seed": _count,
    "seeds": lambda value: _count(value) and value > 0,
    "seconds": lambda value: isinstance(value, int | float),
    "protocol": _text,
    "selection": _text,
    "data": _text,
    "command": _text,
    "left_out": _list_of(_text),
    "damaged": _list_of(_text),
    "baselines": _list_of(_baseline),
    "versions": _mapping_to(_text),
    "features": lambda value: isinstance(value, dict),
}

_KINDS_SINCE: Mapping[str, Callable[[Any], bool]] = {
    "tested": _text,
    "ensemble": _optional(_count),
    "members": _members,
}
"""Of keys that earlier runs lack."""
