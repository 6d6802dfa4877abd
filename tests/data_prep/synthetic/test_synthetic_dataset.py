"""The synthetic data set: drawn faces in CK+'s layout."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import CODE_OF_EMOTION, EMOTIONS
from data_prep.datasets.synthetic_marker import MARKER, is_synthetic, read_marker
from data_prep.errors import BadInput
from data_prep.synthetic import dataset
from data_prep.synthetic.action_units import ACTION_UNITS, DISPLACEMENTS, MIRROR, activation, saturate
from data_prep.synthetic.dataset import sequence_files, write_synthetic
from data_prep.synthetic.expressions import PROTOTYPES, sample_expression
from data_prep.synthetic.face import HEIGHT, WIDTH, draw_face
from data_prep.synthetic.identity import sample_identity
from data_prep.synthetic.sequences import sample_sequence
from data_prep.synthetic.shape import TEMPLATE, View, expressed, moved_landmarks


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def short_list(monkeypatch: pytest.MonkeyPatch) -> list:
    """The two shortest sequences of each of four subjects, so that a whole data set is written in a moment."""
    by_subject: dict[str, list] = {}
    for listed in sorted(ckplus_sequences(), key=lambda listed: listed.frames):
        by_subject.setdefault(listed.subject, []).append(listed)
    chosen = sorted((listed for subject in list(by_subject)[:4] for listed in by_subject[subject][:1]), key=str)
    monkeypatch.setattr(dataset, "ckplus_sequences", lambda: chosen)
    return chosen


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_faces(tmp_path, short_list):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_synthetic(tmp_path / name, subjects=2, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    image = sequence_files(short_list[0])[0]
    assert (tmp_path / "a" / image).read_bytes() != (tmp_path / "c" / image).read_bytes()


def test_fewer_subjects_and_more_jobs_give_the_same_bytes(tmp_path, short_list):
    write_synthetic(tmp_path / "one", subjects=1)
    write_synthetic(tmp_path / "two", subjects=2, jobs=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert set(one) < set(two)
    assert all(two[name] == data for name, data in one.items() if name != MARKER)


def test_frames_can_be_drawn_in_any_order():
    sequence = sample_sequence(ckplus_sequences()[3], seed=0)
    last = len(sequence.views) - 1
    backwards = [sequence.draw(frame).image for frame in (last, 0)]
    assert np.array_equal(backwards[1], sequence.draw(0).image)
    assert np.array_equal(backwards[0], sequence.draw(last).image)


def test_a_whole_run_would_write_the_published_sequences_emotions_and_frame_counts():
    sequences = dataset.first_subjects(118)
    assert sequences == ckplus_sequences()
    images = [name for listed in sequences for name in sequence_files(listed) if name.endswith(".png")]
    assert len(images) == len(set(images)) == 5876
    assert images[0] == "cohn-kanade-images/S005/001/S005_001_00000001.png"
    assert {listed.subject for listed in dataset.first_subjects(2)} == {"S005", "S010"}


def test_files_are_laid_out_and_written_as_in_ckplus(tmp_path, short_list):
    seen = []
    write_synthetic(tmp_path / "set", subjects=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, len(short_list)) for n in range(1, len(short_list) + 1)]
    names = {name for listed in short_list for name in sequence_files(listed)}
    assert set(contents(tmp_path / "set")) == names | {MARKER}
    for listed in short_list:
        stem = f"{listed.subject}/{listed.sequence}/{listed.subject}_{listed.sequence}_{listed.frames:08d}"
        emotion = (tmp_path / "set/Emotion" / f"{stem}_emotion.txt").read_text()
        assert emotion == f"   {CODE_OF_EMOTION[listed.emotion]}.0000000e+00\n"
        facs = np.loadtxt(tmp_path / "set/FACS" / f"{stem}_facs.txt", ndmin=2)
        assert set(facs[:, 1]) <= {1, 2, 3, 4, 5}
        landmarks = np.loadtxt(tmp_path / "set/Landmarks" / f"{stem}_landmarks.txt")
        assert landmarks.shape == (68, 2)
        image = cv2.imread(str(tmp_path / "set/cohn-kanade-images" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert image.shape[:2] == (HEIGHT, WIDTH)
        assert (landmarks > 0).all() and (landmarks < (WIDTH, HEIGHT)).all()


def test_the_marker_says_what_the_folder_is(tmp_path, short_list):
    write_synthetic(tmp_path / "set", subjects=1, seed=7)
    assert is_synthetic(tmp_path / "set") and not is_synthetic(tmp_path)
    assert "No person is shown" in (tmp_path / "set" / MARKER).read_text()
    marker = read_marker(tmp_path / "set")
    assert (marker.subjects, marker.seed) == (1, 7)
    assert read_marker(tmp_path) is None


def test_an_interrupted_run_is_finished_with_the_same_bytes(tmp_path, short_list):
    root = tmp_path / "set"
    write_synthetic(root, subjects=3)
    whole = contents(root)
    files = sequence_files(short_list[1])
    (root / files[2]).unlink()
    (root / files[-1]).unlink()
    (root / (files[2] + ".part")).write_bytes(b"torn")
    untouched = root / sequence_files(short_list[0])[0]
    before = untouched.stat().st_mtime_ns
    write_synthetic(root, subjects=3)
    assert contents(root) == whole
    assert untouched.stat().st_mtime_ns == before


@pytest.mark.parametrize("subjects", [0, 119, -3])
def test_impossible_numbers_of_subjects_are_refused(tmp_path, subjects):
    with pytest.raises(BadInput, match=f"subjects: {subjects} .*\n?.*1 to 118"):
        write_synthetic(tmp_path / "set", subjects=subjects)
    assert not (tmp_path / "set").exists()


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("draft")
    with pytest.raises(BadInput, match="not empty"):
        write_synthetic(tmp_path)
    with pytest.raises(BadInput, match=r"thesis\.txt: is a file"):
        write_synthetic(tmp_path / "thesis.txt")
    assert contents(tmp_path) == {"thesis.txt": b"draft"}


def test_other_parameters_than_the_first_run_had_are_refused(tmp_path, short_list):
    write_synthetic(tmp_path / "set", subjects=1)
    with pytest.raises(BadInput, match="1 subjects, seed 0"):
        write_synthetic(tmp_path / "set", subjects=2)
    (tmp_path / "set" / MARKER).write_text("torn")
    with pytest.raises(BadInput, match=MARKER):
        write_synthetic(tmp_path / "set", subjects=1)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_emotion_shows_most_of_its_prototype(emotion):
    rng = np.random.default_rng(0)
    listed = [{number for number, _ in sample_expression(emotion, rng).facs()} for _ in range(60)]
    prototype = {int(unit) for unit in PROTOTYPES[emotion]}
    shown = Counter(number for numbers in listed for number in numbers & prototype)
    assert all(shown[number] >= 0.75 * len(listed) for number in prototype)
    assert all(2 * len(numbers & prototype) >= len(prototype) for numbers in listed)


def test_contempt_is_one_sided_and_either_side_occurs():
    rng = np.random.default_rng(0)
    unit = next(row for row, unit in enumerate(ACTION_UNITS) if unit.number == 14)
    right, left = np.array([sample_expression("contempt", rng).apex[unit] for _ in range(40)]).T
    assert (np.minimum(right, left) < 0.5 * np.maximum(right, left)).mean() > 0.8
    assert (right > left).any() and (left > right).any()


def test_an_expression_starts_neutral_and_grows_to_its_apex():
    expression = sample_expression("surprise", np.random.default_rng(1))
    course = np.array([expression.at(time) for time in np.linspace(0, 1, 30)])
    assert np.all(course[0] == 0) and np.allclose(course[-1], expression.apex)
    assert (np.diff(np.abs(course), axis=0) >= -1e-12).all()


def movement(units: dict[str | int, float]) -> np.ndarray:
    """Displacement of the landmarks of the mean face, (68, 2), x right and y down."""
    return (expressed(TEMPLATE, activation(units)) - TEMPLATE)[:, :2]


def test_landmarks_move_as_the_unit_says():
    still = expressed(TEMPLATE, activation({}))
    assert (movement({12: 1})[[48, 54], 1] < -8).all(), "12 raises the lip corners"
    assert (movement({15: 1})[[48, 54], 1] > 6).all(), "15 lowers them"
    assert (movement({4: 1})[17:27, 1] >= 0).all() and movement({4: 1})[21, 0] < movement({4: 1})[22, 0] + 20
    assert movement({4: 1})[21, 0] > 0 > movement({4: 1})[22, 0], "4 draws the brows together"
    assert movement({1: 1})[21, 1] < movement({1: 1})[17, 1] - 5, "1 raises the inner brow"
    assert movement({2: 1})[18, 1] < movement({2: 1})[21, 1] - 5, "2 raises the outer brow"
    opened = expressed(TEMPLATE, activation({26: 1}))
    assert opened[66, 1] - opened[62, 1] > still[66, 1] - still[62, 1] + 15, "26 opens the mouth"
    assert opened[8, 1] > still[8, 1] + 12, "26 lowers the chin"
    for unit, sign in ((5, 1), (7, -1), (6, -1)):
        lids = expressed(TEMPLATE, activation({unit: 1}))
        assert sign * ((lids[41, 1] - lids[37, 1]) - (still[41, 1] - still[37, 1])) > 1.5, f"{unit} changes the lid gap"
    assert movement({20: 1})[54, 0] > 8 and movement({20: 1})[48, 0] < -8, "20 stretches the mouth"
    assert movement({23: 1})[57, 1] < -3 < 3 < movement({23: 1})[51, 1], "23 thins the lips"
    assert movement({9: 1})[33, 1] < -3, "9 pulls the nose up"


def test_a_one_sided_unit_moves_its_side_only():
    left = movement({"L14": 1})
    assert np.hypot(*left[54]) > 5 and np.hypot(*left[48]) < 0.5
    assert np.allclose(left[MIRROR] * (-1, 1), movement({"R14": 1}), atol=1e-9)


def test_lids_and_lips_never_cross():
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = expressed(TEMPLATE, rng.normal(0, 1.0, (len(ACTION_UNITS), 2)), blink=rng.random())
        pairs = ((37, 41), (38, 40), (62, 66), (51, 62), (66, 57))
        assert all(points[lower, 1] >= points[upper, 1] for upper, lower in pairs)


def test_saturation_is_bounded_and_monotone():
    values = saturate(np.linspace(-5, 5, 200))
    assert (np.diff(values) > 0).all() and values.min() > -0.71 and values.max() < 1.31


def test_the_region_of_a_unit_is_found_by_moving_it():
    assert set(moved_landmarks(12)) >= {48, 54, 60, 64} and not set(moved_landmarks(12)) & set(range(17, 48))
    assert set(moved_landmarks(1)) <= set(range(17, 27))
    assert set(moved_landmarks("L14")) == {MIRROR[i] for i in moved_landmarks("R14")}
    assert all(moved_landmarks(unit.number) for unit in ACTION_UNITS)
    assert DISPLACEMENTS.shape == (len(ACTION_UNITS), 2, 68, 2)
    with pytest.raises(KeyError, match="no action unit '99'"):
        moved_landmarks(99)


def test_an_expression_shows_in_the_image_and_grows_smoothly():
    identity = sample_identity(np.random.default_rng(5))
    frames = [draw_face(identity, {6: s, 12: s}).image.astype(float) for s in np.linspace(0, 1, 6)]
    steps = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    assert min(steps) > 0 and max(steps) < 4 * min(steps)


def test_faces_can_be_grey_or_colour_and_in_motion():
    shapes = set()
    for seed in range(12):
        identity = sample_identity(np.random.default_rng(seed))
        drawing = draw_face(identity, {26: 1}, View(shift=(9.4, -6), roll=0.1, blink=1.0), np.random.default_rng(0))
        assert drawing.image.dtype == np.uint8
        shapes.add(drawing.image.shape)
    assert shapes == {(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)}


def test_mtcnn_finds_the_drawn_face_where_it_was_drawn():
    facenet_pytorch = pytest.importorskip("facenet_pytorch")
    detector = facenet_pytorch.MTCNN(device="cpu", keep_all=True)
    sequences = {listed.emotion: listed for listed in ckplus_sequences()}
    for listed in sequences.values():
        sequence = sample_sequence(listed, seed=0)
        drawing = sequence.draw(listed.frames - 1)
        image = drawing.image if drawing.image.ndim == 3 else cv2.cvtColor(drawing.image, cv2.COLOR_GRAY2RGB)
        _boxes, probabilities, points = detector.detect(image, landmarks=True)
        best = int(np.argmax(probabilities))
        assert probabilities[best] > 0.9, listed
        eyes = [drawing.landmarks[36:42].mean(axis=0), drawing.landmarks[42:48].mean(axis=0)]
        drawn = np.array([*eyes, drawing.landmarks[30], drawing.landmarks[48], drawing.landmarks[54]])
        assert np.linalg.norm(np.asarray(points[best], dtype=float) - drawn, axis=1).max() < 30, listed
