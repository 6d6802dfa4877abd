"""A store of random maps and finished runs over it, for all tests of audits."""

import shutil

import pytest
from planted import CONFIG, FOLDS, write_store
from runs import cross_validated


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def made(store, tmp_path_factory):
    """Maker of finished runs, each made once: read them, or take :func:`run`, a copy."""
    folder = tmp_path_factory.mktemp("runs")

    def make(selection="last", protocol="interleaved", seeds=1):
        out = folder / f"{selection}-{protocol}-{seeds}"
        if not out.exists():
            cross_validated(
                store, out, CONFIG, protocol=protocol, folds=FOLDS, selection=selection, seed=3, seeds=seeds
            )
        return out

    return make


@pytest.fixture
def run(made, tmp_path):
    """Copy a finished run, to plant something in."""
    return lambda *options: shutil.copytree(made(*options), tmp_path / "run")
