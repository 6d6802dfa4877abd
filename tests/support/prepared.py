"""Features made by `prepare`, and the bytes of what it made."""

from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


def prepared(out, *options):
    """Run the program; return its status and the folder of the feature store that it made."""
    status = main(["prepare", "--out", str(out), *map(str, options)])
    return status, FeatureStore.open(out).folder


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
