"""Baselines on maps pooled over the face: what is recognised from time alone, or without time and space.

Each is scikit-learn's or PyTorch's own. They are trained on the STRNN's training samples, all variants included;
channels are scaled by the training subjects' mean and standard deviation; settings are chosen by
:mod:`face_strnn.evaluation.nested`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from data_prep.divergence import require_finite
from face_strnn.config import Config, TrainingConfig
from face_strnn.evaluation.nested import FoldPredictions, Setting, nested_predictions
from face_strnn.models.time_steps import time_steps
from face_strnn.training.samples import Samples

COSTS = (1e-3, 1e-2, 1e-1, 1.0)
"""The logistic regression's C."""

LEARNING_RATES = (1e-3, 4e-3)
CNN_CHANNELS = 64
WEIGHT_DECAY = 0.01


def logistic_regression(samples: Samples) -> FoldPredictions:
    """Return a logistic regression on the mean map of a sequence, over all its frames and nodes."""
    means = np.stack([maps.float().mean((0, 1, 2)).numpy() for maps in samples])  # (N, C)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    settings = [{"logisticregression__C": cost} for cost in COSTS]

    def predict(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, Setting]:
        labels, setting = nested_predictions(pipeline, settings, means, samples, train, test)
        return labels, {"C": setting["logisticregression__C"]}

    return predict


class BidirectionalLSTM(nn.Module):
    """PyTorch's bidirectional LSTM; a linear layer on the last state of each direction.

    Args:
        channels: of a time step.
        n_classes: number of classes.
        hidden: units of each direction.
    """

    def __init__(self, channels: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, n_classes)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the logits (B, classes) of sequences (B, L, C)."""
        _, (last, _) = self.recurrent(steps)  # (2, B, hidden)
        return self.output(last.transpose(0, 1).flatten(1))


class TemporalCNN(nn.Module):
    """Two convolutions over time; a linear layer on each channel's maximum over time.

    Args:
        channels: of a time step.
        n_classes: number of classes.
        kernel: time steps that a convolution reads, an odd number.
    """

    def __init__(self, channels: int, n_classes: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, CNN_CHANNELS, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(CNN_CHANNELS, CNN_CHANNELS, kernel, padding=kernel // 2)
        self.output = nn.Linear(CNN_CHANNELS, n_classes)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the logits (B, classes) of sequences (B, L, C)."""
        features = self.second(self.first(steps.transpose(1, 2)).relu()).relu()  # (B, channels, L)
        return self.output(features.amax(2))


@dataclass(eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A network on (N, L, C) time steps behind scikit-learn's interface.

    Channels are scaled by the mean and standard deviation of the samples that it is fitted to. It is trained by AdamW
    with a cosine schedule, for the STRNN's epochs and in batches of its size.

    Args:
        training: its ``epochs`` and ``batch_size`` are used.
        n_classes: number of classes.
        seed: of the initial parameters and the order of the samples.
        device: where it is trained.
        learning_rate: AdamW's.

    Attributes:
        settings: that :func:`pooled_network` chooses from.
    """

    settings: ClassVar[tuple[Setting, ...]]

    training: TrainingConfig
    n_classes: int
    seed: int = 0
    device: torch.device | str = "cpu"
    learning_rate: float = 1e-3

    @abstractmethod
    def build(self, channels: int) -> nn.Module:
        """Return the untrained network."""

    def fit(self, steps: np.ndarray, labels: np.ndarray) -> "NetworkClassifier":
        """Train on (N, L, C) steps and (N,) labels.

        Raises:
            BadInput: training diverges.
        """
        self.scaler_ = StandardScaler().fit(steps.reshape(-1, steps.shape[2]))
        steps, labels = self._scaled(steps), torch.from_numpy(labels).to(self.device)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
            torch.manual_seed(self.seed)
            network = self.build(steps.shape[2]).to(self.device)
        order = np.random.default_rng(self.seed)
        optimiser = torch.optim.AdamW(network.parameters(), self.learning_rate, weight_decay=WEIGHT_DECAY)
        n_batches = -(-len(steps) // self.training.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.training.epochs * n_batches)
        for epoch in range(1, self.training.epochs + 1):
            total = torch.zeros((), device=self.device)
            for batch in np.array_split(order.permutation(len(steps)), n_batches):
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(network(steps[batch]), labels[batch])
                loss.backward()
                optimiser.step()
                schedule.step()
                total += loss.detach()
            require_finite(
                f"{type(network).__name__}, seed {self.seed}, epoch {epoch}",
                f"learning_rate {self.learning_rate:g}",
                {"loss": [total], "parameters": network.parameters()},
                "leave this method out with --only, which names those to run",
            )
        self.network_ = network.eval()
        return self

    @torch.inference_mode()
    def predict(self, steps: np.ndarray) -> np.ndarray:
        """Return the labels (N,) of steps (N, L, C)."""
        return self.network_(self._scaled(steps)).argmax(1).cpu().numpy()

    def _scaled(self, steps: np.ndarray) -> Tensor:
        scaled = self.scaler_.transform(steps.reshape(-1, steps.shape[2])).reshape(steps.shape)
        return torch.from_numpy(scaled).float().to(self.device)


@dataclass(eq=False, repr=False)
class LSTMClassifier(NetworkClassifier):
    """Fits a :class:`BidirectionalLSTM` of ``hidden`` units."""

    settings = tuple({"hidden": hidden, "learning_rate": rate} for hidden, rate in product((32, 96), LEARNING_RATES))

    hidden: int = 32

    def build(self, channels: int) -> nn.Module:  # noqa: D102
        return BidirectionalLSTM(channels, self.n_classes, self.hidden)


@dataclass(eq=False, repr=False)
class CNNClassifier(NetworkClassifier):
    """Fits a :class:`TemporalCNN` whose convolutions read ``kernel`` time steps."""

    settings = tuple({"kernel": kernel, "learning_rate": rate} for kernel, rate in product((3, 7), LEARNING_RATES))

    kernel: int = 3

    def build(self, channels: int) -> nn.Module:  # noqa: D102
        return TemporalCNN(channels, self.n_classes, self.kernel)


def pooled_network(
    kind: type[NetworkClassifier],
    samples: Samples,
    config: Config,
    seed: int,
    device: torch.device | str = "cpu",
) -> FoldPredictions:
    """Return a network on maps pooled over the face and brought to the L time steps of the STRNN.

    Args:
        kind: :class:`LSTMClassifier` or :class:`CNNClassifier`; its ``settings`` are chosen from inside the training
            folds.
        samples: those for training and testing.
        config: of the STRNN: its time steps, epochs and batches.
        seed, device: see :class:`NetworkClassifier`.
    """
    steps = np.stack([_pooled_steps(maps, config.network.length, config.training.interpolation) for maps in samples])
    classifier = kind(config.training, len(samples.class_names), seed, device)
    return lambda train, test: nested_predictions(classifier, kind.settings, steps, samples, train, test)


def _pooled_steps(maps: Tensor, length: int, how: str) -> np.ndarray:
    """(frames, h, w, C) -> (L, C)."""
    frames = maps.float().mean((1, 2))
    weights = time_steps(len(frames), length, how)
    padding = frames.new_zeros(weights.shape[1] - len(frames), frames.shape[1])
    return (weights @ torch.cat((frames, padding))).numpy()
