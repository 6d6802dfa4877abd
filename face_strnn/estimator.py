"""The STRNN as a scikit-learn classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d
from torch import Tensor

from data_prep.device import compute_device
from data_prep.divergence import require_finite
from data_prep.errors import BadInput
from face_strnn.config import Config, Interpolation, NetworkConfig, Precision, TrainingConfig, Variant
from face_strnn.models.scan import Scan
from face_strnn.training.optimisation import LOWER_RATE
from face_strnn.training.probabilities import probabilities
from face_strnn.training.samples import channel_moments
from face_strnn.training.stack import StackedNetwork, TrainingSamples, train

MapSequences = Sequence[np.ndarray] | Sequence[Tensor] | np.ndarray | Tensor


@dataclass(kw_only=True, eq=False, repr=False)
class STRNNClassifier(ClassifierMixin, BaseEstimator):
    """Spatial-temporal recurrent neural network over sequences of pooling maps.

    Args:
        spatial_hidden, spatial_output, spatial_projection, temporal_hidden, length, temporal_projection, activation,
            variant: sizes of the network, see :class:`face_strnn.config.NetworkConfig`; input size, grid and number of
            classes are those of the data.
        epochs, batch_size, optimiser, learning_rate, schedule, warmup, weight_decay, gradient_clip, lambda1, lambda2,
            dropout, label_smoothing, interpolation, precision: see :class:`face_strnn.config.TrainingConfig`.
        scan: traversals of nodes that form no grid, such as sensors; sequences are then (frames, K, C).
        random_state: seed of the initial parameters.
        device: ``"auto"`` trains on a GPU if there is one.

    Attributes:
        classes_: (n_classes,) the labels in ascending order.
        network_: the trained :class:`face_strnn.STRNN`.

    Example:
        >>> from sklearn.model_selection import cross_val_predict
        >>> from face_strnn import STRNNClassifier, SubjectKFold
        >>> rng = np.random.default_rng(0)
        >>> X = [rng.normal(size=(frames, 2, 2, 3)) for frames in (4, 5, 6, 4)]
        >>> y, subjects = ["fear", "anger", "fear", "anger"], ["S1", "S1", "S2", "S2"]
        >>> classifier = STRNNClassifier(spatial_hidden=4, temporal_hidden=4, length=6, epochs=2)
        >>> cross_val_predict(classifier, X, y, groups=subjects, cv=SubjectKFold(2)).shape
        (4,)
    """

    spatial_hidden: int = 50
    spatial_output: int = 50
    spatial_projection: int = 10
    temporal_hidden: int = 150
    length: int = 44
    temporal_projection: int = 5
    activation: Literal["relu", "sigmoid"] = "relu"
    variant: Variant = "strnn"
    epochs: int = TrainingConfig.epochs
    batch_size: int = TrainingConfig.batch_size
    optimiser: Literal["adamw", "sgd"] = TrainingConfig.optimiser
    learning_rate: float = TrainingConfig.learning_rate
    schedule: Literal["cosine", "constant"] = TrainingConfig.schedule
    warmup: float = TrainingConfig.warmup
    weight_decay: float = TrainingConfig.weight_decay
    gradient_clip: float = TrainingConfig.gradient_clip
    lambda1: float = TrainingConfig.lambda1
    lambda2: float = TrainingConfig.lambda2
    dropout: float = TrainingConfig.dropout
    label_smoothing: float = TrainingConfig.label_smoothing
    interpolation: Interpolation = TrainingConfig.interpolation
    precision: Precision = TrainingConfig.precision
    scan: Scan | None = None
    random_state: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def fit(self, X: MapSequences, y: Sequence) -> Self:
        """Train the network.

        Args:
            X: N sequences of maps, each (frames, h, w, C) with its own number of frames.
            y: (N,) labels of any kind.

        Raises:
            BadInput: no sequences, maps that differ in size, hold NaN or are constant, a single class, a setting out of
                range, or training diverges.
        """
        maps = _sequences(X, self.scan)
        y = column_or_1d(y)
        check_consistent_length(maps, y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise BadInput(f"all {len(y)} sequences are of the class {self.classes_[0]}; a classifier needs two")
        network, training = (
            kind(**{field.name: getattr(self, field.name) for field in fields(kind) if hasattr(self, field.name)})
            for kind in (NetworkConfig, TrainingConfig)
        )
        config = Config(network.for_maps(maps[0].shape[1:], len(self.classes_)), training)
        stacked = StackedNetwork(1, self.random_state, np.ones(len(maps), bool))
        samples = TrainingSamples(maps, torch.from_numpy(labels), channel_moments(maps), source="X")
        stack = train([stacked], samples, config, device=compute_device(self.device), scan=self.scan)
        self.network_ = stack.models()[0]
        return self

    def predict_proba(self, X: MapSequences) -> np.ndarray:
        """Return (N, n_classes) probabilities, in the order of ``classes_``.

        Raises:
            BadInput: maps of other sizes than in training, or NaN in them; or the network's outputs are not finite.
        """
        check_is_fitted(self)
        maps = _sequences(X, self.scan)
        predicted = probabilities(self.network_, maps, self.interpolation)
        rate, found = f"learning_rate {self.learning_rate:g}", {"probabilities": [predicted]}
        require_finite(f"random_state {self.random_state}, after the last epoch", rate, found, LOWER_RATE)
        return predicted

    def predict(self, X: MapSequences) -> np.ndarray:
        """Return (N,) the most probable label of each sequence. Raises as :meth:`predict_proba` does."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _sequences(X: MapSequences, scan: Scan | None) -> list[Tensor]:
    shape = "(frames, h, w, channels)" if scan is None else f"(frames, {scan.n_nodes}, channels)"
    maps = [torch.as_tensor(np.ascontiguousarray(sequence)) for sequence in X]
    if not maps:
        raise BadInput(f"no sequences; give at least one of shape {shape}")
    for number, sequence in enumerate(maps):
        fits = sequence.dim() == 4 if scan is None else sequence.dim() == 3 and sequence.shape[1] == scan.n_nodes
        if not fits or sequence.shape[1:] != maps[0].shape[1:] or not len(sequence):
            raise BadInput(
                f"sequence {number} has the shape {tuple(sequence.shape)}; all must be {shape} with "
                f"the same sizes and at least one frame, as sequence 0, {tuple(maps[0].shape)}"
            )
        if not torch.isfinite(sequence).all():
            raise BadInput(f"sequence {number} holds NaN or infinity; compute its maps again")
    return maps
