"""Variants of a sequence, flipped and rotated, against scipy, OpenCV and numpy; and their names."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from data_prep.crops import SquareCrop, cut
from data_prep.errors import BadInput
from data_prep.store import FeatureStore, StoredSequence
from data_prep.variants import AUGMENTATIONS, ORIGINAL, ROOM, ROTATIONS, STEEPEST, Variant, cut_variant, variants_of
from face_strnn.cli import main
from face_strnn.samples import Samples, names_sha256

PIXELS = 112
WIDE = 134


def smooth_pattern():
    """An asymmetric pattern without sharp edges, (WIDE, WIDE, 3)."""
    y, x = np.mgrid[:WIDE, :WIDE] / WIDE
    bump = np.exp(-((x - 0.7) ** 2 + (y - 0.35) ** 2) / 0.01)
    return np.stack([60 + 150 * bump, 128 + 90 * np.sin(5 * x + 2 * y), 40 + 150 * x * y], -1).round().astype(np.uint8)


def center(image):
    extra = (len(image) - PIXELS) // 2
    return image[extra : extra + PIXELS, extra : extra + PIXELS]


def test_the_papers_angles():
    assert ROTATIONS == (-12, -7, 7, 12)


@pytest.mark.parametrize("degrees", ROTATIONS)
def test_a_rotation_is_counter_clockwise_about_the_middle_as_scipys(degrees):
    pattern = smooth_pattern()
    (found,) = cut_variant(pattern[None], Variant(degrees), PIXELS)
    # scipy.ndimage.rotate turns as numpy.rot90 does: counter-clockwise
    quarter = np.arange(9).reshape(3, 3)
    assert np.array_equal(ndimage.rotate(quarter, 90), np.rot90(quarter))
    expected = center(ndimage.rotate(pattern.astype(float), degrees, reshape=False, order=1))
    assert np.abs(found - expected).max() < 3
    wrong = center(ndimage.rotate(pattern.astype(float), -degrees, reshape=False, order=1))
    assert np.abs(found - wrong).max() > 30


@pytest.mark.parametrize("degrees", [*ROTATIONS, 2.5, -7.5])
def test_a_rotation_equals_opencvs_affine_warp(degrees):
    pattern = smooth_pattern()
    matrix = cv2.getRotationMatrix2D(((WIDE - 1) / 2, (WIDE - 1) / 2), degrees, 1.0)
    expected = center(cv2.warpAffine(pattern, matrix, (WIDE, WIDE), flags=cv2.INTER_LINEAR))
    (found,) = cut_variant(pattern[None], Variant(degrees), PIXELS)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("degrees", [0, *ROTATIONS, 2.5])
def test_every_frame_of_a_sequence_turns_by_the_same_angle(degrees):
    frames = np.random.default_rng(0).integers(0, 256, (5, WIDE, WIDE, 3), dtype=np.uint8)
    together = cut_variant(frames, Variant(degrees), PIXELS)
    assert together.shape == (5, PIXELS, PIXELS, 3) and together.dtype == np.uint8
    for _ in range(2):
        assert np.array_equal(together, np.concatenate([cut_variant(frame[None], Variant(degrees), PIXELS) for frame in frames]))
    assert np.array_equal(cut_variant(np.stack([frames[0]] * 5), Variant(degrees), PIXELS)[4], together[0])


def test_no_rotation_is_the_middle_of_the_wide_cut():
    frames = np.random.default_rng(1).integers(0, 256, (2, WIDE, WIDE, 3), dtype=np.uint8)
    assert np.array_equal(cut_variant(frames, ORIGINAL, PIXELS), frames[:, 11:123, 11:123])


@pytest.mark.parametrize("pixels", [112, 224])
@pytest.mark.parametrize("degrees", ROTATIONS)
def test_no_rotation_brings_empty_corners_in(degrees, pixels):
    frame = np.full((600, 600, 3), 201, np.uint8)
    wide = cut(frame, SquareCrop(300, 300, pixels), pixels, ROOM)
    assert (cut_variant(wide[None], Variant(degrees), pixels) == 201).all()
