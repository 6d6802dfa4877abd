"""``summary.json``: the figures of a run."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StrictFloat, StrictInt, ValidationError, model_validator

from data_prep.atomic_files import write_text_whole
from data_prep.errors import BadInput
from face_strnn.config import Variant

SUMMARY_FILE = "summary.json"
RESUME = "run `face-strnn cv` again with the same --out: it resumes"

Number = StrictInt | StrictFloat
Count = Annotated[StrictInt, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Interval = Annotated[list[Fraction], Field(min_length=2, max_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")


class BaselineScore(_Part):
    """A baseline under the run's folds; fractions from 0 to 1."""

    name: str
    accuracy: Fraction
    accuracy_interval: Interval | None = None
    mean_class_recall: Fraction | None = None


class FrozenScore(_Part):
    """The networks that fine-tuning started from, and what it changed.

    Attributes:
        accuracy, accuracy_interval, mean_class_recall: of the frozen networks.
        difference, difference_interval: of the fine-tuned networks' accuracy to theirs.
        mcnemar_p, permutation_p: of the paired tests, see :class:`face_strnn.evaluation.significance.PairedDifference`.
    """

    accuracy: Fraction
    accuracy_interval: Interval | None
    mean_class_recall: Fraction
    difference: Number
    difference_interval: list[Number] | None
    mcnemar_p: Number | None
    permutation_p: Number


class MemberScores(_Part):
    """The accuracies of an ensemble's single networks; ``std`` is of the sample (n - 1)."""

    seeds: list[Count]
    accuracies: list[Fraction]
    mean: Fraction
    std: Fraction | None


class NetworkScore(_Part):
    """A single network on sequences that it was trained on and on those that were held out from it.

    Attributes:
        fold, seed: which network.
        training_sequences: number of sequences of its training that it was asked again: those that the next fold tests.
        training_accuracy: on these.
        held_out_sequences, held_out_accuracy: the same for its test sequences.
    """

    fold: PositiveInt
    seed: Count
    training_sequences: PositiveInt
    training_accuracy: Fraction
    held_out_sequences: PositiveInt
    held_out_accuracy: Fraction


class Summary(_Part):
    """The figures of a run and what they were measured on. Fractions are from 0 to 1.

    Attributes:
        data: ``"synthetic"`` or the data set's name.
        protocol, selection, seed, seeds, learn_from: see :class:`face_strnn.evaluation.settings.Plan`.
        variant: ``"strnn"``, or the paper's ablation.
        tested: ``"unrotated"``, or the number of variants over which predictions were averaged.
        ensemble: number of networks whose mean is the prediction; None without an ensemble.
        epochs: passes over the training samples.
        classes: their names, in the order of the network's outputs.
        accuracy: over all test sequences, pooled over folds; ``accuracy_interval`` is its 95 % bootstrap interval over
            subjects, None with one subject.
        fold_accuracies, mean_fold_accuracy, std_fold_accuracy: over folds; the standard deviation is of the sample.
        mean_class_recall, mean_class_recall_interval, class_recalls: UAR; None for a class that does not occur.
        confusion_matrix: counts, rows truth.
        n_sequences, n_subjects: tested; ``n_samples``: variants that were learned from or tested on as originals.
        seed_accuracies: one per seed; ``members`` of an ensemble.
        networks: every network's accuracy in training and in test.
        left_out, damaged: sequences without a face, and unreadable ones.
        warnings: classes that a fold's network was never trained on.
        baselines: under the same folds.
        features: the store's recipe, its fingerprint, and the samples' checksum.
        spatial_scan: what computed the spatial layer.
        versions: of Python and the packages.
        command: how to repeat the run.
        seconds: of the last call.
        finetune, finetuning, frozen: of a fine-tuned run.
    """

    data: str
    protocol: str
    selection: str
    seed: Count
    seeds: PositiveInt
    variant: Variant
    learn_from: str
    tested: str
    ensemble: Count | None
    epochs: Count
    classes: list[str]
    accuracy: Fraction
    fold_accuracies: list[Fraction]
    mean_fold_accuracy: Fraction
    std_fold_accuracy: Fraction | None
    mean_class_recall: Fraction
    accuracy_interval: Interval | None
    mean_class_recall_interval: Interval | None
    class_recalls: dict[str, Fraction | None]
    confusion_matrix: list[list[Count]]
    n_sequences: Count
    n_subjects: Count
    seed_accuracies: list[Fraction]
    members: MemberScores | None = None
    networks: list[NetworkScore]
    n_samples: Count
    left_out: list[str]
    damaged: list[str]
    warnings: list[str]
    baselines: list[BaselineScore]
    features: dict[str, Any]
    spatial_scan: str
    versions: dict[str, str]
    command: str
    seconds: Number
    finetune: str = "none"
    finetuning: dict[str, Any] | None = None
    frozen: FrozenScore | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        n_classes = len(self.classes)
        agree = {
            "confusion_matrix": [len(row) for row in self.confusion_matrix] == [n_classes] * n_classes,
            "class_recalls": set(self.class_recalls) == set(self.classes),
            "seed_accuracies": len(self.seed_accuracies) == self.seeds,
            "members": (self.members is None) == (self.ensemble is None),
            "networks": bool(self.networks),
            "frozen": (self.frozen is None) == (self.finetune == "none"),
            "features": _are_counts(self.features.get("sequences", {"held": 0, "expected": 0})),
        }
        if wrong := [name for name, fits in agree.items() if not fits]:
            raise ValueError(", ".join(wrong))
        return self

    @classmethod
    def read(cls, run: Path) -> "Summary":
        """Read a run's ``summary.json``.

        Raises:
            BadInput: it is missing, is not JSON, lacks a key, or a value is not what a run writes.
        """
        path = run / SUMMARY_FILE
        try:
            text = path.read_text(encoding="utf-8")
            if not isinstance(json.loads(text), dict):
                raise BadInput(f"{path}: is not a JSON object; delete it and {RESUME}")
            return cls.model_validate_json(text)
        except FileNotFoundError as error:
            raise BadInput(f"{path}: does not exist; {RESUME}") from error
        except ValidationError as error:
            raise BadInput(f"{path}: {_what_is_wrong(error)}; delete it and {RESUME}") from error
        except BadInput:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"{path}: is not readable as JSON ({error}); delete it and {RESUME}") from error

    def write(self, run: Path) -> None:
        """Write ``summary.json``, whole or not at all."""
        write_text_whole(run / SUMMARY_FILE, json.dumps(self.model_dump(exclude_unset=True), indent=2) + "\n")

    @property
    def is_finetuned(self) -> bool:
        """Whether the backbones were fine-tuned with the networks."""
        return self.frozen is not None

    @property
    def partial(self) -> str:
        """What of the features there was, such as ``"18 of 24 sequences"``; empty if they were complete."""
        sequences = self.features.get("sequences")
        return f"{sequences['held']} of {sequences['expected']} sequences" if sequences else ""

    @property
    def training_accuracy(self) -> float:
        """Accuracy of the single networks on sequences of their own training, pooled."""
        right = sum(one.training_accuracy * one.training_sequences for one in self.networks)
        return right / sum(one.training_sequences for one in self.networks)

    @property
    def held_out_accuracy(self) -> float:
        """Accuracy of the single networks on their test sequences, pooled."""
        right = sum(one.held_out_accuracy * one.held_out_sequences for one in self.networks)
        return right / sum(one.held_out_sequences for one in self.networks)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.fold_accuracies)


def _are_counts(sequences: Any) -> bool:  # noqa: ANN401
    """Whether this says how many sequences partial features held, and of how many."""
    names = {"held", "expected"}
    return isinstance(sequences, dict) and sequences.keys() == names and {*map(type, sequences.values())} == {int}


def _what_is_wrong(error: ValidationError) -> str:
    """Name every key that is missing, else every key whose value is not what a run writes."""
    found = error.errors()
    if missing := sorted(str(one["loc"][0]) for one in found if one["type"] == "missing" and len(one["loc"]) == 1):
        return f"lacks {', '.join(missing)}"
    of_keys = dict.fromkeys(str(one["loc"][0]) for one in found if one["loc"])
    wrong = [*of_keys, *(str(one["ctx"]["error"]) for one in found if not one["loc"])]
    return f"{', '.join(wrong)} not as a run writes {'it' if len(wrong) == 1 else 'them'}: the file was edited"
