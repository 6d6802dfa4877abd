"""The data sets that can be read, by name."""

from dataclasses import replace
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, Dataset
from data_prep.datasets.ckplus import read_ckplus
from data_prep.datasets.image_folder import read_image_folder
from data_prep.datasets.manifest import read_manifest
from data_prep.datasets.mmi import read_mmi
from data_prep.datasets.oulu_casia import DEFAULT_PART, read_oulu_casia
from data_prep.datasets.synthetic_marker import is_synthetic
from data_prep.errors import BadInput


def read_dataset(name: Dataset, root: Path, part: str | None = None, whole: bool = False) -> Catalogue:
    """Read the catalogue of a data set's copy.

    Args:
        name: which data set it is.
        root: its folder; for ``"manifest"`` the CSV file, or the folder that holds it as ``manifest.csv``.
        part: camera and illumination of Oulu-CASIA; None is ``"VL/Strong"``.
        whole: use MMI's whole recordings, not the part up to the apex.

    Raises:
        BadInput: ``root`` is not such a copy, an option belongs to another data set, or there is no such data set.
    """
    if part is not None and name != "oulu-casia":
        raise BadInput(f"--part {part}: {name} has no parts; omit it, or give --dataset oulu-casia")
    if whole and name != "mmi":
        raise BadInput(f"--whole: {name} is always used whole; omit it, or give --dataset mmi")
    if name == "ckplus":
        return read_ckplus(root)
    if name == "oulu-casia":
        return read_oulu_casia(root, part or DEFAULT_PART)
    if name == "mmi":
        return read_mmi(root, whole)
    if name not in ("image-folder", "manifest"):
        raise BadInput(f"no data set named {name}; there are ckplus, oulu-casia, mmi, image-folder and manifest")
    catalogue = read_image_folder(root) if name == "image-folder" else read_manifest(root)
    # Synthetic faces stay synthetic whichever reader reads them.
    folders = {folder for sequence in catalogue.sequences for folder in (sequence.path, *sequence.path.parents)}
    return replace(catalogue, data="synthetic") if any(map(is_synthetic, folders)) else catalogue
