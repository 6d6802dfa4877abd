"""The reader of Oulu-CASIA, on tiny copies in its layout."""

import json

import pytest
from layouts import write_oulu

from data_prep.datasets.registry import read_dataset
from data_prep.errors import BadInput
from face_strnn.cli.program import main


def test_oulu_casia_has_a_sequence_for_each_subject_and_emotion(tmp_path):
    catalogue = read_dataset("oulu-casia", write_oulu(tmp_path, n_frames=11)).usable()
    assert [one.name for one in catalogue.sequences][:3] == ["P001_anger", "P001_disgust", "P001_fear"]
    assert len(catalogue.sequences) == 12 and catalogue.subjects == ("P001", "P002")
    assert catalogue.data == "Oulu-CASIA-VL-Strong"
    assert [file.name for file in catalogue.sequences[0].frames] == [f"{number:03d}.jpeg" for number in range(11)]


@pytest.mark.parametrize(
    ("part", "taken", "data"),
    [
        (None, "OriginalImg/VL/Strong", "Oulu-CASIA-VL-Strong"),
        ("NI/Dark", "OriginalImg/NI/Dark", "Oulu-CASIA-NI-Dark"),
        ("PreProcessImg/VL/Strong", "PreProcessImg/VL_Acropped/Strong", "Oulu-CASIA-VL-Strong-preprocessed"),
        ("ni/weak", "PreProcessImg/NI_Acropped/Weak", "Oulu-CASIA-NI-Weak-preprocessed"),
    ],
)
def test_the_folders_that_wrap_oulu_casia_are_found_and_the_one_taken_is_named(tmp_path, part, taken, data):
    for inner in ("OriginalImg/VL/Strong", "OriginalImg/NI/Dark", "PreProcessImg/VL_Acropped/Strong"):
        write_oulu(tmp_path / "Oulu", inner, [1], 1)
    write_oulu(tmp_path / "Oulu", "PreProcessImg/NI_Acropped/Weak", [1], 1)
    catalogue = read_dataset("oulu-casia", tmp_path, part)
    assert catalogue.data == data and f"Oulu/{taken} is used" in catalogue.notes
    assert all(one.path.is_relative_to(tmp_path / "Oulu" / taken) for one in catalogue.sequences)


def test_what_is_no_oulu_casia_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no Oulu-CASIA images of VL/Strong; --root takes"):
        read_dataset("oulu-casia", tmp_path)
    write_oulu(tmp_path, "NI/Weak", [1], 1)
    with pytest.raises(BadInput, match="of VL/Strong, but NI/Weak; --part selects one of these"):
        read_dataset("oulu-casia", tmp_path)
    with pytest.raises(BadInput, match="--part UV/Strong: give one of VL/Strong"):
        read_dataset("oulu-casia", tmp_path, "UV/Strong")


def test_damage_in_oulu_casia_is_a_problem(tmp_path):
    subject = write_oulu(tmp_path) / "VL" / "Strong" / "P002"
    (subject / "Anger").rename(subject / "Rage")
    for file in (subject / "Fear").iterdir():
        file.unlink()
    catalogue = read_dataset("oulu-casia", tmp_path)
    said = {problem.path.name: problem.what for problem in catalogue.problems}
    assert '"Rage" is no known emotion' in said["Rage"] and "holds no image" in said["Fear"]
    assert len(catalogue.sequences) == 10


def test_the_check_of_oulu_casia_knows_its_480_sequences(tmp_path, capsys):
    assert main(["check", "--dataset", "oulu-casia", "--root", str(write_oulu(tmp_path, n_frames=1)), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["expected"]["sequences"] == 480 and report["expected"]["subjects"] == 80
    assert set(report["expected"]["emotions"].values()) == {80} and len(report["problems"]) == 480 - 12
    whole = write_oulu(tmp_path / "whole", subjects=range(1, 81), n_frames=1)
    assert main(["check", "--dataset", "oulu-casia", "--root", str(whole)]) == 0
    assert "it has the 480 published sequences" in capsys.readouterr().out
