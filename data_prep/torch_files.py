"""Reading files of torch.save, which are archives, without running code from them."""

import zipfile
from pathlib import Path
from typing import Any

import torch

_ARCHIVE = b"PK\3\4"


def load_torch_file(path: Path) -> Any:  # noqa: ANN401
    """Return the content of a file of torch.save, on the CPU, made of tensors and plain Python values.

    The content is at most as large as the file: torch.save compresses nothing, so that a compressed archive is none of
    its own and may expand to any size.

    Raises:
        ValueError: a compressed archive, one whose entries share bytes, or a TorchScript program.
        Exception: of many types, for a file that is damaged or needs code to load.
    """
    with path.open("rb") as file:
        is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
    if is_archive:
        _require_plain(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _require_plain(path: Path) -> None:
    n_bytes = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(Path(entry.filename).name == "constants.pkl" for entry in entries):
        raise ValueError("a TorchScript program")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"its entry {entry.filename[-40:]} of {entry.file_size:,} bytes is compressed, "
                "and torch.save compresses nothing"
            )
    if (claimed := sum(entry.file_size for entry in entries)) > n_bytes:
        raise ValueError(f"its entries claim {claimed:,} bytes of a file of {n_bytes:,}")
