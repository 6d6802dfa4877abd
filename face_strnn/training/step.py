"""One step of training a stack of networks: forward, backward, clipping, update.

On the CPU every batch keeps its own number of frames. On a GPU all batches use the same memory, padded to the longest,
so that a step is recorded once as a CUDA graph and replayed: its some thousand small kernels then start without Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from face_strnn.config import Config
from face_strnn.models.kernels.compiled import Workspace
from face_strnn.models.scan import Scan
from face_strnn.models.strnn import MapBatch, logits
from face_strnn.models.time_steps import Taps, time_steps
from face_strnn.training.loss import mean_cross_entropy, sparsity_penalty
from face_strnn.training.optimisation import clip
from face_strnn.training.standardisation import Standardisation


@dataclass
class StackStep:
    """The part of a stack of M networks that a training step reads and changes.

    Attributes:
        config: the settings.
        parameters: for standardised maps, each with a leading dimension M.
        standardisation: per network.
        optimiser: of the parameters.
        scan: the directions.
    """

    config: Config
    parameters: dict[str, Tensor]
    standardisation: Standardisation
    optimiser: torch.optim.Optimizer
    scan: Scan

    def step(
        self,
        batch: MapBatch | None,
        labels: Tensor,
        train_mask: Tensor,
        sums: Tensor,
        dropout: Tensor | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        """Take one step.

        Args:
            batch: B sequences, or None if no network is trained on any: the optimiser still takes its step.
            labels: int64 (B,).
            train_mask: bool (M, B): the sequences that each network is trained on.
            sums: float64 (4, M): loss, cross entropy, correct predictions and number of training sequences are
                added to it.
            dropout: see :func:`face_strnn.models.strnn.logits`.
            workspace: memory that is reused from step to step.
        """
        settings, network = self.config.training, self.config.network
        if batch is None:
            outputs = labels.new_zeros(len(train_mask), 0, network.n_classes, dtype=torch.float32)
        else:
            folded = self.standardisation.fold_in(self.parameters)
            outputs = logits(folded, batch, self.scan, network.activation, settings.precision, dropout, workspace)
        entropies = mean_cross_entropy(outputs, labels, train_mask, settings.label_smoothing)
        losses = entropies + sparsity_penalty(self.parameters, settings.lambda1, settings.lambda2)
        self.optimiser.zero_grad(set_to_none=True)
        # The sum over networks gives each network the gradient of its own loss.
        losses.sum().backward()
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        clip(self.parameters.values(), settings.gradient_clip)
        self.optimiser.step()
        n_train = train_mask.sum(1)
        correct = ((outputs.argmax(2) == labels) & train_mask).sum(1)
        sums.add_(torch.stack((losses.detach() * n_train, entropies.detach() * n_train, correct, n_train)))


class DirectStep:
    """A step in memory of the batch's own size.

    Args:
        stack: the stack.
        sums: see :meth:`StackStep.step`.
    """

    def __init__(self, stack: StackStep, sums: Tensor) -> None:
        self._stack, self._sums, self._workspace = stack, sums, Workspace()

    def __call__(
        self, sequences: Sequence[Tensor], labels: Tensor, train_mask: Tensor, dropout: Tensor | None = None
    ) -> None:
        """Take one step on B sequences of maps, each (frames, h, w, C), labels (B,) and the training mask (M, B)."""
        network, settings = self._stack.config.network, self._stack.config.training
        batch = MapBatch.of(sequences, network.length, settings.interpolation) if sequences else None
        self._stack.step(batch, labels, train_mask, self._sums, dropout, self._workspace)


class RecordedStep:
    """A step in memory of fixed size, recorded as a CUDA graph if the stack is on a GPU.

    Args:
        stack: the stack.
        sums: see :meth:`StackStep.step`.
        n_sequences: of the largest batch; smaller ones are padded with sequences that no network is trained on.
        n_frames: of the longest batch, all its sequences together.
        maps: one sample's maps, for their shape and type.
    """

    def __init__(self, stack: StackStep, sums: Tensor, n_sequences: int, n_frames: int, maps: Tensor) -> None:
        self._stack, self._sums = stack, sums
        network, device = stack.config.network, sums.device
        steps, M = n_sequences * network.length, sums.shape[1]
        # One frame more than the longest batch: it stays zero, for padding and for missing sequences.
        self._frames = torch.zeros(n_frames + 1, *maps.shape[1:], dtype=maps.dtype, device=device)
        frame = torch.zeros(steps, 2, dtype=torch.int64, device=device)
        self._taps = Taps(frame, torch.zeros(steps, 2, device=device), network.length)
        self._labels = torch.zeros(n_sequences, dtype=torch.int64, device=device)
        self._train_mask = torch.zeros(M, n_sequences, dtype=torch.bool, device=device)
        self._dropout = None
        if stack.config.training.dropout:
            self._dropout = torch.ones(M, n_sequences, network.n_temporal_features, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self, sequences: Sequence[Tensor], labels: Tensor, train_mask: Tensor, dropout: Tensor | None = None
    ) -> None:
        """Take one step, as :class:`DirectStep` does; sequences may be in pinned memory or on the GPU."""
        self._lay_out(sequences, labels, train_mask, dropout)
        if self._frames.device.type != "cuda":
            self._step()
            return
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()

    def _lay_out(self, sequences: Sequence[Tensor], labels: Tensor, train_mask: Tensor, dropout: Tensor | None) -> None:
        settings, n, first = self._stack.config.training, len(sequences), 0
        frames, weights = [], []
        zero_frame = len(self._frames) - 1
        for maps in sequences:
            self._frames[first : first + len(maps)].copy_(maps, non_blocking=True)
            taps = Taps.of(time_steps(len(maps), self._taps.length, settings.interpolation))
            # A padded sequence's frame of zeros is the last frame of the memory.
            frames.append(torch.where(taps.frame < len(maps), taps.frame + first, zero_frame))
            weights.append(taps.weight)
            first += len(maps)
        empty = self._taps.frame.shape[0] - n * self._taps.length
        frames.append(torch.full((empty, 2), zero_frame))
        weights.append(torch.zeros(empty, 2))
        self._taps.frame.copy_(torch.cat(frames), non_blocking=True)
        self._taps.weight.copy_(torch.cat(weights), non_blocking=True)
        self._labels[:n].copy_(labels, non_blocking=True)
        self._train_mask.zero_()
        self._train_mask[:, :n].copy_(train_mask, non_blocking=True)
        if self._dropout is not None:
            self._dropout[:, :n].copy_(dropout, non_blocking=True)

    def _step(self) -> None:
        batch = MapBatch(self._frames.flatten(1, -2), self._taps)
        self._stack.step(batch, self._labels, self._train_mask, self._sums, self._dropout)

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record the step; then restore what recording and the warm-up steps have changed."""
        optimiser, parameters = self._stack.optimiser, list(self._stack.parameters.values())
        before = [tensor.detach().clone() for tensor in (*parameters, self._sums)]
        states = {
            number: {key: value.clone() for key, value in optimiser.state[parameter].items()}
            for number, parameter in enumerate(parameters)
        }
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their algorithms and memory before anything is recorded
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        with torch.no_grad():
            for tensor, value in zip((*parameters, self._sums), before, strict=True):
                tensor.copy_(value)
            for number, parameter in enumerate(parameters):
                for key, value in optimiser.state[parameter].items():
                    kept = states[number].get(key)
                    value.zero_() if kept is None else value.copy_(kept)
        return graph
