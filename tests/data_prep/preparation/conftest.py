"""What the tests of preparation share."""

import shutil

import pytest


@pytest.fixture
def copy(synthetic, tmp_path):
    """A copy of two subjects of the data set, three sequences, free to be damaged."""
    root = tmp_path / "ck"
    for subject in ("S005", "S010"):
        for folder in ("cohn-kanade-images", "Emotion"):
            shutil.copytree(synthetic / folder / subject, root / folder / subject)
    shutil.copy(synthetic / "SYNTHETIC.txt", root)
    return root


@pytest.fixture
def options(copy, vgg_file):
    """How its features are made, but for --out."""
    network = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4"]
    return ["--root", str(copy), *network, "--rotations", "[]"]
