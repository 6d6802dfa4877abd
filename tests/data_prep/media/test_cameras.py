"""A camera's frames: thinned evenly where they cannot be used as fast as they come; an absent camera is named."""

import threading
import time

import numpy as np
import pytest

from data_prep.errors import BadInput
from data_prep.media.cameras import frames_of_camera, thinned
from data_prep.media.videos import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)


def shots(n, interval=0.0):
    for number in range(n):
        yield Frame(IMAGE, float(number))
        time.sleep(interval)


def test_all_frames_come_where_there_is_time_for_them():
    assert [frame.seconds for frame in thinned(lambda: shots(50), waiting=64)] == list(range(50))


def test_what_cannot_be_used_in_time_is_left_out_evenly():
    taken = []
    for frame in thinned(lambda: shots(400, 0.001), waiting=8):
        taken.append(frame.seconds)
        time.sleep(0.01)
    steps = np.diff(taken)
    assert 10 < len(taken) < 200 and (steps > 0).all()
    # Steps only ever grow, to what can be kept up with; between two thinnings they are all alike.
    assert (np.diff(steps) >= 0).all() and steps[-1] > 1


def test_no_more_frames_wait_than_are_allowed():
    given = threading.Event()

    def all_shots():
        yield from shots(1000)
        given.set()

    frames = thinned(all_shots, waiting=10)
    first = next(frames)
    assert given.wait(10)
    rest = list(frames)
    assert first.seconds == 0 and len(rest) <= 10
    assert len(set(np.diff([frame.seconds for frame in rest]))) == 1


def test_reading_ends_when_no_more_frames_are_wanted():
    before = threading.active_count()
    frames = thinned(lambda: shots(10**9, 0.001))
    assert next(frames).seconds == 0
    frames.close()
    assert threading.active_count() == before


def test_an_error_of_the_camera_reaches_whoever_takes_the_frames():
    def broken():
        yield from shots(3)
        raise BadInput("the plug was pulled")

    frames = thinned(broken)
    with pytest.raises(BadInput, match="the plug was pulled"):
        list(frames)


def test_an_absent_camera_is_named_and_nothing_else_is_said(capfd):
    with pytest.raises(BadInput, match=r"camera 97: there is none, .*; give another number, a video file or a folder"):
        next(frames_of_camera(97))
    assert capfd.readouterr() == ("", "")
