"""The annotated video: frames at their own times, nothing of the recording hidden, whole or not at all."""

import cv2
import numpy as np
import pytest

from data_prep.errors import BadInput
from data_prep.faces.detection import Face
from data_prep.media.frames import frames_at
from face_strnn.prediction.annotate import annotator, draw
from face_strnn.prediction.durations import Instant
from face_strnn.prediction.recogniser import Method
from face_strnn.prediction.timeline import Moment

CLASSES = ("anger", "happiness", "surprise")
RUN = Method("strnn", "CK+", 10)


def moment(number, seconds=None, face=True, level=40, size=(90, 121)):
    image = np.full((*size, 3), level, np.uint8)
    if not face:
        return Moment(Instant(number, seconds), image, None)
    found = Face(np.array([30.0, 40, 70, 80]), 0.99, np.zeros((5, 2)), "detected")
    return Moment(Instant(number, seconds), image, found, np.array([0.1, 0.7, 0.2]))


def write(path, moments, rate):
    with annotator(path, CLASSES, rate, RUN) as video:
        for one in moments:
            video.write(one)
    return list(frames_at(path))


def levels(frames):
    return [round(float(frame.image[-6:, :6].mean()) / 20) for frame in frames]


def test_at_a_constant_rate_every_frame_is_written_once_at_its_time(tmp_path):
    moments = [moment(n, round(n / 29.97, 3), n % 4 > 0, level=20 * (n % 10)) for n in range(33)]
    frames = write(tmp_path / "a.mp4", moments, 29.97)
    assert levels(frames) == [n % 10 for n in range(33)]
    assert np.allclose([frame.seconds for frame in frames], np.arange(33) / 29.97, atol=5e-3)


def test_images_without_times_are_written_once_each(tmp_path):
    assert levels(write(tmp_path / "a.mp4", [moment(n, level=20 * n) for n in range(8)], 30)) == list(range(8))


def test_a_variable_rate_keeps_its_timing(tmp_path):
    times = [2.0, 2.1, 2.5, 2.52, 2.6]  # a pause is filled, and of two frames within one interval the later stays
    frames = write(tmp_path / "a.mp4", [moment(n, t, level=20 * n) for n, t in enumerate(times)], 10)
    assert levels(frames) == [0, 1, 1, 1, 1, 3, 4]


def test_the_recording_itself_is_not_hidden_and_sides_are_even():
    picture = draw(moment(0, 1.5, face=False, size=(91, 121)), CLASSES, RUN)
    assert picture.shape[0] == 92 and picture.shape[1] % 2 == 0 and picture.shape[1] > 121
    assert (picture[:91, :121] == 40).all()


def test_box_and_bars_lie_where_face_and_probabilities_say():
    one = moment(0, 1.5, size=(240, 320))
    picture = draw(one, CLASSES, RUN)
    frame = picture[:240, :320].astype(int)
    drawn = np.abs(frame - 40).sum(2) > 60
    assert drawn[40:80, 30].all() and drawn[80, 30:70].all() and not drawn[48:72, 38:62].any()
    assert (one.image == 40).all(), "the frame itself is left as it is"
    panel = picture[:240, 320:].astype(int)
    blue = (panel[..., 2] - panel[..., 0]) > 100
    length = blue.sum(1).max() / panel.shape[1]
    assert 0.55 < length < 0.75, "the longest bar is that of the probability 0.7, within the panel's margins"


@pytest.mark.parametrize("data", ["synthetic", "CK+", "a-folder-with-a-name-that-is-longer-than-a-panel-is-wide"])
@pytest.mark.parametrize("face", [True, False])
def test_every_picture_says_which_method_it_shows_and_what_it_was_trained_on(data, face):
    """Below the bars in a row each, whole: with a column of paper left on either side."""
    one, row = moment(0, 1.5, face=face, size=(360, 480)), 360 // (len(CLASSES) + 3)

    def ink(method):
        return draw(one, CLASSES, method)[:360, 480:].min(2) < 128

    def rows_that_differ(method, other):
        rows = (ink(method) != ink(other)).any(1).nonzero()[0] // row
        return set(rows.tolist())

    for name in ("strnn", "frame-wise"):
        below = ink(Method(name, data))[-2 * row :]
        assert below[:row].any() and below[row:].any()
        assert not below[:, :3].any() and not below[:, -3:].any()
        differing = rows_that_differ(Method(name, data), Method(name, ""))
        assert len(CLASSES) + 2 in differing and min(differing) > len(CLASSES), "the rest is as it was"
    assert len(CLASSES) + 1 in rows_that_differ(Method("strnn", data), Method("frame-wise", data))


@pytest.mark.parametrize("size", [(20, 24), (1080, 1920)])
def test_frames_of_any_size_can_be_drawn_with_a_face_at_their_edge(size):
    one = moment(0, 0.0, size=size)
    at_edge = Moment(one.instant, one.image, Face(np.array([-9.0, -5, 900, 15]), 1.0, np.zeros((5, 2)), "refined"))
    for shown in (at_edge, Moment(one.instant, one.image, at_edge.face, one.probabilities)):
        assert draw(shown, CLASSES, RUN).shape[0] == size[0]


def test_a_video_that_is_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), annotator(tmp_path / "a.mp4", CLASSES, 10, RUN) as video:
        for number in range(5):
            video.write(moment(number))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.avi", r"give a name that ends with \.mp4"), ("none/a.mp4", "no folder .*none; make it first")],
)
def test_a_name_that_cannot_be_written_is_refused(tmp_path, name, said):
    with pytest.raises(BadInput, match=f"--annotate .*{said}"), annotator(tmp_path / name, CLASSES, 10, RUN):
        pass


def test_colours_are_those_of_the_recording(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    image[...] = (200, 30, 30)
    (frame,) = write(tmp_path / "a.mp4", [Moment(Instant(0, 0.0), image, None)], 10)
    red, green, blue = frame.image[20:40, 20:40].reshape(-1, 3).mean(0)
    assert red > 180 and green < 60 and blue < 60
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS) == 10
