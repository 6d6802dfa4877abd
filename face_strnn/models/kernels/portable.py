"""Equations (1) and (3) for a stack of networks by PyTorch's own operations, with a hand-written backward pass.

The D directions of M networks are J = M x D independent recurrences over the same maps. They are computed as one matrix
product for all projections U x, then wave by wave as one batched product over J. The product W h that a wave passes on
is computed once per node and added at each receiving node.

Sequences are computed in chunks whose states fit the processor's cache, which makes later passes over them cheap. Only
the states are kept for the backward pass. U x is interpolated along time instead of x (interpolation is linear, so it
commutes with U): the large product is over the real frames only.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from face_strnn.models.scan import Scan, Wave
from face_strnn.models.time_steps import Taps, at_frames, in_time_steps

CHUNK_BYTES = 16 * 2**20
"""Default size of a chunk's states: half of a common last-level cache."""


class PortableStates(torch.autograd.Function):
    """Sparse projections s of the spatial hidden states, for M stacked networks.

    ``apply(frames, steps, U, W, b, G, scan, relu, compute_type, chunk_bytes)``:

    Args:
        frames: (F, K, C), real frames of all sequences one after the other, any floating type.
        steps: for each sequence, (L, n) weights that make its L time steps of its n frames; or the taps of all time
            steps, and the whole batch is then one chunk.
        U, W, b, G: (M, D, H, C), (M, D, H, H), (M, D, H), (M, D, K, Kp).
        scan: D directions over K nodes.
        relu: whether sigma is ReLU; else it is the logistic sigmoid.
        compute_type: of all products and of the kept states; the parameters' type by default. Sums over chunks are in
            the parameters' type.
        chunk_bytes: size of a chunk's states.

    Returns:
        (M, B * L, D, Kp, H): s^r_l of equation (3) for each of the B sequences' time steps, in the parameters' type.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        frames: Tensor,
        steps: Sequence[Tensor] | Taps,
        U: Tensor,
        W: Tensor,
        b: Tensor,
        G: Tensor,
        scan: Scan,
        relu: bool,
        compute_type: torch.dtype | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Tensor:
        """Compute s; see the class."""
        n_networks, directions, hidden, _ = U.shape
        compute_type, projections = compute_type or U.dtype, G.shape[-1]
        ctx.parameter_type, ctx.compute_type = U.dtype, compute_type
        bytes_per_step = n_networks * directions * scan.n_positions * hidden * compute_type.itemsize
        chunks = _chunks(steps, bytes_per_step, compute_type, chunk_bytes)
        s = U.new_empty(n_networks, chunks[-1].steps.stop, directions, projections, hidden)
        U, W, b, G = (parameter.to(compute_type) for parameter in (U, W, b, G))
        W_transposed = W.flatten(0, 1).transpose(1, 2)
        G_transposed = _in_order_of_visits(G, scan).transpose(1, 2)
        scratch = _Scratch(U)
        chunk_states = []
        for chunk in chunks:
            part = frames[chunk.frames].to(compute_type)
            h = _project(part, chunk, U, b, scan, scratch)  # (J, positions, N, H), N time steps of the chunk
            passed_on: list[Tensor] = []
            for wave in scan.waves:
                states = _wave_states(h, wave)
                for handover in wave.handovers:
                    received = _positions(passed_on[handover.wave], handover.source, handover.direction, n_networks)
                    _positions(states, handover.target, handover.direction, n_networks).add_(received)
                states.relu_() if relu else states.sigmoid_()
                if wave is not scan.waves[-1]:
                    passed_on.append((states.flatten(1, 2) @ W_transposed).view(states.shape))
            projected = (G_transposed @ h.flatten(2)).view(n_networks, directions, projections, -1, hidden)
            s[:, chunk.steps] = projected.permute(0, 3, 1, 2, 4)
            if any(ctx.needs_input_grad):
                chunk_states.append(h)
        ctx.save_for_backward(frames, U, W, b, G, *chunk_states)
        ctx.scan, ctx.relu, ctx.chunks = scan, relu, chunks
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, ds: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of frames, U, W, b and G from that of s, chunk by chunk, wave by wave in reverse."""
        frames, U, W, b, G, *chunk_states = ctx.saved_tensors
        scan = ctx.scan
        n_networks, directions, _, channels = U.shape
        G_visits = _in_order_of_visits(G, scan)
        W_stacked = W.flatten(0, 1)
        dframes = torch.empty_like(frames) if ctx.needs_input_grad[0] else None
        sums = {"dtype": ctx.parameter_type, "device": U.device}
        dU, db = torch.zeros(b.numel(), channels, **sums), torch.zeros(b.numel(), **sums)
        dW, dG_visits = torch.zeros_like(W_stacked, **sums), torch.zeros_like(G_visits, **sums)
        scratch = _Scratch(U)
        for chunk, h in zip(ctx.chunks, chunk_states, strict=True):
            arriving = ds[:, chunk.steps].to(ctx.compute_type).permute(0, 2, 3, 1, 4)
            arriving = arriving.flatten(3).flatten(0, 1)  # (J, Kp, N * H)
            dG_visits.add_((arriving @ h.flatten(2).transpose(1, 2)).transpose(1, 2))
            dh = scratch.take("dh", *h.shape)
            torch.bmm(G_visits, arriving, out=dh.flatten(2))
            passed_back: dict[int, Tensor] = {}
            for number in reversed(range(len(scan.waves))):
                wave = scan.waves[number]
                states, gradient = _wave_states(h, wave), _wave_states(dh, wave)
                if number in passed_back:
                    received = passed_back.pop(number).flatten(1, 2)
                    dW.add_(received.transpose(1, 2) @ states.flatten(1, 2))
                    gradient.add_((received @ W_stacked).view(states.shape))
                _through_activation(gradient, states, ctx.relu)
                for handover in wave.handovers:
                    if handover.wave not in passed_back:
                        passed_back[handover.wave] = torch.zeros_like(_wave_states(h, scan.waves[handover.wave]))
                    target = _positions(passed_back[handover.wave], handover.source, handover.direction, n_networks)
                    target.add_(_positions(gradient, handover.target, handover.direction, n_networks))
            part = frames[chunk.frames].to(ctx.compute_type)
            dP = _project_back(at_frames(dh.flatten(0, 1), chunk.weights, len(part)), scan, n_networks, scratch)
            dU.add_(dP.T @ part.flatten(0, 1))
            db.add_(dP.sum(0, dtype=ctx.parameter_type))
            if dframes is not None:
                dframes[chunk.frames] = (dP @ U.reshape(-1, channels)).view(-1, *frames.shape[1:])
        dG = _by_node(dG_visits.unflatten(0, (n_networks, directions)), scan)
        return dframes, None, dU.view_as(U), dW.view_as(W), db.view_as(b), dG, None, None, None, None


class _Chunk(NamedTuple):
    """Sequences that are computed together.

    Attributes:
        frames, steps: their ranges among all frames and time steps of the batch.
        weights: of their time steps, in the compute type; or the taps of the whole batch.
    """

    frames: slice
    steps: slice
    weights: Sequence[Tensor] | Taps


def _chunks(
    steps: Sequence[Tensor] | Taps, bytes_per_step: int, compute_type: torch.dtype, chunk_bytes: int
) -> list[_Chunk]:
    if isinstance(steps, Taps):
        return [_Chunk(slice(None), slice(0, len(steps.frame)), steps)]
    per_chunk = max(1, chunk_bytes // (bytes_per_step * len(steps[0])))
    chunks, frame, step = [], 0, 0
    for first in range(0, len(steps), per_chunk):
        weights = [one.to(compute_type) for one in steps[first : first + per_chunk]]
        next_frame, next_step = frame + sum(one.shape[1] for one in weights), step + sum(map(len, weights))
        chunks.append(_Chunk(slice(frame, next_frame), slice(step, next_step), weights))
        frame, step = next_frame, next_step
    return chunks


class _Scratch:
    """Memory that every chunk reuses: touching fresh pages takes as long as the product that fills them.

    Args:
        like: a tensor of the type and on the device wanted.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._memory: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Return an array with any content; it is overwritten when its name is taken again."""
        n = math.prod(shape)
        if name not in self._memory or self._memory[name].numel() < n:
            self._memory[name] = self._like.new_empty(n)
        return self._memory[name][:n].view(shape)


def _project(frames: Tensor, chunk: _Chunk, U: Tensor, b: Tensor, scan: Scan, scratch: _Scratch) -> Tensor:
    """U x + b at the time steps of one chunk, in order of visits: (J, positions, N, H)."""
    n_networks, directions, hidden, channels = U.shape
    P = scratch.take("P", len(frames) * scan.n_nodes, n_networks * directions * hidden)
    torch.addmm(b.flatten(), frames.flatten(0, 1), U.reshape(-1, channels).T, out=P)
    P = P.view(len(frames), scan.n_nodes, n_networks, directions, hidden)
    visits = scratch.take("visits", n_networks, directions, scan.n_positions, len(frames), hidden)
    if scan.n_positions > scan.n_nodes:  # empty positions enter the products and must be finite
        visits.zero_()
    for direction, positions in enumerate(scan.positions_on(P.device)):
        visits[:, direction].index_copy_(1, positions, P[:, :, :, direction].permute(2, 1, 0, 3))
    at_steps = in_time_steps(visits.view(-1, *visits.shape[3:]), chunk.weights)
    return at_steps.view(n_networks * directions, scan.n_positions, -1, hidden)


def _project_back(dvisits: Tensor, scan: Scan, n_networks: int, scratch: _Scratch) -> Tensor:
    """The transpose of :func:`_project` at the real frames: (J * positions, F, H) -> (F * K, J * H)."""
    n_frames, hidden = dvisits.shape[1:]
    visits = dvisits.view(n_networks, scan.n_directions, scan.n_positions, n_frames, hidden)
    dP = scratch.take("dP", n_frames, scan.n_nodes, n_networks, scan.n_directions, hidden)
    for direction, positions in enumerate(scan.positions_on(dP.device)):
        dP[:, :, :, direction] = visits[:, direction].index_select(1, positions).permute(2, 1, 0, 3)
    return dP.view(n_frames * scan.n_nodes, -1)


def _through_activation(gradient: Tensor, states: Tensor, relu: bool) -> None:
    """Turn the gradient of the states into that of the argument of sigma, in place."""
    if relu:
        torch.ops.aten.threshold_backward.grad_input(gradient, states, 0, grad_input=gradient)
    else:
        gradient.mul_(states - states.square())


def _in_order_of_visits(G: Tensor, scan: Scan) -> Tensor:
    """(M, D, K, Kp) by node -> (J, positions, Kp) by position; empty positions have weight 0."""
    visits = G.new_zeros(*G.shape[:2], scan.n_positions, G.shape[3])
    for direction, positions in enumerate(scan.positions_on(G.device)):
        visits[:, direction].index_copy_(1, positions, G[:, direction])
    return visits.flatten(0, 1)


def _by_node(visits: Tensor, scan: Scan) -> Tensor:
    """(M, D, positions, Kp) by position -> (M, D, K, Kp) by node."""
    directions = enumerate(scan.positions_on(visits.device))
    return torch.stack([visits[:, direction].index_select(1, positions) for direction, positions in directions], 1)


def _wave_states(states: Tensor, wave: Wave) -> Tensor:
    """(J, positions, N, H) -> (J, size, N, H), a view."""
    return states[:, wave.start : wave.start + wave.size]


def _positions(states: Tensor, positions: slice, direction: int | None, n_networks: int) -> Tensor:
    """A wave's states at some positions, a view: of all directions, or of one."""
    if direction is None:
        return states[:, positions]
    return states.unflatten(0, (n_networks, -1))[:, direction, positions]
