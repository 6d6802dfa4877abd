"""Equations (1) and (3) for a stack of networks at once, with a backward pass that reads the states once.

The four directions of M networks are J = M x D independent recurrences over the same maps. They are computed as one
matrix product for all projections U x, then wave by wave as one batched product over J.

Sequences are taken in chunks whose states fit the processor's cache: every later pass over them is then cheap. Only the
states themselves are kept for the backward pass; the projections are never stored at full length, because U x is
interpolated instead of x (interpolation along time is linear, so it commutes with U).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from face_strnn.scan import Handover, Scan, Wave

CHUNK_BYTES = 16 * 2**20
"""States of one chunk. Half of a common last-level cache; measured in ``benchmarks/``."""


class ProjectedStates(torch.autograd.Function):
    """Sparse projections s of the spatial hidden states, for M stacked networks.

    ``forward(frames, steps, U, W, b, G, scan, relu)``:

    Args:
        frames: (F, K, C), real frames of all sequences one after the other, any floating type.
        steps: for each sequence, (L, n) weights that make its L time steps of its n frames (rows sum to 1).
        U, W, b, G: (M, D, H, C), (M, D, H, H), (M, D, H), (M, D, K, Kp).
        scan: the directions, D x K.
        relu: whether sigma is ReLU; else it is the logistic sigmoid.

    Returns:
        (M, D, Kp, B * L, H): s^r_l of equation (3) for each sequence and time step.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        frames: Tensor,
        steps: Sequence[Tensor],
        U: Tensor,
        W: Tensor,
        b: Tensor,
        G: Tensor,
        scan: Scan,
        relu: bool,
    ) -> Tensor:
        """Compute s; see the class."""
        members, directions, hidden, _ = U.shape
        length = steps[0].shape[0]
        n_stacked, projections = members * directions, G.shape[-1]
        weights_of_places = _in_order_of_visits(G, scan)
        W_transposed = W.reshape(n_stacked, hidden, hidden).transpose(1, 2)
        s = U.new_empty(n_stacked, projections, len(steps) * length, hidden)
        chunks = list(_chunks(steps, n_stacked * scan.n_places * hidden * U.element_size()))
        saved = []
        for first, last, first_frame, last_frame in chunks:
            part = frames[first_frame:last_frame].to(U.dtype)
            waves = _project(part, steps[first:last], U, b, scan)
            for wave, states in zip(scan.waves, waves, strict=True):
                if wave.handovers:
                    received = _receive(wave.handovers, waves, torch.zeros_like(states), members)
                    _rows(states).baddbmm_(_rows(received), W_transposed)
                states.relu_() if relu else states.sigmoid_()
            columns = s[:, :, first * length : last * length].flatten(2)
            total = torch.zeros_like(columns)
            for wave, states in zip(scan.waves, waves, strict=True):
                total.baddbmm_(_of_wave(weights_of_places, wave).transpose(1, 2), states.flatten(2))
            s[:, :, first * length : last * length] = total.unflatten(2, (-1, hidden))
            if any(ctx.needs_input_grad):
                saved.append(waves)
        ctx.save_for_backward(frames, U, W, b, G, *(states for waves in saved for states in waves))
        ctx.steps, ctx.scan, ctx.relu, ctx.chunks = steps, scan, relu, chunks
        return s.unflatten(0, (members, directions))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, ds: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of frames, U, W, b and G from that of s, chunk by chunk, wave by wave backwards."""
        frames, U, W, b, G, *states = ctx.saved_tensors
        scan, steps, n_waves = ctx.scan, ctx.steps, len(ctx.scan.waves)
        members, directions, hidden, channels = U.shape
        n_stacked, length = members * directions, steps[0].shape[0]
        weights_of_places = _in_order_of_visits(G, scan)
        W_stacked = W.reshape(n_stacked, hidden, hidden)
        ds = ds.flatten(0, 1)
        dframes = torch.empty_like(frames) if ctx.needs_input_grad[0] else None
        dU = U.new_zeros(n_stacked * hidden, channels)
        dW, db = torch.zeros_like(W_stacked), b.new_zeros(n_stacked * hidden)
        dG = torch.zeros_like(weights_of_places)
        for number, (first, last, first_frame, last_frame) in enumerate(ctx.chunks):
            waves = states[number * n_waves : (number + 1) * n_waves]
            arriving = ds[:, :, first * length : last * length].flatten(2)
            gradients = []
            for wave, h in zip(scan.waves, waves, strict=True):
                _of_wave(dG, wave).baddbmm_(h.flatten(2), arriving.transpose(1, 2))
                gradients.append((_of_wave(weights_of_places, wave) @ arriving).view_as(h))
            for wave, h, dh in reversed(list(zip(scan.waves, waves, gradients, strict=True))):
                torch.ops.aten.threshold_backward.grad_input(dh, h, 0, grad_input=dh) if ctx.relu else dh.mul_(
                    h - h * h
                )
                if wave.handovers:
                    received = _receive(wave.handovers, waves, torch.zeros_like(h), members)
                    dW.baddbmm_(_rows(dh).transpose(1, 2), _rows(received))
                    _hand_back(wave.handovers, (_rows(dh) @ W_stacked).view_as(h), gradients, members)
            dP = _project_back(gradients, steps[first:last], scan, members)
            part = frames[first_frame:last_frame].to(U.dtype).flatten(0, 1)
            dU.addmm_(dP.T, part)
            db += dP.sum(0)
            if dframes is not None:
                dframes[first_frame:last_frame] = (dP @ U.reshape(-1, channels)).view_as(frames[first_frame:last_frame])
        dG_nodes = dG.view(members, directions, scan.n_places, -1)
        dG_nodes = torch.stack([dG_nodes[:, r, scan.place[r].to(dG.device)] for r in range(directions)], 1)
        return dframes, None, dU.view_as(U), dW.view_as(W), db.view_as(b), dG_nodes, None, None


def _chunks(steps: Sequence[Tensor], bytes_per_step: int) -> list[tuple[int, int, int, int]]:
    """Group sequences: (first, last) of them and of their frames."""
    per_chunk = max(1, CHUNK_BYTES // (bytes_per_step * steps[0].shape[0]))
    chunks, first_frame = [], 0
    for first in range(0, len(steps), per_chunk):
        last = min(first + per_chunk, len(steps))
        last_frame = first_frame + sum(step.shape[1] for step in steps[first:last])
        chunks.append((first, last, first_frame, last_frame))
        first_frame = last_frame
    return chunks


def _project(frames: Tensor, steps: Sequence[Tensor], U: Tensor, b: Tensor, scan: Scan) -> list[Tensor]:
    """U x + b of one chunk, interpolated to the time steps: for each wave (J, size, sequences * L, H)."""
    members, directions, hidden, channels = U.shape
    n_frames = len(frames)
    P = torch.addmm(b.reshape(-1), frames.flatten(0, 1), U.reshape(-1, channels).T)
    P = P.view(n_frames, scan.n_nodes, members, directions, hidden)
    visits = P.new_zeros(members, directions, scan.n_places, n_frames, hidden)
    for direction in range(directions):
        at = scan.place[direction].to(P.device)
        visits[:, direction].index_copy_(1, at, P[:, :, :, direction].permute(2, 1, 0, 3))
    visits = visits.flatten(0, 1)
    waves = []
    for wave in scan.waves:
        real = visits[:, wave.start : wave.start + wave.size]
        frames_of = real.split([step.shape[1] for step in steps], dim=2)
        waves.append(torch.cat([step @ part for step, part in zip(steps, frames_of, strict=True)], dim=2))
    return waves


def _project_back(gradients: Sequence[Tensor], steps: Sequence[Tensor], scan: Scan, members: int) -> Tensor:
    """The transpose of :func:`_project`: gradients of U x + b for the real frames, (F * K, J * H)."""
    length = steps[0].shape[0]
    by_wave = []
    for gradient in gradients:
        parts = [step.T @ gradient[:, :, number * length : (number + 1) * length] for number, step in enumerate(steps)]
        by_wave.append(torch.cat(parts, dim=2))
    visits = torch.cat(by_wave, dim=1).unflatten(0, (members, -1))
    directions, n_frames, hidden = visits.shape[1], visits.shape[3], visits.shape[4]
    dP = visits.new_empty(n_frames, scan.n_nodes, members, directions, hidden)
    for direction in range(directions):
        at = scan.place[direction].to(dP.device)
        dP[:, :, :, direction] = visits[:, direction].index_select(1, at).permute(2, 1, 0, 3)
    return dP.view(n_frames * scan.n_nodes, -1)


def _in_order_of_visits(G: Tensor, scan: Scan) -> Tensor:
    """(M, D, K, Kp) by node -> (J, places, Kp) by place; empty places weigh nothing."""
    members, directions, _, projections = G.shape
    visits = G.new_zeros(members, directions, scan.n_places, projections)
    for direction in range(directions):
        visits[:, direction].index_copy_(1, scan.place[direction].to(G.device), G[:, direction])
    return visits.flatten(0, 1)


def _of_wave(places: Tensor, wave: Wave) -> Tensor:
    """(J, places, Kp) -> (J, size, Kp)."""
    return places[:, wave.start : wave.start + wave.size]


def _rows(states: Tensor) -> Tensor:
    """(J, size, steps, H) -> (J, size * steps, H)."""
    return states.flatten(1, 2)


def _receive(handovers: Sequence[Handover], waves: Sequence[Tensor], into: Tensor, members: int) -> Tensor:
    """Sum the predecessors' states into a wave: the sum in equation (1)."""
    for handover in handovers:
        source = _in_direction(waves[handover.wave], handover.direction, members)[..., handover.source, :, :]
        _in_direction(into, handover.direction, members)[..., handover.target, :, :].add_(source)
    return into


def _hand_back(handovers: Sequence[Handover], received: Tensor, gradients: Sequence[Tensor], members: int) -> None:
    """Add the gradient of a wave's received sums to its predecessors' gradients."""
    for handover in handovers:
        target = _in_direction(gradients[handover.wave], handover.direction, members)[..., handover.source, :, :]
        target.add_(_in_direction(received, handover.direction, members)[..., handover.target, :, :])


def _in_direction(states: Tensor, direction: int | None, members: int) -> Tensor:
    return states if direction is None else states.unflatten(0, (members, -1))[:, direction]
