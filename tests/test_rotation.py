"""Rotated copies, against scipy's and OpenCV's rotations."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from data_prep.crops import SquareCrop, cut
from data_prep.rotation import ROOM, ROTATIONS, rotate

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
    (found,) = rotate(pattern[None], degrees, PIXELS)
    # scipy.ndimage.rotate turns as numpy.rot90 does: counter-clockwise
    quarter = np.arange(9).reshape(3, 3)
    assert np.array_equal(ndimage.rotate(quarter, 90), np.rot90(quarter))
    expected = center(ndimage.rotate(pattern.astype(float), degrees, reshape=False, order=1))
    assert np.abs(found - expected).max() < 3
    wrong = center(ndimage.rotate(pattern.astype(float), -degrees, reshape=False, order=1))
    assert np.abs(found - wrong).max() > 30


@pytest.mark.parametrize("degrees", ROTATIONS)
def test_a_rotation_equals_opencvs_affine_warp(degrees):
    pattern = smooth_pattern()
    matrix = cv2.getRotationMatrix2D(((WIDE - 1) / 2, (WIDE - 1) / 2), degrees, 1.0)
    expected = center(cv2.warpAffine(pattern, matrix, (WIDE, WIDE), flags=cv2.INTER_LINEAR))
    (found,) = rotate(pattern[None], degrees, PIXELS)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("degrees", [0, *ROTATIONS])
def test_every_frame_of_a_sequence_turns_by_the_same_angle(degrees):
    frames = np.random.default_rng(0).integers(0, 256, (5, WIDE, WIDE, 3), dtype=np.uint8)
    together = rotate(frames, degrees, PIXELS)
    assert together.shape == (5, PIXELS, PIXELS, 3) and together.dtype == np.uint8
    for _ in range(2):
        assert np.array_equal(together, np.concatenate([rotate(frame[None], degrees, PIXELS) for frame in frames]))
    assert np.array_equal(rotate(np.stack([frames[0]] * 5), degrees, PIXELS)[4], together[0])


def test_no_rotation_is_the_middle_of_the_wide_cut():
    frames = np.random.default_rng(1).integers(0, 256, (2, WIDE, WIDE, 3), dtype=np.uint8)
    assert np.array_equal(rotate(frames, 0, PIXELS), frames[:, 11:123, 11:123])


@pytest.mark.parametrize("pixels", [112, 224])
@pytest.mark.parametrize("degrees", ROTATIONS)
def test_no_rotation_brings_empty_corners_in(degrees, pixels):
    frame = np.full((600, 600, 3), 201, np.uint8)
    wide = cut(frame, SquareCrop(300, 300, pixels), pixels, ROOM)
    assert (rotate(wide[None], degrees, pixels) == 201).all()
