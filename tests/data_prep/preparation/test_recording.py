"""A sequence's frames, gone through twice: read from disk once where they fit, never more than so much in memory."""

import hashlib
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_prep.datasets.catalogue import Clip, LabelledSequence
from data_prep.datasets.sequence_frames import frames_of, source_sha256
from data_prep.preparation.recording import DamagedRecording, Recording


@pytest.fixture
def images(tmp_path):
    """Five random images of 40 x 30 pixels, 3,600 bytes each when decoded."""
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        cv2.imwrite(str(path), random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    return LabelledSequence("S1", "S1_1", "anger", tuple(paths))


@pytest.fixture
def video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in range(20, 220, 20):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return LabelledSequence("S1", "S1_2", "anger", clip=Clip(tmp_path / "a.avi", 2, 7))


@pytest.mark.parametrize("name", ["images", "video"])
@pytest.mark.parametrize("held", [0, 12_000, 2**26])
def test_both_passes_show_the_same_frames_however_few_are_held(name, held, request):
    sequence = request.getfixturevalue(name)
    recording = Recording(sequence, held)
    expected = [frame.image for frame in frames_of(sequence)]
    for _ in range(2):
        found = list(recording.frames())
        assert len(found) == len(expected) and all(map(np.array_equal, found, expected))
    assert recording.is_held == (held == 2**26)
    assert recording.source == source_sha256(sequence)


def test_a_recording_that_is_too_long_leaves_no_frame_behind_while_it_is_read(images, video):
    for sequence in (images, video, replace(video, clip=Clip(video.clip.path))):
        n_bytes = [frame.image.nbytes for frame in frames_of(sequence)]
        recording = Recording(sequence, sum(n_bytes) - 1)
        living = []
        for frame in recording.frames():
            living.append(weakref.ref(frame))
            del frame
            assert sum(one() is not None for one in living) <= 1
        assert len(living) == len(n_bytes) and not recording.is_held
        recording = Recording(sequence, sum(n_bytes))
        assert len(list(recording.frames())) == len(n_bytes) and recording.is_held


def test_image_files_are_read_once_for_checksum_and_pixels(images):
    recording = Recording(images)
    digests = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in images.frames)
    for path in images.frames:
        path.unlink()
    assert recording.source == hashlib.sha256(digests).hexdigest()
    assert [len(list(recording.frames())) for _ in range(2)] == [5, 5]


def test_a_pass_that_is_not_finished_leaves_nothing_half_held(images):
    recording = Recording(images)
    next(recording.frames())
    assert not recording.is_held and len(list(recording.frames())) == 5 and recording.is_held


@pytest.mark.parametrize("held", [0, 2**26])
def test_damage_is_named_by_its_file(images, held):
    images.frames[3].write_bytes(b"no image")
    recording = Recording(images, held)
    with pytest.raises(DamagedRecording) as raised:
        list(recording.frames())
    problem = raised.value.problem
    assert (problem.path, problem.sequence) == (images.frames[3], "S1_1")
    assert problem.what.startswith("cannot be decoded")
    images.frames[1].unlink()
    with pytest.raises(DamagedRecording, match="cannot be read"):
        Recording(images, held)


def test_frames_of_two_sizes_are_damage(images):
    cv2.imwrite(str(images.frames[2]), np.zeros((20, 40, 3), np.uint8))
    with pytest.raises(DamagedRecording, match="differ in size"):
        list(Recording(images).frames())
