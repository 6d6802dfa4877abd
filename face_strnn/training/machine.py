"""The kind of machine that trains a network: what decides how sums are rounded, and so the bits of a training."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch

from data_prep.device import bfloat16_instructions
from face_strnn.config import Config
from face_strnn.models.kernels.build import kernel_build
from face_strnn.models.spatial import COMPILED, scan_backend

Machine = dict[str, str]
"""What :func:`kind_of_machine` returns, as a checkpoint names it."""

MACHINE_FACTS = frozenset({"face_strnn", "torch", "device", "instructions", "threads", "scan", "kernel"})
"""Its keys."""


def kind_of_machine(config: Config, device: torch.device | str = "cpu") -> Machine:
    """Return the kind of this machine: the same training on two machines of one kind gives the same bits.

    Args:
        config: the settings of the network; they choose what computes its scan.
        device: where it is trained.

    Returns:
        ``face_strnn`` and ``torch``: their versions; ``device``: ``cpu`` or ``cuda``, and the name of the processor
        or GPU; ``instructions``: the instruction set that PyTorch uses, and those for bfloat16; ``threads``: their
        number; ``scan``: see :func:`face_strnn.models.spatial.scan_backend`; ``kernel``: the build of the compiled
        kernel, else empty.
    """
    device, scan = torch.device(device), scan_backend(config, device)
    return {
        "face_strnn": version("face-strnn"),
        "torch": str(torch.__version__),  # a plain string: the state of a training is read as data alone
        "device": f"{device.type}: {_processor() if device.type == 'cpu' else torch.cuda.get_device_name(device)}",
        "instructions": ", ".join((torch.backends.cpu.get_cpu_capability(), *bfloat16_instructions())),
        "threads": str(torch.get_num_threads()),
        "scan": scan,
        "kernel": kernel_build(config.network.spatial_hidden) if scan == COMPILED else "",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else ()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
