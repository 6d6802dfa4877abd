"""Random variants of a sequence's crops: one draw for all of its frames, another for another key."""

import numpy as np
import pytest

from data_prep.faces.augmentation import CropAugmentation
from data_prep.faces.crops import side_with_border
from data_prep.faces.variants import ROTATION_BORDER
from face_strnn.training.from_crops.augmented import frames_of_clip

PIXELS = 56
SIDE = side_with_border(PIXELS, ROTATION_BORDER)
KEYS = [f"S{number:03d} {number % 4}" for number in range(40)]


@pytest.fixture(scope="module")
def augment():
    return CropAugmentation(PIXELS)


@pytest.fixture(scope="module")
def image():
    """Grey, brighter to the right and to the bottom, with noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    noise = np.random.default_rng(0).integers(0, 40, (SIDE, SIDE, 3))
    return (60 + columns[..., None] + rows[..., None] // 2 + noise).astype(np.uint8)


def test_all_frames_of_a_sequence_are_changed_in_the_same_way(augment, image):
    for key in KEYS:
        variant = augment(np.stack([image] * 4), key)
        assert variant.shape == (4, PIXELS, PIXELS, 3) and variant.dtype == np.uint8
        assert (variant == variant[:1]).all(), key


def test_a_key_draws_the_same_in_every_process_and_another_key_something_else(augment, image):
    drawn = {key: augment(image[None], key).tobytes() for key in KEYS}
    assert len(set(drawn.values())) == len(KEYS)
    fresh = CropAugmentation(PIXELS)
    assert all(fresh(image[None], key).tobytes() == drawn[key] for key in reversed(KEYS))


def test_about_half_of_the_variants_are_mirrored(augment, image):
    def rises_to_the_right(variant):
        return variant[0, :, PIXELS // 2 :].mean() > variant[0, :, : PIXELS // 2].mean()

    mirrored = sum(not rises_to_the_right(augment(image[None], key)) for key in KEYS)
    assert 10 <= mirrored <= 30


def test_a_variant_shows_real_pixels_alone_up_to_its_corners(augment):
    # What lies beyond the room repeats its outermost pixels: these are bright, all others black.
    marked = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    marked[:, [0, -1]] = marked[:, :, [0, -1]] = 255
    for key in (f"{number}" for number in range(150)):
        variant = augment(marked, key)[0, :, :, 0].copy()
        variant[variant == 127] = 0  # erased
        assert variant[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 100, key


def test_frames_of_a_variant_are_in_order_with_the_first_and_the_last():
    for n_frames in range(1, 30):
        for n_wanted in (2, 3, 8):
            drawn = [frames_of_clip(n_frames, n_wanted, key) for key in KEYS[:6]]
            for chosen in drawn:
                assert len(chosen) == min(n_wanted, n_frames)
                assert chosen == sorted(set(chosen)) and chosen[0] == 0 and chosen[-1] == n_frames - 1
        assert frames_of_clip(n_frames, 0, "all") == list(range(n_frames))
    assert len({tuple(frames_of_clip(40, 8, key)) for key in KEYS}) > 30
