"""A drawn sequence, and what follows its face."""

import pytest

from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.tracking import FaceFollower
from data_prep.media.images import read_image


@pytest.fixture(scope="session")
def drawn(synthetic):
    """The frames of a drawn sequence of five."""
    sequence = next(one for one in read_ckplus(synthetic).sequences if len(one.frames) == 5)
    return [read_image(path) for path in sequence.frames]


@pytest.fixture(scope="session")
def follower():
    return FaceFollower()
