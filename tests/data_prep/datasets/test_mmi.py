"""The reader of MMI, on tiny copies in its layout."""

import pytest
from layouts import METADATA, levels, write_session, write_video

from data_prep.datasets.catalogue import Clip
from data_prep.datasets.registry import read_dataset
from data_prep.datasets.sequence_frames import frames_of
from data_prep.errors import BadInput


def test_mmi_sequences_go_up_to_the_middle_where_no_apex_is_named(tmp_path):
    write_session(tmp_path, 1)
    write_session(tmp_path, 20, "S002-017.avi", emotion=1, subject=2)
    catalogue = read_dataset("mmi", tmp_path).usable()
    assert [(one.subject, one.name, one.emotion) for one in catalogue.sequences] == [
        ("S001", "S001-001", "happiness"),
        ("S002", "S002-017", "anger"),
    ]
    assert catalogue.sequences[0].clip == Clip(tmp_path / "Sessions/1/S001-001.avi", 0, 4)
    assert levels(catalogue.sequences[0]) == [20, 40, 60, 80, 100] and catalogue.data == "MMI"
    whole = read_dataset("mmi", tmp_path, whole=True)
    assert levels(whole.sequences[0]) == list(range(20, 200, 20)) and whole.data == "MMI-whole"


def test_the_apex_is_where_most_action_units_are_at_theirs(tmp_path):
    smile = [(1, 0), (2, 1), (6, 2), (8, 3), (9, 0)]
    cheeks = [(1, 0), (3, 1), (7, 2), (8, 3)]
    blink = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 0)]
    write_session(tmp_path, 1, units={12: smile, 6: cheeks, 45: blink})
    (sequence,) = read_dataset("mmi", tmp_path).usable().sequences
    assert (sequence.clip.first, sequence.clip.last) == (0, 6), "markers count from 1"
    assert len(list(frames_of(sequence))) == sequence.n_frames == 7


@pytest.mark.parametrize("code", range(1, 7))
def test_codes_of_mmi_are_its_six_emotions(tmp_path, code):
    write_session(tmp_path, 1, emotion=code)
    (sequence,) = read_dataset("mmi", tmp_path).sequences
    assert sequence.emotion == ("anger", "disgust", "fear", "happiness", "sadness", "surprise")[code - 1]


def test_other_displays_profiles_and_sessions_without_an_emotion_are_counted(tmp_path):
    write_session(tmp_path, 1)
    write_session(tmp_path, 2, "S001-002.avi", emotion=8)
    write_session(tmp_path, 3, "S001-003.avi", emotion=None)
    write_session(tmp_path, 4, "S001-004.avi", view=1)
    catalogue = read_dataset("mmi", tmp_path).usable()
    assert [one.name for one in catalogue.sequences] == ["S001-001"] and catalogue.unlabelled == 2
    assert any("1 recordings in profile view" in note for note in catalogue.notes)


def test_damage_in_mmi_is_a_problem_that_names_the_session(tmp_path):
    cut = write_video(write_session(tmp_path, 7, "S001-008.avi") / "S001-008.avi")
    head, _, frames = cut.read_bytes().partition(b"movi")
    cut.write_bytes(head + b"movi" + frames[: len(frames) // 2])
    torn = write_session(tmp_path, 1) / "session.xml"
    torn.write_text("<session>")
    (write_session(tmp_path, 2, "S001-002.avi") / "S001-002.avi").write_bytes(b"no video")
    write_video(write_session(tmp_path, 3, "S001-003.avi") / "S001-004.avi")
    write_session(tmp_path, 4, "S001-005.avi", units={12: [(-3, 2)]})
    (write_session(tmp_path, 5, "S001-006.avi") / "more.xml").write_text(METADATA.format(2))
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 30}">' for n in range(9)
    )
    (write_session(tmp_path, 6, "S001-007.avi") / "more.xml").write_text(bomb + "]><b>&j;</b>")
    catalogue = read_dataset("mmi", tmp_path)
    said = {problem.path.name: problem.what for problem in catalogue.problems}
    assert not catalogue.sequences and set(said) == set("1234567")
    assert "is cut short" in said["7"], "its middle frame is not that of what is left"
    named = {problem.path.name: problem.sequence for problem in catalogue.problems}
    assert named == {"1": "S001-001", "2": "S001-002", "3": "", "4": "S001-005", "5": "S001-006", "6": "S001-007"} | {
        "7": "S001-008"
    }
    text = "\n".join(map(str, catalogue.problems))
    for expected in ("session.xml is no XML", "no frame of it", "2 videos", "frames count from 1", "several emotions"):
        assert expected in text
    with pytest.raises(BadInput, match="not a copy of MMI"):
        read_dataset("mmi", tmp_path / "Sessions" / "1")
