"""The experiments of a reproduction: the paper's network, its ablations, and the baselines that a reviewer expects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch

from data_prep.errors import BadInput
from face_strnn.config import Config, LearnFrom
from face_strnn.evaluation.baselines import apex_svm
from face_strnn.evaluation.nested import FoldPredictions
from face_strnn.experiments.pooled_baselines import CNNClassifier, LSTMClassifier, logistic_regression, pooled_network
from face_strnn.training.samples import Samples

Group = Literal["STRNN", "ablation", "baseline"]

REFERENCE = "strnn"
"""The experiment that all others are compared with."""


@dataclass(frozen=True)
class Experiment:
    """One method under the folds of a reproduction.

    Attributes:
        name: of its folder.
        label: in tables.
        group: its part of the table.
        seeded: whether it depends on a seed, and is repeated with several.
        network, training: settings that differ from those of the reproduction.
        learn_from: which variants it is trained on.
        baseline: makes the fit-and-predict function from samples, settings, seed and device; None for an STRNN.
    """

    name: str
    label: str
    group: Group
    seeded: bool = True
    network: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    learn_from: LearnFrom = "all"
    baseline: Callable[[Samples, Config, int, torch.device | str], FoldPredictions] | None = None

    def configured(self, config: Config, n_variants: int) -> Config:
        """Return the settings of this experiment.

        Without variants an epoch has fewer steps, so the number of epochs grows until the number of steps is the same.

        Args:
            config: those of the reproduction.
            n_variants: variants of every sequence in the features, the original included.
        """
        training = replace(config.training, **self.training)
        if self.learn_from == "original":
            training = replace(training, epochs=training.epochs * n_variants)
        return Config(replace(config.network, **self.network), training)


def experiments(config: Config, n_variants: int) -> tuple[Experiment, ...]:
    """Return all experiments, the reference first.

    Args:
        config: the settings of the reproduction: the other activation is an ablation.
        n_variants: of every sequence in the features; with one, there is no augmentation to omit.
    """
    other = "sigmoid" if config.network.activation == "relu" else "relu"
    written = {"relu": "ReLU", "sigmoid": "sigmoid"}[other]
    ablations = [
        Experiment("srnn", "SRNN only", "ablation", network={"variant": "srnn"}),
        Experiment("trnn", "TRNN only", "ablation", network={"variant": "trnn"}),
        Experiment("non-sparse", "non-sparse STRNN", "ablation", training={"lambda1": 0.0, "lambda2": 0.0}),
        Experiment(other, f"STRNN with {written}", "ablation", network={"activation": other}),
    ]
    if n_variants > 1:
        ablations.append(Experiment("no-rotation", "STRNN without augmentation", "ablation", learn_from="original"))
    lstm, cnn = (partial(pooled_network, kind) for kind in (LSTMClassifier, CNNClassifier))
    return (
        Experiment(REFERENCE, "STRNN", "STRNN"),
        *ablations,
        Experiment("svm", "linear SVM, apex maps", "baseline", seeded=False, baseline=lambda s, *_: apex_svm(s)),
        Experiment(
            "logistic", "logistic regression, mean maps", "baseline", seeded=False,
            baseline=lambda s, *_: logistic_regression(s),
        ),
        Experiment("lstm", "bidirectional LSTM, pooled maps", "baseline", baseline=lstm),
        Experiment("cnn", "temporal CNN, pooled maps", "baseline", baseline=cnn),
    )  # fmt: skip


def chosen_experiments(only: Sequence[str] | None, config: Config, n_variants: int) -> tuple[Experiment, ...]:
    """Return the experiments of these names and the reference; all where no names are given.

    Raises:
        BadInput: an unknown name, or an ablation of variants that the features do not hold.
    """
    known = experiments(config, n_variants)
    if only is None:
        return known
    names = [one.name for one in known]
    for name in only:
        if name == "no-rotation" and name not in names:
            raise BadInput(
                "--only no-rotation: the features hold no rotated copies to omit; "
                "run `face-strnn prepare` with --augment, or omit no-rotation"
            )
        if name not in names:
            raise BadInput(f"--only {name}: no experiment of that name; there are {', '.join(names)}")
    return tuple(one for one in known if one.name in (REFERENCE, *only))
