"""faces.csv: what is written is what is read back, and damage is named."""

import csv

import numpy as np
import pytest

from data_prep.errors import BadInput
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack
from data_prep.store.faces_table import read_faces, write_faces


def face(how, seed):
    random = np.random.default_rng(seed)
    return Face(random.uniform(-20, 600, 4), random.uniform(0.9, 1), random.uniform(0, 600, (5, 2)), how)


@pytest.fixture
def tracks():
    return {
        "S005_001": FaceTrack((None, face("detected", 1), face("checked", 2), face("bridged", 3))),
        'a name, with a comma and "quotes"': FaceTrack((face("detected", 4),)),
        "nobody": FaceTrack((None, None)),
    }


def test_a_table_of_faces_is_read_back_as_it_was_written(tmp_path, tracks):
    write_faces(tmp_path / "faces.csv", tracks.items())
    again = read_faces(tmp_path / "faces.csv")
    assert list(again) == list(tracks)
    for name, track in tracks.items():
        assert again[name].usable == track.usable
        for one, other in zip(track.faces, again[name].faces, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert one.how == other.how and abs(one.probability - other.probability) < 1e-6
                assert np.abs(one.box - other.box).max() < 0.006
                assert np.abs(one.landmarks - other.landmarks).max() < 0.006


def test_each_frame_has_a_row_with_its_number_and_named_columns(tmp_path, tracks):
    write_faces(tmp_path / "faces.csv", tracks.items())
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["how"]) for row in rows[:4]] == [
        ("1", "none"), ("2", "detected"), ("3", "checked"), ("4", "bridged")
    ]  # fmt: skip
    assert rows[0]["left"] == rows[0]["probability"] == rows[0]["mouth_right_y"] == ""
    written = tracks["S005_001"].faces[1]
    assert rows[1]["top"] == f"{written.box[1]:.2f}" and rows[1]["nose_x"] == f"{written.landmarks[2, 0]:.2f}"


def test_a_table_is_written_whole_or_not_at_all(tmp_path, tracks):
    write_faces(tmp_path / "faces.csv", tracks.items())
    before = (tmp_path / "faces.csv").read_bytes()

    def broken():
        yield next(iter(tracks.items()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path / "faces.csv", broken())
    assert (tmp_path / "faces.csv").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("left_eye_x", "eye", "columns"),
        ("S005_001,3", "S005_001,7", "line 4 is damaged .frame 7"),
        ("bridged", "guessed", "line 5 is damaged .how is 'guessed'"),
        ("detected,", "detected,x", "line 3 is damaged"),
    ],
)
def test_a_damaged_table_is_refused_by_line(tmp_path, tracks, old, new, message):
    path = tmp_path / "faces.csv"
    write_faces(path, tracks.items())
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=rf"faces\.csv: .*{message}"):
        read_faces(path)


def test_a_table_cut_short_or_absent_is_refused(tmp_path, tracks):
    path = tmp_path / "faces.csv"
    with pytest.raises(BadInput, match=r"faces\.csv: cannot be read"):
        read_faces(path)
    write_faces(path, tracks.items())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4][:40]]))
    with pytest.raises(BadInput, match="line 5 is damaged"):
        read_faces(path)
    path.write_bytes(b"\xff\xfe\x00 no text")
    with pytest.raises(BadInput, match="damaged"):
        read_faces(path)
