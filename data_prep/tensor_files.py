"""Tensors on disk: safetensors files whose bytes depend only on their content."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from data_prep.atomic_files import written_whole

CHECKSUM = "blake2b"
"""The entry of a header with the checksum of the file's tensor."""

_CHECKSUM_BYTES = 16
_LENGTH_BYTES = 8
_NAMES = {torch.float16: "F16", torch.uint8: "U8"}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a safetensors file atomically; equal content gives equal bytes.

    safetensors itself writes a header's metadata in an order that varies between writes. Here they are sorted, so that
    features and models can be compared byte for byte.

    Args:
        path: the file.
        tensors: contiguous tensors by name.
        facts: strings for the header's metadata.
    """
    written = save(dict(tensors), dict(facts))
    header_end = _LENGTH_BYTES + int.from_bytes(written[:_LENGTH_BYTES], "little")
    header = json.loads(written[_LENGTH_BYTES:header_end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        file.write(_start(header))
        file.write(memoryview(written)[header_end:])


@contextmanager
def tensor_in_parts(
    path: Path, name: str, shape: Sequence[int], facts: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> Iterator[Callable[[Tensor], None]]:
    """Write a file of one tensor part by part, without the whole tensor in memory, and its checksum into the header.

    Yields a function that takes the next part along the first axis, on the CPU and contiguous. The complete file
    appears when the block ends; if the block raises, there is no file.

    Args:
        path: the file.
        name: name of the tensor.
        shape: of the whole tensor.
        facts: strings for the header's metadata, which :func:`tensor_checksum` joins as :data:`CHECKSUM`.
        dtype: ``torch.float16`` or ``torch.uint8``.

    Raises:
        ValueError: the parts do not make up the shape.
    """
    n_bytes = dtype.itemsize * math.prod(shape)
    tensor = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [0, n_bytes]}
    checksum = _checksum()

    def start() -> bytes:
        return _start({"__metadata__": dict(sorted({**facts, CHECKSUM: checksum.hexdigest()}.items())), name: tensor})

    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        n_start = file.write(start())

        def append(part: Tensor) -> None:
            if part.dtype != dtype or list(part.shape[1:]) != list(shape[1:]):
                raise ValueError(f"{path}: a part {part.dtype} {tuple(part.shape)} of {tuple(shape)}")
            checksum.update(part.numpy().data)
            file.write(part.numpy().data)

        yield append
        if file.tell() != n_start + n_bytes:
            raise ValueError(f"{path}: {file.tell() - n_start} bytes of the {n_bytes} that {tuple(shape)} takes")
        file.seek(0)
        file.write(start())  # as long as before: only the digits of the checksum are others


def tensor_checksum(tensor: Tensor) -> str:
    """Return BLAKE2b over the bytes of a contiguous tensor on the CPU: 32 hexadecimal digits."""
    checksum = _checksum()
    checksum.update(tensor.numpy().data)
    return checksum.hexdigest()


def _checksum() -> blake2b:
    return blake2b(digest_size=_CHECKSUM_BYTES)


def _start(header: Mapping[str, object]) -> bytes:
    """The first bytes of a safetensors file, length and header, padded so that the tensors are aligned."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text
