"""Equations (1) and (3) for a stack of networks on a CPU, by the compiled kernel of
:mod:`face_strnn.models.kernels.build`.

PyTorch computes the large products with U, one per chunk of sequences; the kernel computes the rest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from face_strnn.models.kernels.build import ScanKernel
from face_strnn.models.scan import Scan

CHUNK_BYTES = 4 * 2**20
"""Size of U x in one chunk, which stays in the processor's cache until the kernel has read it."""


class Workspace:
    """Memory for states, reused from step to step: touching fresh pages takes as long as filling them.

    It serves one forward pass and its backward pass at a time; a backward pass through states that have been
    overwritten raises PyTorch's own error.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[Tensor]] = {}

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """Return an array with any content, of the type of ``like``."""
        free = self._free.get(shape)
        if not free:
            return like.new_empty(shape)
        # PyTorch does not see what the kernel writes: mark earlier uses of this memory as invalid.
        torch.autograd.graph.increment_version(free[-1])
        return free.pop()

    def give_back(self, *arrays: Tensor) -> None:
        """Free arrays for reuse."""
        for array in arrays:
            self._free.setdefault(tuple(array.shape), []).append(array)


class CompiledStates(torch.autograd.Function):
    """The same as :class:`face_strnn.models.kernels.portable.PortableStates`, with float32 parameters on the CPU.

    ``apply(frames, taps, n_frames, U, W, b, G, scan, relu, kernel, workspace)``:

    Args:
        frames: (F, K, C), real frames of all sequences one after the other, any floating type.
        taps: int32 and float32 (B, L, 2): each time step's two frames, counted within its sequence, and their weights.
        n_frames: number of frames of each sequence.
        U, W, b, G, scan, relu: as for that class.
        kernel: for this number of hidden units.
        workspace: memory for the states.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        frames: Tensor,
        taps: tuple[Tensor, Tensor],
        n_frames: Sequence[int],
        U: Tensor,
        W: Tensor,
        b: Tensor,
        G: Tensor,
        scan: Scan,
        relu: bool,
        kernel: ScanKernel,
        workspace: Workspace,
    ) -> Tensor:
        """Compute s; see the class."""
        n_networks, directions, hidden, channels = U.shape
        length, projections = taps[0].shape[1], G.shape[3]
        W, G = W.contiguous(), G.contiguous()
        U_rows, b_row = U.reshape(-1, channels), b.reshape(-1)
        s = U.new_empty(n_networks, len(n_frames) * length, directions, projections, hidden)
        chunks = _chunks(n_frames, taps, scan.n_nodes * U_rows.shape[0] * 4)
        states = []
        P = U.new_empty(max(chunk.n_frames for chunk in chunks) * scan.n_nodes, U_rows.shape[0])
        for chunk in chunks:
            x = frames[chunk.frames].flatten(0, 1).float()
            torch.addmm(b_row, x, U_rows.T, out=P[: len(x)])
            h = workspace.take(U, chunk.n_sequences, n_networks, directions, scan.n_nodes, length, kernel.row)
            kernel.forward(P, chunk.taps, W, G, scan, relu, h, s, chunk.sequences.start * length)
            if any(ctx.needs_input_grad):
                states.append(h)
            else:
                workspace.give_back(h)
        ctx.save_for_backward(frames, U, W, G, *states)
        ctx.chunks, ctx.scan, ctx.relu, ctx.kernel, ctx.workspace = chunks, scan, relu, kernel, workspace
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, ds: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of frames, U, W, b and G from that of s."""
        frames, U, W, G, *states = ctx.saved_tensors
        n_networks, directions, hidden, channels = U.shape
        ds = ds.contiguous()
        dframes = torch.empty_like(frames) if ctx.needs_input_grad[0] else None
        dU, db = U.new_zeros(n_networks * directions * hidden, channels), U.new_zeros(n_networks * directions * hidden)
        dW, dG = torch.zeros_like(W), torch.zeros_like(G)
        P = U.new_empty(max(chunk.n_frames for chunk in ctx.chunks) * ctx.scan.n_nodes, len(dU))
        for chunk, h in zip(ctx.chunks, states, strict=True):
            x = frames[chunk.frames].flatten(0, 1).to(U.dtype)
            dP = P[: len(x)]
            dW_each, dG_each = W.new_empty(chunk.n_sequences, *W.shape), G.new_empty(chunk.n_sequences, *G.shape)
            first_step = chunk.sequences.start * h.shape[4]
            ctx.kernel.backward(
                ds, chunk.taps, chunk.first_frames, W, G, ctx.scan, ctx.relu, h, first_step, dP, dW_each, dG_each
            )
            dW.add_(dW_each.sum(0))
            dG.add_(dG_each.sum(0))
            dU.addmm_(dP.T, x)
            db.add_(dP.sum(0))
            if dframes is not None:
                dframes[chunk.frames] = (dP @ U.reshape(-1, channels)).view(-1, *frames.shape[1:])
        ctx.workspace.give_back(*states)
        return dframes, None, None, dU.view_as(U), dW, db.view(U.shape[:3]), dG, None, None, None, None


class _Chunk:
    """Sequences that are computed together.

    Attributes:
        sequences, frames: their ranges in the batch.
        taps: the two frames of each of their time steps, counted within the chunk, and their weights.
        first_frames: int32 (sequences + 1,), within the chunk.
    """

    def __init__(self, sequences: slice, n_frames: Sequence[int], taps: tuple[Tensor, Tensor]) -> None:
        self.sequences = sequences
        before = sum(n_frames[: sequences.start])
        counts = torch.tensor([0, *n_frames[sequences]])
        self.first_frames = counts.cumsum(0).to(torch.int32)
        self.n_sequences, self.n_frames = len(counts) - 1, int(self.first_frames[-1])
        self.frames = slice(before, before + self.n_frames)
        frame, weight = taps
        self.taps = (frame[sequences] + self.first_frames[:-1, None, None], weight[sequences].contiguous())


def _chunks(n_frames: Sequence[int], taps: tuple[Tensor, Tensor], bytes_per_frame: int) -> list[_Chunk]:
    chunks, start = [], 0
    while start < len(n_frames):
        stop, total = start + 1, n_frames[start]
        while stop < len(n_frames) and (total + n_frames[stop]) * bytes_per_frame <= CHUNK_BYTES:
            total += n_frames[stop]
            stop += 1
        chunks.append(_Chunk(slice(start, stop), n_frames, taps))
        start = stop
    return chunks
