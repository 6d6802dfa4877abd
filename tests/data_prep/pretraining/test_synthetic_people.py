"""Drawn people to learn from: each at rest and in motion, with what their faces really do."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.datasets.emotions import CODE_OF_EMOTION, EMOTIONS
from data_prep.pretraining import synthetic_people
from data_prep.pretraining.recording_style import in_style
from data_prep.pretraining.synthetic_people import NO_EMOTION, draw_person, varied_identity
from data_prep.synthetic.action_units import ROW_OF_UNIT, activation, saturate
from data_prep.synthetic.face import draw_face
from data_prep.synthetic.identity import sample_identity
from data_prep.synthetic.sequences import subject_identity


@pytest.fixture
def drawn(monkeypatch):
    """Everything that is given to the drawing of a face, and what comes of it, in the order of the calls."""
    calls = []

    def validation(identity, units, view, noise):
        drawing = draw_face(identity, units, view, noise)
        calls.append((identity, units, drawing))
        return drawing

    monkeypatch.setattr(synthetic_people, "draw_face", validation)
    return calls


def test_a_persons_faces_are_all_of_one_identity_and_the_first_is_at_rest(drawn):
    person = draw_person(0, "learning", 5, 64)
    identities = {id(identity) for identity, *_ in drawn}
    assert len(drawn) == len(person.images) == 4
    assert len(identities) == 1
    assert person.emotions[0] == CODE_OF_EMOTION["neutral"]
    at_rest, *moved = (np.abs(units).max() for _, units, _ in drawn)
    assert at_rest < min(moved)
    assert set(person.emotions[1:]) <= {NO_EMOTION, *range(1, 8)}


def test_units_given_as_targets_are_those_that_were_drawn(drawn):
    person = draw_person(0, "learning", 6, 64)
    for target, (identity, units, _) in zip(person.units, drawn, strict=True):
        assert np.allclose(target, saturate(identity.resting + units), atol=1e-6)


def test_landmarks_given_as_targets_lie_on_the_crop_where_they_were_drawn(drawn, monkeypatch):
    """Landmarks are painted into the frame as white dots, and found in the crop where the targets say."""
    marked = (30, 36, 45, 48, 54)  # nose, outer corners of the eyes, corners of the mouth

    def dotted(*arguments):
        drawing = draw_face(*arguments)
        image = np.zeros((*drawing.image.shape[:2], 3), np.uint8)
        for x, y in drawing.landmarks[list(marked)]:
            image[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = 255
        return replace(drawing, image=image)

    monkeypatch.setattr(synthetic_people, "draw_face", dotted)
    monkeypatch.setattr(synthetic_people, "in_style", lambda crops, *_: crops)
    pixels = 400
    for number in range(3):
        person = draw_person(1, "learning", number, pixels)
        for image, landmarks in zip(person.images, person.landmarks, strict=True):
            for x, y in landmarks[list(marked)] * pixels - 0.5:
                around = image[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5, 0].astype(float)
                rows, columns = np.indices(around.shape) - 4
                found = np.array([(columns * around).sum(), (rows * around).sum()]) / around.sum()
                assert np.abs(found - (x - round(x), y - round(y))).max() < 1.5


def test_the_same_arguments_give_the_same_bytes_and_every_other_gives_other_people():
    first = draw_person(0, "learning", 0, 32)
    again = draw_person(0, "learning", 0, 32)
    assert np.array_equal(first.images, again.images)
    for other in ((1, "learning", 0), (0, "probe", 0), (0, "learning", 1)):
        assert not np.array_equal(first.landmarks, draw_person(*other, 32).landmarks)


def test_all_emotions_are_shown_once_and_a_style_changes_the_pixels_alone():
    varied, unseen = (draw_person(0, "probe", 2, 64, "emotions", style) for style in ("varied", "unseen"))
    assert varied.emotions.tolist() == [0, *(CODE_OF_EMOTION[emotion] for emotion in EMOTIONS)]
    assert np.array_equal(varied.landmarks, unseen.landmarks)
    assert np.array_equal(varied.units, unseen.units)
    assert not np.array_equal(varied.images, unseen.images)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nobody_of_the_synthetic_data_set_is_learned_from(seed, drawn):
    subjects = (5, 10, 11)
    for number in subjects:
        draw_person(seed, "learning", number, 32)
    of_data_set = {subject_identity(other, f"S{number:03d}").texture_seed for number in subjects for other in range(3)}
    assert drawn and not {identity.texture_seed for identity, *_ in drawn} & of_data_set


def test_the_unseen_style_is_coarser_than_any_that_is_learned_from():
    """Noise has all frequencies alike; what is left of the finest ones tells how far a style goes down."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 1), np.uint8).repeat(3, axis=-1)

    def finest(image):
        return float(np.abs(np.diff(image[0, :, :, 0].astype(float), axis=1)).mean() / image.std())

    learned = [finest(in_style(noise, "varied", seed)) for seed in range(30)]
    unseen = [finest(in_style(noise, "unseen", seed)) for seed in range(10)]
    assert max(unseen) < min(learned)


def test_all_frames_of_a_recording_are_disturbed_alike():
    frame = draw_person(0, "learning", 3, 64).images[:1]
    for seed in range(12):
        one, other = in_style(frame.repeat(2, axis=0), "varied", seed)
        assert np.array_equal(one, other)


def test_a_beard_darkens_the_chin_and_a_moustache_the_lip_and_both_are_off_by_default():
    shaven = replace(sample_identity(np.random.default_rng(3)), stubble=0.0, hair=np.full(3, 30.0))
    assert (shaven.beard, shaven.moustache) == (0, 0)
    bare = draw_face(shaven)
    for change, landmark, down in (({"beard": 1.0}, 57, 22), ({"moustache": 1.0}, 51, -8)):
        grown = draw_face(replace(shaven, **change))
        x, y = np.rint(bare.landmarks[landmark] + np.array([0, down])).astype(int)
        forehead = np.rint(bare.landmarks[27] - np.array([0, 60])).astype(int)
        assert grown.image[y, x].mean() < 0.8 * bare.image[y, x].mean()
        assert np.array_equal(grown.image[forehead[1], forehead[0]], bare.image[forehead[1], forehead[0]])
        assert np.array_equal(grown.landmarks, bare.landmarks)


def test_people_vary_more_than_those_of_the_synthetic_data_set():
    wide, usual = ([of(np.random.default_rng(n)) for n in range(60)] for of in (varied_identity, sample_identity))

    def spread(people, name):
        return np.std([person.proportions[name] for person in people])

    assert all(spread(wide, name) > 1.3 * spread(usual, name) for name in ("jaw_width", "nose_length", "mouth_width"))
    assert any(person.beard for person in wide)
    assert not any(person.beard for person in usual)


def test_units_are_also_shown_that_no_emotion_combines():
    alone = [
        person.units[face] - person.units[0]
        for person in (draw_person(0, "learning", number, 32) for number in range(10))
        for face in np.flatnonzero(person.emotions == NO_EMOTION)
    ]
    assert alone
    assert activation({"12": 1})[ROW_OF_UNIT[12]].tolist() == [1, 1]
    assert any(np.abs(change[:, 0] - change[:, 1]).max() > 0.2 for change in alone), "none on one half alone"
