"""Where the mean drawn face lies in its crop, held against faces that are drawn, detected and cropped."""

import numpy as np
import pytest

from data_prep.datasets.emotions import EMOTIONS
from data_prep.faces.crops import crops_of
from data_prep.faces.tracking import FaceFollower
from data_prep.synthetic.dataset import first_subjects
from data_prep.synthetic.places import emotion_cells, in_crop, moved_cells, neutral_landmarks
from data_prep.synthetic.sequences import sample_sequence
from face_strnn.saliency.face_outline import face_outline

LEFT_HALF, RIGHT_HALF = slice(0, 3), slice(4, 7)


@pytest.fixture(scope="module")
def drawn_landmarks():
    """(faces, 68, 2): the drawing's own landmarks in the crop that the detector leads to, for both margins."""
    follower = FaceFollower()
    found = {0.2: [], 0.5: []}
    for listed in first_subjects(100)[::24]:
        sequence = sample_sequence(listed, seed=11)
        drawings = [sequence.draw(frame) for frame in (0, len(sequence.views) // 2, len(sequence.views) - 1)]
        colours = [np.broadcast_to(np.atleast_3d(drawing.image), (490, 640, 3)) for drawing in drawings]
        track = follower.track([np.ascontiguousarray(colour[..., ::-1]) for colour in colours])
        for margin, of_margin in found.items():
            crop = crops_of(track, "per-sequence", margin)[0]
            of_margin.append((drawings[0].landmarks - (crop.center_x, crop.center_y)) / crop.side + 0.5)
    return {margin: np.stack(of_margin) for margin, of_margin in found.items()}


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_the_mean_face_lies_where_drawn_faces_lie_in_their_crops(drawn_landmarks, margin):
    cell = 1 / 7
    error = np.linalg.norm(drawn_landmarks[margin].mean(axis=0) - neutral_landmarks(margin), axis=1)
    assert error.max() < 0.35 * cell
    each = np.linalg.norm(drawn_landmarks[margin] - neutral_landmarks(margin), axis=2)
    assert np.median(each) < 0.25 * cell


def test_units_of_the_mouth_move_lower_rows_and_units_of_the_brows_upper_rows():
    smile, brows, jaw = moved_cells([12]), moved_cells([1, 2]), moved_cells([26])
    assert smile[4:6, 2].any() and smile[4:6, 4].any()  # both corners of the mouth
    assert not smile[:4].any()
    assert brows[1:3].any() and not brows[3:].any()
    assert jaw[5:].any() and not jaw[:4].any()


def test_a_unit_of_one_half_of_the_face_moves_that_half():
    right, left = moved_cells(["R12"]), moved_cells(["L12"])
    assert right[:, LEFT_HALF].any() and not right[:, RIGHT_HALF].any()  # the subject's right is left in the image
    assert left[:, RIGHT_HALF].any() and not left[:, LEFT_HALF].any()
    np.testing.assert_array_equal(right | left, moved_cells([12]))


def test_every_emotion_moves_some_places_and_never_the_corners_of_the_crop():
    for emotion in EMOTIONS:
        moved = emotion_cells(emotion)
        assert 4 <= moved.sum() <= 25
        assert not moved[[0, 0, 6, 6], [0, 6, 0, 6]].any()
    assert not emotion_cells("contempt")[:3].any()
    assert emotion_cells("surprise")[1:3].any() and emotion_cells("surprise")[5:].any()


def test_a_wider_crop_and_a_finer_grid_keep_the_places_on_the_face():
    assert np.ptp(neutral_landmarks(0.5), axis=0) == pytest.approx(np.ptp(neutral_landmarks(0.2), axis=0) * 1.2 / 1.5)
    fine, coarse = moved_cells([12], (14, 14)), moved_cells([12], (7, 7))
    halves = fine.reshape(7, 2, 7, 2).any(axis=(1, 3))
    assert not (halves & ~coarse).any()


def test_the_outline_goes_through_the_landmarks_and_fills_the_crop():
    points, outline = neutral_landmarks(), np.concatenate(face_outline())
    nearest = np.linalg.norm(points[:, None] - outline[None], axis=2).min(axis=1)
    assert np.delete(nearest, [27, 65, 66, 67]).max() < 0.01  # all but the nose's root and the lower lip's inner edge
    assert outline[:, 1].max() == pytest.approx(points[8, 1], abs=0.01)
    np.testing.assert_allclose(in_crop(np.array([[-4.0, 30.6]])), 0.5)
