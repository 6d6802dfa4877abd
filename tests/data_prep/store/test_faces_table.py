"""faces.csv: a row for every frame, with the numbers of its face."""

import csv

import numpy as np
import pytest

from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack
from data_prep.store.faces_table import BOX, LANDMARKS, write_faces


def face(how, seed):
    random = np.random.default_rng(seed)
    return Face(random.uniform(-20, 600, 4), random.uniform(0.9, 1), random.uniform(0, 600, (5, 2)), how)


@pytest.fixture
def tracks():
    return {
        "S005_001": FaceTrack((None, face("detected", 1), face("refined", 2), face("interpolated", 3))),
        'a name, with a comma and "quotes"': FaceTrack((face("detected", 4),)),
        "nobody": FaceTrack((None, None)),
    }


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_of_faces_holds_what_was_found_to_a_hundredth_of_a_pixel(tmp_path, tracks):
    write_faces(tmp_path / "faces.csv", tracks.items())
    rows = iter(rows_of(tmp_path / "faces.csv"))
    for name, track in tracks.items():
        for number, one in enumerate(track.faces):
            row = next(rows)
            assert (row["sequence"], row["frame"]) == (name, str(number + 1))
            assert row["used"] == ("yes" if number in track.usable else "no")
            assert row["how"] == ("none" if one is None else one.how)
            if one is not None:
                assert abs(one.probability - float(row["probability"])) < 1e-6
                assert np.abs(one.box - [float(row[column]) for column in BOX]).max() < 0.006
                assert np.abs(one.landmarks.ravel() - [float(row[column]) for column in LANDMARKS]).max() < 0.006
    assert next(rows, None) is None


def test_each_frame_has_a_row_with_its_number_and_named_columns(tmp_path, tracks):
    write_faces(tmp_path / "faces.csv", tracks.items())
    rows = rows_of(tmp_path / "faces.csv")
    assert [(row["frame"], row["how"]) for row in rows[:4]] == [
        ("1", "none"), ("2", "detected"), ("3", "refined"), ("4", "interpolated")
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
