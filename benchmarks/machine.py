"""What a benchmark ran on, and the rate at which that machine multiplies matrices."""

import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


def describe() -> str:
    """Return one line: processor, cores in use, PyTorch, GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    processor = names[0] if names else platform.processor()
    return f"{processor}, {torch.get_num_threads()} threads, {gpu}, PyTorch {torch.__version__}"


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the median time of ``work`` after one warm-up."""
    work()
    return statistics.median(_once(work) for _ in range(repeats))


def matrix_rate(size: int = 2048, repeats: int = 5) -> float:
    """Return the float32 rate of a large square matrix product, in operations per second; the best of ``repeats``."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    left @ right
    return 2 * size**3 / min(_once(lambda: left @ right) for _ in range(repeats))


def peak_memory_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
