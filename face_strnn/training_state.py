"""The state of a training in a file, from which it is taken up."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from data_prep.errors import BadInput
from data_prep.tensor_files import write_tensors

if TYPE_CHECKING:
    from face_strnn.training import Stack


def keep_state(stack: "Stack", optimiser: torch.optim.Optimizer, path: Path) -> None:
    """Write everything that the next epochs depend on, whole or not at all."""
    tensors = {f"parameter/{name}": tensor.detach() for name, tensor in stack.parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in stack.best.items()}
    for name, tensor in stack.parameters.items():
        for key, value in optimiser.state[tensor].items():
            tensors[f"optimiser/{key}/{name}"] = value
    header = {
        "epochs_done": str(stack.epochs_done),
        "history": json.dumps([asdict(epoch) for epoch in stack.history]),
        "best_scores": json.dumps(stack.best_scores),
    }
    write_tensors(path, tensors, header)


def take_up_state(stack: "Stack", optimiser: torch.optim.Optimizer, path: Path) -> None:
    """Put a stack and its optimiser into the state that :func:`keep_state` wrote.

    Raises:
        BadInput: the file is damaged.
    """
    from face_strnn.training import Epoch

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            kept = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        stack.epochs_done = int(header["epochs_done"])
        stack.history = [Epoch(**epoch) for epoch in json.loads(header["history"])]
        stack.best_scores = [tuple(score) for score in json.loads(header["best_scores"])]
        with torch.no_grad():
            for name, tensor in stack.parameters.items():
                tensor.copy_(kept[f"parameter/{name}"])
            for name, tensor in stack.best.items():
                tensor.copy_(kept[f"best/{name}"])
        for key, value in kept.items():
            if key.startswith("optimiser/"):
                _, part, name = key.split("/")
                tensor = stack.parameters[name]
                # A counter of steps stays on the CPU there, and on the GPU where steps are recorded.
                on_gpu = tensor.device.type == "cuda"
                optimiser.state[tensor][part] = value.to(tensor.device) if on_gpu else value
        if not optimiser.state:
            raise KeyError("optimiser")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path}: damaged ({error}); delete it, and these folds are trained anew") from error
