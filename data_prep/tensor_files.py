"""Tensors on disk: safetensors files whose bytes depend on their content alone."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from data_prep.whole_files import written_whole

_LENGTH_BYTES = 8


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all; the same content gives the same bytes.

    safetensors writes the facts of a header in an order that changes from one write to the next. Here they are put in
    order, so that features and models can be compared byte for byte.

    Args:
        path: the file.
        tensors: contiguous tensors by name.
        facts: strings for the header's metadata.
    """
    written = save(dict(tensors), dict(facts))
    header_end = _LENGTH_BYTES + int.from_bytes(written[:_LENGTH_BYTES], "little")
    header = json.loads(written[_LENGTH_BYTES:header_end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    in_order = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    in_order += b" " * (-len(in_order) % 8)  # the format aligns the tensors behind the header
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        file.write(len(in_order).to_bytes(_LENGTH_BYTES, "little"))
        file.write(in_order)
        file.write(memoryview(written)[header_end:])
