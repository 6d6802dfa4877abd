"""Emotions over time: windows, gaps and crops on streams whose every answer can be told by hand; flat memory."""

import gc
import weakref

import cv2
import numpy as np
import pytest
import torch

from data_prep.datasets.ckplus import read_ckplus
from data_prep.errors import BadInput
from data_prep.faces.crops import sequence_crop
from data_prep.faces.detection import Face
from data_prep.faces.tracking import MAX_GAP, FaceFollower
from data_prep.media.images import read_image
from data_prep.media.videos import Frame
from face_strnn.prediction.durations import Duration, Instant
from face_strnn.prediction.timeline import Moment, sequence_probabilities, timeline, track


class LevelRecogniser:
    """Maps are a frame's grey level; the answer is that of the window's last frame, and the windows are noted."""

    margin = 0.2

    def __init__(self, kind="per-sequence", window="6", hop="2"):
        self.kind, self.window, self.hop = kind, Duration.parse(window, "--window"), Duration.parse(hop, "--hop")
        self.windows, self.computed, self.crops = [], [], []

    def maps(self, images, crops):
        levels = [int(image[0, 0, 0]) for image in images]
        self.computed.append(levels)
        self.crops.append(list(crops))
        return torch.tensor(levels).reshape(-1, 1, 1, 1)

    def probabilities(self, maps):
        levels = maps.flatten().tolist()
        self.windows.append(levels)
        return np.array([levels[-1], 200 - levels[-1]]) / 200


def face_at(x, y=40.0, side=30.0):
    box = np.array([x, y, x + side, y + side])
    eyes = np.array([[x + 0.3 * side, y + 0.4 * side], [x + 0.7 * side, y + 0.4 * side]])
    return Face(box, 0.99, np.concatenate([eyes, np.zeros((3, 2))]), "detected")


def moments(n, gaps=(), rate=None, places=lambda number: 50.0, size=4):
    """Frames whose grey level is their number."""
    for number in range(n):
        seconds = None if rate is None else number / rate
        face = None if number in gaps else face_at(places(number))
        yield Moment(Instant(number, seconds), np.full((size, size, 3), number % 200, np.uint8), face)


def run_timeline(stream, window="6", hop="2", kind="per-sequence"):
    recogniser = LevelRecogniser(kind, window, hop)
    return recogniser, list(timeline(stream, recogniser))


def test_every_frame_comes_once_in_order_and_windows_hold_the_last_frames():
    recogniser, rows = run_timeline(moments(13))
    assert [row.instant.number for row in rows] == list(range(13))
    ends = [5, 7, 9, 11, 12]  # the last one ends with the recording, whatever the hop
    assert recogniser.windows == [list(range(end - 5, end + 1)) for end in ends]


def test_between_the_ends_of_two_windows_lies_a_straight_line_and_before_the_first_its_answer():
    _, rows = run_timeline(moments(12, rate=10), "6", "3")
    first = [row.probabilities[0] * 200 for row in rows]
    assert np.allclose(first, [5] * 6 + [6, 7, 8, 9, 10, 11])
    assert np.allclose([row.probabilities.sum() for row in rows], 1)


def test_a_part_shorter_than_a_window_is_one_window():
    recogniser, rows = run_timeline(moments(4))
    assert recogniser.windows == [[0, 1, 2, 3]]
    assert [row.probabilities[0] for row in rows] == [3 / 200] * 4


def test_gaps_have_no_answer_and_no_window_reaches_across_one():
    gaps = {0, 9, 10, 11, 20}
    recogniser, rows = run_timeline(moments(24, gaps))
    assert {row.instant.number for row in rows if row.probabilities is None} == gaps
    assert [row.instant.number for row in rows] == list(range(24))
    assert not [window for window in recogniser.windows if window != list(range(window[0], window[-1] + 1))]
    assert not [window for window in recogniser.windows if gaps & set(window)]
    assert [23] in [window[-1:] for window in recogniser.windows] and [21, 22, 23] in recogniser.windows


def test_windows_in_seconds_follow_the_times_of_a_variable_rate():
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0, 1.1, 5.0, 5.1, 5.5]
    stream = [Moment(Instant(n, t), np.full((4, 4, 3), n, np.uint8), face_at(50.0)) for n, t in enumerate(times)]
    recogniser, rows = run_timeline(stream, "0.4s", "0.2s")
    seen = [[times[n] for n in window] for window in recogniser.windows]
    assert all(window[-1] - window[0] <= 0.4 + 1e-9 for window in seen)
    assert [window[-1] for window in seen] == [0.4, 0.9, 1.1, 5.0, 5.5]
    # 1.0 s lies in the middle between 0.9 and 1.1: of the windows that end at frames 5 and 7.
    assert rows[6].probabilities[0] == pytest.approx(6 / 200)


def test_a_still_head_is_computed_once_and_one_that_moves_is_cut_anew_for_the_whole_window():
    recogniser, _ = run_timeline(moments(30, places=lambda number: 50 + 0.1 * (number % 2)))
    assert sorted(level for levels in recogniser.computed for level in levels) == list(range(30))
    assert len({crop for crops in recogniser.crops for crop in crops}) == 1
    recogniser, _ = run_timeline(moments(30, places=lambda number: 50.0 + 2 * number))
    assert recogniser.computed == recogniser.windows
    for crops, window in zip(recogniser.crops, recogniser.windows, strict=True):
        assert set(crops) == {sequence_crop([face_at(50.0 + 2 * number).box for number in window], 0.2)}


@pytest.mark.parametrize("kind", ["per-frame", "eyes"])
def test_crops_that_follow_the_face_are_computed_once_for_each_frame_of_a_steady_motion(kind):
    recogniser, _ = run_timeline(moments(30, places=lambda number: 50.0 + 2 * number), "12", "4", kind)
    assert sorted(level for levels in recogniser.computed for level in levels) == list(range(30))
    crops = [crop for crops in recogniser.crops for crop in crops]
    assert np.allclose(np.diff([crop.center_x for crop in crops]), 2, atol=1e-6)


def test_the_probabilities_of_a_sequence_see_every_frame_in_one_square():
    recogniser = LevelRecogniser()
    answer = sequence_probabilities(moments(40, places=lambda number: 50.0 + number), recogniser)
    assert answer[0] == 39 / 200 and recogniser.windows == [list(range(40))]
    assert len(set(recogniser.crops[0])) == 1


def test_memory_does_not_grow_with_the_length_of_a_recording():
    def most_alive(n):
        alive, most = [], 0

        def counted():
            for moment in moments(n, gaps=range(40, 60), size=40):
                alive.append(weakref.ref(moment.image))
                yield moment

        for _ in timeline(counted(), LevelRecogniser(window="12", hop="4")):
            most = max(most, sum(image() is not None for image in alive))
        return most

    assert most_alive(100) == most_alive(1000) <= 12 + 4 + 2


@pytest.fixture(scope="module")
def faces_and_blanks(synthetic):
    """A drawn face in small frames, and a frame without one."""
    paths = read_ckplus(synthetic).sequences[0].frames
    faces = [cv2.resize(read_image(path), (320, 245)) for path in paths]
    return faces, np.full_like(faces[0], 90)


def test_faces_come_in_step_with_their_frames_and_few_frames_are_held(faces_and_blanks):
    faces, blank = faces_and_blanks
    hidden = {3, *range(40, 44 + MAX_GAP), 88}
    alive, most, seen = [], 0, []

    def frames():
        for number in range(90):
            image = (blank if number in hidden else faces[number % len(faces)]).copy()
            alive.append(weakref.ref(image))
            yield Frame(image, number / 25)

    gc.freeze()  # what was there before needs no look at every frame
    try:
        for moment in track(frames(), FaceFollower()):
            gc.collect()
            most = max(most, sum(image() is not None for image in alive))
            seen.append((moment.instant, moment.face is not None))
            assert (moment.image == blank).all() == (moment.instant.number in hidden)
    finally:
        gc.unfreeze()
    assert [instant for instant, _ in seen] == [Instant(number, number / 25) for number in range(90)]
    # The gaps of one frame are bridged; the long one is not.
    assert [instant.number for instant, found in seen if not found] == list(range(40, 44 + MAX_GAP))
    assert most <= 16 + MAX_GAP + 3


@pytest.mark.parametrize("text", ["0", "0s", "-1", "1.5", "abc", "", "0.5 m", "nan s"])
def test_lengths_that_make_no_sense_are_refused(text):
    with pytest.raises(BadInput, match=r"--window .*: give seconds, such as 1\.2s, or a number of frames, such as 24"):
        Duration.parse(text, "--window")


def test_a_hop_longer_than_the_window_is_refused_before_anything_is_read():
    with pytest.raises(BadInput, match=r"--hop 1 s: longer than the window, 24 frames"):
        timeline(iter(()), LevelRecogniser(window="24", hop="1s"))
