"""The state of an unfinished training on disk: parameters, optimiser, history."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from data_prep.atomic_files import written_whole
from data_prep.errors import BadInput
from data_prep.torch_files import load_torch_file


def save_state(path: Path, optimiser: torch.optim.Optimizer, **state: Any) -> None:  # noqa: ANN401
    """Write the optimiser's state and everything else that the next epochs depend on, atomically.

    Args:
        path: the file.
        optimiser: its moments and counters are written, its settings are not.
        state: tensors, numbers, strings, and lists and dicts of these.
    """
    with written_whole(path) as unfinished:
        torch.save({**state, "optimiser": optimiser.state_dict()["state"]}, unfinished)


@contextmanager
def resumed_state(path: Path, optimiser: torch.optim.Optimizer, remedy: str) -> Iterator[Mapping[str, Any]]:
    """Restore an optimiser from a file of :func:`save_state`, and yield the remaining state, on the CPU.

    Raises:
        BadInput: the file is damaged or of another training, as detected here or in the block; the message ends with
            ``remedy``.
    """
    try:
        state = load_torch_file(path)
        settings = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state["optimiser"], "param_groups": settings})
        _require_moments(optimiser)
        with torch.no_grad():
            yield state
    except Exception as error:  # torch.load raises exceptions of many types for damaged files
        raise BadInput(f"{path}: damaged, or the state of another training; {remedy}") from error


def _require_moments(optimiser: torch.optim.Optimizer) -> None:
    """Raise an error where a parameter's state is not the optimiser's, which only the next step would find out."""
    moments = ("momentum_buffer",) if isinstance(optimiser, torch.optim.SGD) else ("exp_avg", "exp_avg_sq")
    steps = {} if isinstance(optimiser, torch.optim.SGD) else {"step": ()}
    for parameter, state in optimiser.state.items():
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if shapes != steps | dict.fromkeys(moments, tuple(parameter.shape)):
            raise ValueError("a state of another optimiser, or of other parameters")
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise ValueError("moments that are not finite")
