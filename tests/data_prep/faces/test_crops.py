"""Squares around faces: the arithmetic by hand, and what is cut out by them."""

import cv2
import numpy as np
import pytest
from facenet_pytorch import MTCNN
from skimage.data import astronaut

from data_prep.errors import BadInput
from data_prep.faces.crops import SquareCrop, crops_of, extract_crop, sequence_crop
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack
from data_prep.faces.variants import ROTATION_BORDER


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def face(box, eyes=((0, 0), (1, 0))):
    return Face(np.array(box, float), 0.95, np.array([*eyes, (0, 0), (0, 0), (0, 0)], float), "detected")


def test_the_crop_is_the_median_box_and_a_margin():
    boxes = [
        np.array([100.0, 50.0, 200.0, 170.0]),
        np.array([104.0, 52.0, 206.0, 168.0]),
        np.array([300.0, 10.0, 500.0, 400.0]),  # a wrong detection moves a median little
    ]
    # medians: left 104, top 50, right 206, bottom 170: 102 wide, 120 high, its middle at (155, 110)
    assert sequence_crop(boxes, margin=0.2) == SquareCrop(155.0, 110.0, pytest.approx(144.0))
    assert sequence_crop(boxes, margin=0.0) == SquareCrop(155.0, 110.0, 120.0)
    assert sequence_crop(boxes[:1], margin=0.5) == SquareCrop(150.0, 110.0, 180.0)


def test_a_crop_of_equal_size_is_a_slice():
    frame = noise(90, 120)
    assert np.array_equal(extract_crop(frame, SquareCrop(60, 40, 32), 32), frame[24:56, 44:76])
    assert np.array_equal(extract_crop(frame, SquareCrop(16, 16, 32), 32), frame[:32, :32])


@pytest.mark.parametrize("center", [(0, 0), (119, 89), (5, 45), (60, -3), (118, 2)])
def test_what_lies_beyond_the_frame_repeats_its_border(center):
    frame = noise(90, 120)
    x, y = center
    around = np.pad(frame, ((64, 64), (64, 64), (0, 0)), mode="edge")
    expected = around[64 + y - 16 : 64 + y + 16, 64 + x - 16 : 64 + x + 16]
    assert np.array_equal(extract_crop(frame, SquareCrop(x, y, 32), 32), expected)


def test_shrinking_averages_areas():
    frame = noise(64, 64)
    expected = frame.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(extract_crop(frame, SquareCrop(32, 32, 64), 16) - expected).max() <= 0.5


@pytest.mark.parametrize("pixels", [31, 32, 112, 224])
def test_a_rotation_border_widens_the_crop_around_the_same_middle(pixels):
    frame = noise(600, 700)
    crop = SquareCrop(350, 300, pixels) if pixels % 2 == 0 else SquareCrop(350.5, 300.5, pixels)
    wide = extract_crop(frame, crop, pixels, ROTATION_BORDER)
    extra = (len(wide) - pixels) // 2
    assert (len(wide) - pixels) % 2 == 0 and abs(len(wide) - pixels * ROTATION_BORDER) <= 1
    assert np.array_equal(wide[extra : extra + pixels, extra : extra + pixels], extract_crop(frame, crop, pixels))


def test_one_crop_serves_a_whole_sequence(drawn, follower):
    track = follower.track(drawn)
    crop = sequence_crop([face.box for face in track.faces], 0.2)
    assert crops_of(track) == [crop] * 5


@pytest.mark.parametrize("kind", ["per-sequence", "per-frame", "eyes"])
def test_the_margin_makes_the_face_smaller(kind, drawn, follower):
    track = follower.track(drawn)
    for narrow, wide in zip(crops_of(track, kind, 0.2), crops_of(track, kind, 0.5), strict=True):
        assert wide.side == pytest.approx(1.25 * narrow.side) and wide.tilt == narrow.tilt


def test_a_sequence_without_any_face_has_no_crop(follower):
    blank = np.full((120, 160, 3), 90, np.uint8)
    assert follower.track([blank, blank]).faces == (None, None)
    for kind in ("per-sequence", "per-frame", "eyes"):
        assert crops_of(FaceTrack((None, None)), kind) == []


def test_a_crop_per_frame_is_that_frames_box_and_a_margin():
    track = FaceTrack((None, face([100, 50, 200, 170]), face([110, 50, 230, 130])))
    assert crops_of(track, "per-frame", 0.2) == [
        SquareCrop(150.0, 110.0, pytest.approx(144.0)),
        SquareCrop(170.0, 90.0, pytest.approx(144.0)),
    ]


def test_only_the_usable_part_is_cropped():
    near, far = face([100, 50, 200, 150]), face([300, 50, 400, 150])
    track = FaceTrack((far, None, None, near, near, near))
    for kind in ("per-sequence", "per-frame", "eyes"):
        assert len(crops_of(track, kind)) == 3
    assert crops_of(track, "per-sequence", 0.0) == [SquareCrop(150.0, 100.0, 100.0)] * 3


def test_wrong_kinds_and_margins_are_refused():
    track = FaceTrack((face([100, 50, 200, 150]),))
    with pytest.raises(BadInput, match="--crop round: must be one of per-sequence, per-frame, eyes"):
        crops_of(track, "round")
    for margin in (-0.1, 2.1, float("nan")):
        with pytest.raises(BadInput, match="--margin"):
            crops_of(track, "eyes", margin)


def eye_places(margin=0.2):
    """Where the eyes lie in a crop: a third of its side without margin apart, and a third of that above the middle."""
    distance = 1 / 3 / (1 + margin)
    return np.array([[0.5 - distance / 2, 0.5 - distance / 3], [0.5 + distance / 2, 0.5 - distance / 3]])


def centroids(image):
    """Of the red and of the green spot, in pixels from the image's edge."""
    places = []
    for channel in (0, 1):
        weights = image[..., channel].astype(float) - image[..., 2]
        weights[weights < 40] = 0
        y, x = np.indices(weights.shape) + 0.5
        places.append([(weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()])
    return np.array(places)


@pytest.mark.parametrize("margin", [0.0, 0.4])
@pytest.mark.parametrize(("tilt", "distance"), [(-40, 60), (-7, 140), (0.5, 90), (25, 35), (90, 90)])
def test_eyes_come_to_lie_at_the_stated_places(tilt, distance, margin):
    middle, across = np.array([321.3, 240.8]), distance * np.array([np.cos(np.radians(tilt)), np.sin(np.radians(tilt))])
    eyes = np.stack([middle - across / 2, middle + across / 2])
    frame = np.zeros((480, 640, 3), np.uint8)
    y, x = np.indices(frame.shape[:2]) + 0.5
    for channel, (eye_x, eye_y) in enumerate(eyes):
        frame[..., channel] = 255 * np.exp(-((x - eye_x) ** 2 + (y - eye_y) ** 2) / (2 * (distance / 12) ** 2))
    (crop,) = crops_of(FaceTrack((face([0, 0, 9, 9], eyes),)), "eyes", margin)
    assert crop.tilt == pytest.approx(tilt)
    for pixels in (112, 224):
        assert np.abs(centroids(extract_crop(frame, crop, pixels)) - pixels * eye_places(margin)).max() < 0.5
        wide = extract_crop(frame, crop, pixels, ROTATION_BORDER)
        extra = (len(wide) - pixels) / 2
        assert np.abs(centroids(wide) - extra - pixels * eye_places(margin)).max() < 0.5


def test_a_photographed_face_is_set_upright_by_its_eyes(follower):
    photograph = astronaut()[:400]
    turn = cv2.getRotationMatrix2D((225, 115), 18, 1.0)  # counter-clockwise about the face's middle
    turned = cv2.warpAffine(photograph, turn, photograph.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    mtcnn = MTCNN()
    for frame in (photograph, turned):
        (crop,) = crops_of(follower.track([frame]), "eyes")
        _, _, (landmarks,) = mtcnn.detect(extract_crop(frame, crop, 224), landmarks=True)
        # MTCNN places eyes to a few hundredths of a face
        assert np.abs(np.asarray(landmarks, float)[:2] / 224 - eye_places()).max() < 0.04
    (straight,) = crops_of(follower.track([photograph]), "eyes")
    (tilted,) = crops_of(follower.track([turned]), "eyes")
    assert tilted.tilt - straight.tilt == pytest.approx(-18, abs=5)


def eye_track(eyes):
    return FaceTrack(tuple(face([0, 0, 9, 9], pair) for pair in eyes))


def test_jitter_of_the_eyes_does_not_move_the_crop_but_motion_does():
    rest = np.tile(np.array([[280.0, 200.0], [350.0, 204.0]]), (30, 1, 1))
    jitter = np.random.default_rng(0).normal(0, 0.7, rest.shape)
    raw = crops_of(eye_track(rest), "eyes")
    smoothed = crops_of(eye_track(rest + jitter), "eyes")
    assert max(abs(one.center_x - other.center_x) for one, other in zip(raw, smoothed, strict=True)) < 0.7
    steps = np.diff([crop.center_x for crop in smoothed])
    jittered_steps = np.diff((rest + jitter)[:, :, 0].mean(1))
    assert steps.std() < 0.2 * jittered_steps.std()
    moving = rest + np.arange(30)[:, None, None] * np.array([3.0, -1.0])
    for frame, (still, moved) in enumerate(zip(raw, crops_of(eye_track(moving), "eyes"), strict=True)):
        assert moved.center_x - still.center_x == pytest.approx(3 * frame)
        assert moved.center_y - still.center_y == pytest.approx(-frame)
        assert moved.side == pytest.approx(still.side) and moved.tilt == pytest.approx(still.tilt)
