"""Baselines on maps pooled over the face: what time alone, or neither time nor place, tells of an emotion.

Each is scikit-learn's or PyTorch's own. They learn from the samples that the STRNN learns from, all variants among
them; channels are scaled by the training subjects' own mean and spread; settings are chosen by
:mod:`face_strnn.experiments.nested`.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from face_strnn.config import Config
from face_strnn.evaluation.baselines import FoldBaseline
from face_strnn.experiments.nested import Setting, nested_answers
from face_strnn.models.time_steps import time_steps
from face_strnn.training.samples import Samples

LOGISTIC_SETTINGS = tuple({"C": cost} for cost in (1e-3, 1e-2, 1e-1, 1.0))
LSTM_SETTINGS = tuple({"hidden": hidden, "learning_rate": rate} for hidden, rate in product((32, 96), (1e-3, 4e-3)))
CNN_SETTINGS = tuple({"kernel": kernel, "learning_rate": rate} for kernel, rate in product((3, 7), (1e-3, 4e-3)))
CNN_CHANNELS = 64
WEIGHT_DECAY = 0.01


def logistic_regression(samples: Samples) -> FoldBaseline:
    """Return a logistic regression on the mean map of a sequence, over all its frames and places."""
    means = np.stack([maps.float().mean((0, 1, 2)).numpy() for maps in samples])  # (N, C)
    labels = samples.labels.numpy()

    def learn(taught: np.ndarray, asked: np.ndarray, setting: Setting) -> np.ndarray:
        scaler = StandardScaler().fit(means[taught])
        regression = LogisticRegression(C=setting["C"], max_iter=2000)
        regression.fit(scaler.transform(means[taught]), labels[taught])
        return regression.predict(scaler.transform(means[asked]))

    return lambda train, test: nested_answers(samples, train, test, LOGISTIC_SETTINGS, learn)


class BidirectionalLSTM(nn.Module):
    """PyTorch's LSTM both ways through time; a linear layer on the last state of each.

    Args:
        channels: of a time step.
        n_classes: number of classes.
        hidden: units of each way.
    """

    def __init__(self, channels: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.answer = nn.Linear(2 * hidden, n_classes)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the logits (B, classes) of sequences (B, L, C)."""
        _, (last, _) = self.recurrent(steps)  # (2, B, hidden)
        return self.answer(last.transpose(0, 1).flatten(1))


class TemporalCNN(nn.Module):
    """Two convolutions over time; a linear layer on the highest answer of each channel.

    Args:
        channels: of a time step.
        n_classes: number of classes.
        kernel: time steps that a convolution reads, an odd number.
    """

    def __init__(self, channels: int, n_classes: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, CNN_CHANNELS, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(CNN_CHANNELS, CNN_CHANNELS, kernel, padding=kernel // 2)
        self.answer = nn.Linear(CNN_CHANNELS, n_classes)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the logits (B, classes) of sequences (B, L, C)."""
        answers = self.second(self.first(steps.transpose(1, 2)).relu()).relu()  # (B, channels, L)
        return self.answer(answers.amax(2))


def bidirectional_lstm(samples: Samples, config: Config, seed: int, device: torch.device | str = "cpu") -> FoldBaseline:
    """Return a bidirectional LSTM on maps pooled over places, brought to the network's L time steps."""
    learn = _network_on(samples, BidirectionalLSTM, config, seed, device)
    return lambda train, test: nested_answers(samples, train, test, LSTM_SETTINGS, learn)


def temporal_cnn(samples: Samples, config: Config, seed: int, device: torch.device | str = "cpu") -> FoldBaseline:
    """Return a convolutional network over time on the same as :func:`bidirectional_lstm`."""
    learn = _network_on(samples, TemporalCNN, config, seed, device)
    return lambda train, test: nested_answers(samples, train, test, CNN_SETTINGS, learn)


def _network_on(
    samples: Samples, kind: Callable[..., nn.Module], config: Config, seed: int, device: torch.device | str
) -> Callable[[np.ndarray, np.ndarray, Setting], np.ndarray]:
    how = config.training.interpolation
    steps = np.stack([_pooled_steps(maps, config.network.length, how) for maps in samples])  # (N, L, C)
    labels = samples.labels
    build = partial(kind, steps.shape[2], len(samples.class_names))

    def learn(taught: np.ndarray, asked: np.ndarray, setting: Setting) -> np.ndarray:
        scaler = StandardScaler().fit(steps[taught].reshape(-1, steps.shape[2]))

        def scaled(numbers: np.ndarray) -> Tensor:
            of_all_steps = scaler.transform(steps[numbers].reshape(-1, steps.shape[2]))
            return torch.from_numpy(of_all_steps.reshape(len(numbers), *steps.shape[1:])).float().to(device)

        sizes = {name: value for name, value in setting.items() if name != "learning_rate"}
        network = _train(build, sizes, scaled(taught), labels[taught].to(device), setting, config, seed)
        with torch.inference_mode():
            return network(scaled(asked)).argmax(1).cpu().numpy()

    return learn


def _pooled_steps(maps: Tensor, length: int, how: str) -> np.ndarray:
    """(frames, h, w, C) -> (L, C)."""
    frames = maps.float().mean((1, 2))
    weights = time_steps(len(frames), length, how)
    padding = frames.new_zeros(weights.shape[1] - len(frames), frames.shape[1])
    return (weights @ torch.cat((frames, padding))).numpy()


def _train(
    build: Callable[..., nn.Module],
    sizes: Setting,
    steps: Tensor,
    labels: Tensor,
    setting: Setting,
    config: Config,
    seed: int,
) -> nn.Module:
    """Train by AdamW, its rate falling by half a cosine, for the epochs and in the batches of the STRNN."""
    epochs, batch_size = config.training.epochs, config.training.batch_size
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
        torch.manual_seed(seed)
        network = build(**sizes).to(steps.device)
    order = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(network.parameters(), setting["learning_rate"], weight_decay=WEIGHT_DECAY)
    n_batches = -(-len(steps) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * n_batches)
    for _ in range(epochs):
        for batch in np.array_split(order.permutation(len(steps)), n_batches):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(steps[batch]), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return network.eval()
