"""The experiments of a reproduction: the paper's network, its ablations, and what a reviewer asks to see beside it."""

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
"""The experiment that all others are held against."""


@dataclass(frozen=True)
class Experiment:
    """One method under the folds of a reproduction.

    Attributes:
        name: of its folder.
        label: as tables print it.
        group: what it is for.
        seeded: whether initial parameters are drawn, so that seeds repeat it.
        network, training: settings that differ from those of the reproduction.
        learn_from: which variants it learns from.
        baseline: makes the fold-by-fold test of a baseline, of the samples, the settings, a seed and a device; None for
            an STRNN.
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

        Without variants an epoch has fewer steps: there are as many more of them, so that all are trained for as many
        steps.

        Args:
            config: those of the reproduction.
            n_variants: variants of every sequence in the features, the one as it was taken among them.
        """
        training = replace(config.training, **self.training)
        if self.learn_from == "original":
            training = replace(training, epochs=training.epochs * n_variants)
        return Config(replace(config.network, **self.network), training)


def experiments(config: Config, n_variants: int) -> tuple[Experiment, ...]:
    """Return all experiments, the reference first.

    Args:
        config: the settings of the reproduction: the other activation is tried beside them.
        n_variants: of every sequence in the features; where there is one, nothing can be left out.
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
        BadInput: there is none of a name, or the variants that it leaves out are not in the features.
    """
    known = experiments(config, n_variants)
    if only is None:
        return known
    names = [one.name for one in known]
    for name in only:
        if name == "no-rotation" and name not in names:
            raise BadInput(
                "--only no-rotation: the features hold no rotated copies that could be left out; "
                "run `face-strnn prepare` with --augment, or leave it out"
            )
        if name not in names:
            raise BadInput(f"--only {name}: no experiment of that name; there are {', '.join(names)}")
    return tuple(one for one in known if one.name in (REFERENCE, *only))
