"""The score of a saliency map against known nodes, on maps whose score can be worked out."""

import numpy as np
import pytest

from data_prep.errors import BadInput
from face_strnn.saliency.localisation import area_under_curve, centre_prior


def test_a_perfect_map_scores_1_its_reverse_0_and_an_even_one_a_half():
    truth = np.zeros((7, 7), bool)
    truth[4:6, 2:5] = True
    assert area_under_curve(truth.astype(float), truth) == 1
    assert area_under_curve(1.0 - truth, truth) == 0
    assert area_under_curve(np.ones((7, 7)), truth) == 0.5


def test_the_score_is_the_share_of_pairs_in_the_right_order():
    # The one node that moves has 2; of the eight others four have less, one the same, three more.
    saliency = np.array([[0, 1, 1], [0, 2, 2], [3, 3, 3]])
    truth = np.zeros((3, 3), bool)
    truth[1, 1] = True
    assert area_under_curve(saliency, truth) == pytest.approx((4 + 0.5) / 8)


def test_the_centre_prior_scores_as_worked_out():
    # On 3 x 3 the middle is nearest, then the four sides, then the four corners.
    middle, side, corner = np.zeros((3, 3, 3), bool)
    middle[1, 1], side[0, 1], corner[0, 0] = True, True, True
    prior = centre_prior((3, 3))
    assert area_under_curve(prior, middle) == 1
    assert area_under_curve(prior, side) == pytest.approx((4 + 3 * 0.5) / 8)  # beats corners, ties with sides
    assert area_under_curve(prior, corner) == pytest.approx(3 * 0.5 / 8)


def test_the_centre_prior_counts_a_cell_of_a_grid_that_is_not_square_by_its_place_on_the_face():
    prior = centre_prior((2, 4))
    np.testing.assert_allclose(prior[0], -np.hypot(0.25, [0.375, 0.125, 0.125, 0.375]))


def test_a_truth_that_holds_all_or_nothing_is_refused():
    for truth in (np.zeros((7, 7), bool), np.ones((7, 7), bool)):
        with pytest.raises(BadInput, match="of 49 nodes move"):
            area_under_curve(np.ones((7, 7)), truth)
