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
