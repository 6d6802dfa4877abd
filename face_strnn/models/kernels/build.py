"""The scan's kernel for CPUs, compiled once from ``scan_kernel.cpp`` for this machine if it has a compiler.

PyTorch computes the scan as some two hundred small operations per sequence, between which the states leave the
processor's caches. The kernel computes it in one pass: a whole training step is about a third faster, with the same
results up to the order of summation.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from data_prep.errors import DataWarning
from face_strnn.models.scan import Scan

SOURCE = Path(__file__).with_name("scan_kernel.cpp")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC")
# Not -ffast-math: GCC would let the library switch off denormal numbers in the whole process.
MAXIMUM_HIDDEN = 256
"""With more, a row of a product does not fit the processor's registers, and PyTorch's products are faster."""

SMALL = 2_000_000
"""Products of equation (1) in a chunk that one thread computes in some 50 microseconds."""

OFF = "FACE_STRNN_PORTABLE"
"""Environment variable that, if set to anything, disables the kernel: PyTorch's operations compute the scan."""


class _Sizes(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            "sequences", "networks", "directions", "nodes", "length", "projections", "steps", "first_step", "relu"
        )
    )  # fmt: skip


class _Graph(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("order", "before_start", "before", "after_start", "after")),
        ("before_most", ctypes.c_int64),
        ("after_most", ctypes.c_int64),
    )


class ScanKernel:
    """The compiled kernel for one number of hidden units.

    Args:
        library: the shared library.

    Raises:
        OSError: it cannot be loaded.

    Attributes:
        row: number of floats of one hidden state in ``h``: the units, padded.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.row = int(self._library.row_floats())

    def forward(
        self, P: Tensor, taps: tuple[Tensor, Tensor], W: Tensor, G: Tensor, scan: Scan, relu: bool, h: Tensor,
        s: Tensor, first_step: int,
    ) -> None:  # fmt: skip
        """Equations (1) and (3) of a chunk of B sequences; all arrays float32, contiguous, on the CPU.

        Args:
            P: (frames, K, M, D, H), U x + b.
            taps: int32 and float32 (B, L, 2): the two frames that make a time step, and their weights.
            W, G: (M, D, H, H) and (M, D, K, Kp).
            scan: the directions.
            relu: whether sigma is ReLU, else the logistic sigmoid.
            h: (B, M, D, K, L, row), written.
            s: (M, steps, D, Kp, H), written starting at ``first_step``.
            first_step: number of steps before the chunk.
        """
        sizes = _sizes(h, s, first_step, relu)
        graph = _graph_of(scan)
        self._library.scan_forward(
            ctypes.byref(sizes), ctypes.byref(graph.pointers), *map(_pointer, (P, *taps, W, G, h, s)),
            ctypes.c_int32(_threads(h)),
        )  # fmt: skip

    def backward(
        self, ds: Tensor, taps: tuple[Tensor, Tensor], first_frames: Tensor, W: Tensor, G: Tensor, scan: Scan,
        relu: bool, h: Tensor, first_step: int, dP: Tensor, dW: Tensor, dG: Tensor,
    ) -> None:  # fmt: skip
        """Gradients of a chunk, from the gradient of s; see :meth:`forward`.

        Args:
            ds: gradient of s, with the same shape.
            taps, W, G, scan, relu, h, first_step: as in :meth:`forward`.
            first_frames: int32 (B + 1,): number of frames before each sequence of the chunk, and their sum.
            dP: gradient of P, with the same shape; overwritten.
            dW, dG: (B, M, D, H, H) and (B, M, D, K, Kp): the gradients of each sequence; overwritten.
        """
        sizes = _sizes(h, ds, first_step, relu)
        graph = _graph_of(scan)
        self._library.scan_backward(
            ctypes.byref(sizes), ctypes.byref(graph.pointers),
            *map(_pointer, (ds, *taps, first_frames, W, G, h, dP, dW, dG)),
            ctypes.c_int32(_threads(h)),
        )  # fmt: skip


def scan_kernel(hidden: int) -> ScanKernel | None:
    """Return the kernel for states of ``hidden`` units; None if :func:`reason_unavailable` gives a reason."""
    found = _kernel_or_reason(hidden)
    return found if isinstance(found, ScanKernel) else None


def reason_unavailable(hidden: int) -> str | None:
    """Return why there is no kernel for states of ``hidden`` units on this machine; None if there is one.

    Warns (:mod:`warnings`), once, of a library that was compiled and cannot be loaded.
    """
    found = _kernel_or_reason(hidden)
    return None if isinstance(found, ScanKernel) else found


@lru_cache(maxsize=8)
def _kernel_or_reason(hidden: int) -> ScanKernel | str:
    if os.environ.get(OFF):
        return f"{OFF} is set"
    if hidden > MAXIMUM_HIDDEN:
        return f"hidden states of more than {MAXIMUM_HIDDEN} units"
    if _compiler() is None:
        return "no C++ compiler (g++ or clang++) is installed"
    try:
        library = _compiled(hidden)
    except (OSError, subprocess.SubprocessError) as error:
        message = getattr(error, "stderr", None) or str(error)
        return f"its compilation failed: {message.strip().splitlines()[0]}"
    try:
        return ScanKernel(library)
    except (OSError, AttributeError) as error:  # AttributeError: a library without these functions
        reason = f"{library} cannot be loaded ({str(error).removeprefix(f'{library}: ')})"
        warnings.warn(
            f"{reason}, so that PyTorch's operations compute the scan, more slowly; delete the file, or let the "
            "environment variable XDG_CACHE_HOME name a folder from which programs may be run",
            DataWarning,
            stacklevel=2,
        )
        return reason


def kernel_build(hidden: int) -> str:
    """Return the name of the kernel's build: another source, compiler or processor gives another one."""
    return _compiled(hidden).stem


def _compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++")


@lru_cache(maxsize=8)
def _compiled(hidden: int) -> Path:
    """Compile the kernel, unless it was already compiled from this source, by this compiler, for this processor.

    Where the folder that keeps it cannot be written, it is compiled for this process alone.
    """
    compiler = _compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    inputs = "\n".join((SOURCE.read_text(encoding="utf-8"), version, _processor(), *FLAGS))
    name = f"scan-{hidden}-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}.so"
    command = [compiler, *FLAGS, f"-DHIDDEN={hidden}", str(SOURCE), "-o"]
    try:
        return _built(command, _cache() / name)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        warnings.warn(
            f"the compiled scan cannot be kept ({error}), and is compiled anew by every process; let the environment "
            "variable XDG_CACHE_HOME name a folder that can be written",
            DataWarning,
            stacklevel=2,
        )
    return _built(command, _folder_of_this_process() / name)


def _built(command: list[str], library: Path) -> Path:
    """Return a library; if it is not there, ``command`` builds it."""
    if not library.is_file():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as part:
            built = Path(part) / library.name
            subprocess.run([*command, str(built)], capture_output=True, text=True, check=True)
            built.replace(library)  # two processes that compile at once both leave a whole file
    return library


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "face-strnn"


@lru_cache(maxsize=1)
def _folder_of_this_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="face-strnn-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _processor() -> str:
    """The processor's features, on which ``-march=native`` depends."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")) if cpuinfo.exists() else ()
    return next(flags, platform.machine() + platform.processor())


class _GraphOnCpu:
    """A scan's visits and edges in the form that the kernel reads; owns their memory."""

    def __init__(self, scan: Scan) -> None:
        before = scan.predecessors
        after = [[[] for _ in range(scan.n_nodes)] for _ in before]
        for direction, predecessors in enumerate(before):
            for node, sources in enumerate(predecessors):
                for source in sources:
                    after[direction][source].append(node)
        self._order = torch.tensor(scan.orders, dtype=torch.int32)
        self._before_start, self._before = _rows(before)
        self._after_start, self._after = _rows(after)
        arrays = (self._order, self._before_start, self._before, self._after_start, self._after)
        self.pointers = _Graph(*map(_pointer, arrays), self._before.shape[1], self._after.shape[1])


def _rows(lists: list[list[list[int]]]) -> tuple[Tensor, Tensor]:
    """Concatenate the lists of nodes, per direction and node: int32 (D, K + 1) of starts, (D, most) of nodes."""
    joined = [[neighbour for neighbours in direction for neighbour in neighbours] for direction in lists]
    most = max(1, *map(len, joined))
    nodes = torch.tensor([row + [0] * (most - len(row)) for row in joined], dtype=torch.int32)
    counts = torch.tensor([[0, *map(len, direction)] for direction in lists])
    return counts.cumsum(1).to(torch.int32), nodes


_graph_of = lru_cache(maxsize=1)(_GraphOnCpu)  # only one scan is in use at a time


def _sizes(h: Tensor, s: Tensor, first_step: int, relu: bool) -> _Sizes:
    sequences, networks, directions, nodes, length, _ = h.shape
    return _Sizes(sequences, networks, directions, nodes, length, s.shape[3], s.shape[1], first_step, int(relu))


def _threads(h: Tensor) -> int:
    """PyTorch's number of threads, or 1 if starting a second would take longer than its share of the work."""
    return torch.get_num_threads() if h.numel() * h.shape[-1] > SMALL else 1


def _pointer(array: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())
