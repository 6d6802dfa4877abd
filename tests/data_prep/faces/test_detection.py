"""Finding faces: as plain MTCNN does, on synthetic faces and on a photograph, and at a fraction of its cost."""

import weakref

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from skimage.data import astronaut
from torchvision.ops import box_iou

from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.detection import MINIMUM_PROBABILITY, Face, FaceDetector, between, distance, pair
from data_prep.faces.search import STRETCHES, search
from data_prep.media.images import read_image


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def plain():
    """MTCNN as its package gives it."""
    return MTCNN(keep_all=True)


def walk(n, step=5):
    """A photograph of a woman that moves to the right by ``step`` pixels a frame."""
    photograph = astronaut()[:400]
    return [np.roll(photograph, step * i, axis=1) for i in range(n)]


def iou(one, other):
    return float(box_iou(torch.as_tensor(one)[None], torch.as_tensor(other)[None]))


def plainly(mtcnn, frame):
    """The largest sure face of plain MTCNN: its box and landmarks."""
    boxes, probabilities, landmarks = mtcnn.detect(frame, landmarks=True)
    sure = np.asarray(probabilities, float) >= MINIMUM_PROBABILITY
    return np.asarray(boxes, float)[sure][0], np.asarray(landmarks, float)[sure][0]


def assert_same_face(face, frame, mtcnn):
    box, landmarks = plainly(mtcnn, frame)
    assert iou(face.box, box) > 0.7
    assert np.abs(face.landmarks - landmarks).max() < 0.12 * (box[2] - box[0])


def blank_like(frame):
    blank = np.full_like(frame, 90)
    blank[100:120] = 140
    return blank


def test_every_frames_face_is_where_plain_mtcnn_finds_it(synthetic, detector, plain):
    for sequence in read_ckplus(synthetic).sequences:
        frames = [read_image(path) for path in sequence.frames]
        for frame, faces in zip(frames, detector.detect(frames), strict=True):
            assert_same_face(faces[0], frame, plain)


def test_a_photographed_face_is_where_plain_mtcnn_finds_it(detector, plain):
    ((face,),) = detector.detect([astronaut()])
    assert_same_face(face, astronaut(), plain)
    assert face.how == "detected" and face.probability > 0.99


@pytest.mark.parametrize("every", [1, 2, 4, 7])
def test_searching_some_frames_and_refining_the_others_finds_every_face(every, detector, plain):
    frames = walk(23)
    found = list(search(frames, detector, every))
    assert [len(faces) for faces in found] == [1] * 23
    for i, (frame, (face,)) in enumerate(zip(frames, found, strict=True)):
        assert face.how == ("detected" if i % every == 0 or i == 22 else "refined")
        assert_same_face(face, frame, plain)


def test_the_drawn_faces_are_found_by_refinement_too(drawn, detector, plain):
    found = list(search(drawn, detector))
    assert [faces[0].how for faces in found] == ["detected", "refined", "refined", "refined", "detected"]
    for frame, faces in zip(drawn, found, strict=True):
        assert_same_face(faces[0], frame, plain)


def test_where_a_refinement_fails_the_whole_frame_is_searched(detector, plain):
    # Between the searched frames 0 and 4 the face jumps by 200 pixels: far from any place between.
    start, jumped = walk(2, 200)
    frames = [start, start, jumped, jumped, jumped]
    found = list(search(frames, detector))
    for frame, (face,) in zip(frames, found, strict=True):
        assert_same_face(face, frame, plain)
    # Seen in one searched frame only, it is looked for at that place in the frames between.
    frames = [start, start, jumped, blank_like(start), blank_like(start)]
    found = list(search(frames, detector))
    assert [len(faces) for faces in found] == [1, 1, 1, 0, 0]
    assert_same_face(found[2][0], jumped, plain)


def test_a_face_that_only_frames_between_show_is_found(detector):
    (photograph,) = walk(1)
    blank = blank_like(photograph)
    found = list(search([blank, photograph, blank, photograph, blank, blank], detector))
    assert [[face.how for face in faces] for faces in found] == [[], ["detected"], [], ["detected"], [], []]


def test_a_frame_without_a_face_has_none(drawn, detector):
    blank = blank_like(drawn[2])
    assert [len(faces) for faces in detector.detect([*drawn[:2], blank])] == [1, 1, 0]
    assert [len(faces) for faces in search([*drawn[:2], blank, *drawn[3:]], detector)] == [1, 1, 0, 1, 1]
    assert list(search([blank] * 6, detector)) == [[]] * 6


def test_frames_may_be_few_or_tiny(detector):
    assert list(search([], detector)) == [] and detector.detect([]) == []
    assert list(search([np.zeros((8, 30, 3), np.uint8)] * 3, detector)) == [[]] * 3


def test_a_face_too_small_for_the_quick_search_is_found_by_the_thorough_one(drawn, detector):
    small = cv2.resize(drawn[-1], None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    canvas = np.full((1000, 1000, 3), 128, np.uint8)
    canvas[500 : 500 + small.shape[0], 300 : 300 + small.shape[1]] = small
    assert detector.detect([canvas]) == [[]]
    for ((face,),) in (detector.detect([canvas], thorough=True), search([canvas], detector)):
        x, y = face.center
        assert 300 < x < 300 + small.shape[1] and 500 < y < 500 + small.shape[0]


def test_faces_that_are_expected_elsewhere_are_not_taken_for_them(detector):
    (photograph,) = walk(1)
    ((face,),) = detector.detect([photograph])
    beside = Face(face.box + np.array([80, 0, 80, 0]), 1.0, face.landmarks, "detected")
    near = Face(face.box + np.array([8, -5, 8, -5]), 1.0, face.landmarks, "detected")
    ((found, none),) = detector.refine([photograph], [[near, beside]])
    assert none is None and iou(found.box, face.box) > 0.8 and found.how == "refined"


def test_only_one_batch_of_frames_is_held(detector):
    alive, most = [], 0

    def stream():
        for frame in walk(60, 1):
            small = np.ascontiguousarray(frame[:200, 100:340])
            alive.append(weakref.ref(small))
            yield small

    for _ in search(stream(), detector, 2):
        most = max(most, sum(frame() is not None for frame in alive))
    # one batch, and the frame that the stream itself still holds
    assert len(alive) == 60 and most <= 2 * STRETCHES + 1


def test_a_batch_of_frames_of_two_sizes_is_refused(detector):
    with pytest.raises(ValueError, match="one size"):
        detector.detect([np.zeros((100, 120, 3), np.uint8), np.zeros((120, 100, 3), np.uint8)])


def square(x, y, side):
    return Face(np.array([x, y, x + side, y + side], float), 0.95, np.full((5, 2), float(x)), "detected")


def test_faces_are_paired_by_place_and_size_nearest_first():
    assert distance(square(0, 0, 100), square(0, 0, 100)) == 0
    assert distance(square(0, 0, 100), square(60, 80, 100)) == pytest.approx(1)  # 100 pixels away, in sides of 100
    assert distance(square(25, 25, 100), square(0, 0, 150)) == pytest.approx(np.log(1.5))
    ones = [square(0, 0, 100), square(300, 0, 100), square(600, 0, 20)]
    others = [square(340, 0, 100), square(20, 0, 100), square(560, 0, 100), square(310, 0, 100)]
    assert pair(ones, others) == {0: 1, 1: 3}


def test_between_two_faces_is_a_straight_line():
    middle = between(square(0, 40, 100), square(40, 0, 60), 0.25)
    assert middle.box.tolist() == [10, 30, 100, 120] and middle.how == "interpolated"
    assert (middle.landmarks == 10).all()
