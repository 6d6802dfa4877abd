"""The reader of CK+ copies, as distributed and as found in the wild. No image is opened here: the files are empty."""

import shutil

import pytest

from data_prep.datasets.ckplus import read_ckplus
from data_prep.errors import BadInput

EMOTION_TEXT = "   {}.0000000e+00\n"


def add_sequence(root, subject, number, code=3, frames=(1, 2, 3), images="cohn-kanade-images", labels="Emotion"):
    """Write one sequence's files; ``code`` None leaves its emotion folder empty."""
    folder = root / images / subject / number
    folder.mkdir(parents=True)
    for frame in frames:
        (folder / f"{subject}_{number}_{frame:08d}.png").touch()
    emotion = root / labels / subject / number
    emotion.mkdir(parents=True)
    if code is not None:
        text = EMOTION_TEXT.format(code) if isinstance(code, int) else code
        (emotion / f"{subject}_{number}_{max(frames, default=1):08d}_emotion.txt").write_text(text)
    return folder


@pytest.fixture
def copy(tmp_path):
    root = tmp_path / "ck+"
    add_sequence(root, "S005", "001", code=3)
    add_sequence(root, "S010", "002", code=7)
    return root


@pytest.mark.parametrize("labels", ["Emotion", "Emotion_labels/Emotion", "Emotion_labels"])
@pytest.mark.parametrize(
    "images",
    ["cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images", "extended-cohn-kanade-images"],
)
def test_layouts_found_in_the_wild_are_read(tmp_path, images, labels):
    add_sequence(tmp_path, "S010", "002", code=7, images=images, labels=labels)
    add_sequence(tmp_path, "S005", "001", code=3, images=images, labels=labels)
    catalogue = read_ckplus(tmp_path).usable()
    assert [(s.subject, s.name, s.emotion) for s in catalogue.sequences] == [
        ("S005", "S005_001", "disgust"),
        ("S010", "S010_002", "surprise"),
    ]
    assert catalogue.data == "CK+" and catalogue.subjects == ("S005", "S010")
    assert sum(sequence.n_frames for sequence in catalogue.sequences) == 6


def test_codes_are_the_published_emotions(tmp_path):
    names = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    for code in range(1, 8):
        add_sequence(tmp_path, "S005", f"{code:03d}", code)
    assert [sequence.emotion for sequence in read_ckplus(tmp_path).sequences] == names


def test_what_file_managers_leave_behind_is_passed_over(copy):
    clean = read_ckplus(copy)
    for folder in [copy, *[path for path in copy.rglob("*") if path.is_dir()]]:
        (folder / ".DS_Store").write_bytes(b"\x00\x01Bud1")
        (folder / "Thumbs.db").write_bytes(b"\x00")
    (copy / "cohn-kanade-images/S005/001/._S005_001_00000002.png").write_bytes(b"\x00")
    (copy / "Emotion/S005/001/._S005_001_00000003_emotion.txt").write_bytes(b"\x00")
    (copy / "cohn-kanade-images" / "__MACOSX").mkdir()
    littered = read_ckplus(copy)
    assert littered.sequences == clean.sequences and not littered.problems and not littered.notes


def test_sequences_without_an_emotion_are_counted_and_left_out(copy):
    add_sequence(copy, "S011", "001", code=None)
    add_sequence(copy, "S011", "002", code=0)
    shutil.rmtree(copy / "Emotion" / add_sequence(copy, "S011", "003").parent.name / "003")
    (copy / "Emotion/S011/001/.DS_Store").touch()
    catalogue = read_ckplus(copy).usable()
    assert catalogue.unlabelled == 3
    assert [sequence.name for sequence in catalogue.sequences] == ["S005_001", "S010_002"]


def test_a_missing_frame_is_noted_and_the_others_are_used(copy):
    add_sequence(copy, "S011", "001", frames=(1, 2, 5, 6))
    catalogue = read_ckplus(copy).usable()
    assert [frame.name[-6:-4] for frame in catalogue.sequences[-1].frames] == ["01", "02", "05", "06"]
    (note,) = catalogue.notes
    assert "S011_001" in note and "3, 4" in note


def test_frames_are_in_order_of_their_numbers(tmp_path):
    folder = add_sequence(tmp_path, "S005", "001", frames=(12, 3, 100, 1, 2))
    (folder / "S005_001_00000007.JPG").touch()
    (folder / "S005_001_11.png").touch()
    (folder / "S999_001_00000004.png").touch()
    (sequence,) = read_ckplus(tmp_path).sequences
    assert [int(frame.stem.split("_")[2]) for frame in sequence.frames] == [1, 2, 3, 7, 11, 12, 100]


def test_sequences_are_in_ascending_order_of_name(tmp_path):
    for subject, number in [("S130", "001"), ("S005", "002"), ("S011", "001"), ("S005", "001")]:
        add_sequence(tmp_path, subject, number)
    names = [sequence.name for sequence in read_ckplus(tmp_path).sequences]
    assert names == ["S005_001", "S005_002", "S011_001", "S130_001"]


@pytest.mark.parametrize("text", ["disgust", "   9.0000000e+00\n", "-1", "3.5", "", "nan", "3.0 4.0"])
def test_an_emotion_that_is_none_is_a_problem_that_names_its_file(copy, text):
    add_sequence(copy, "S011", "001", code=text or " ")
    catalogue = read_ckplus(copy)
    assert len(catalogue.sequences) == 2 and len(catalogue.problems) == 1
    with pytest.raises(BadInput, match=r"Emotion/S011/001: S011_001_00000003_emotion\.txt says .*restore"):
        catalogue.usable()


def test_other_damage_is_a_problem_too(copy):
    (copy / "Emotion/S005/001/S005_001_00000009_emotion.txt").write_text("3")
    add_sequence(copy, "S011", "001", frames=())
    shutil.rmtree(add_sequence(copy, "S014", "001"))
    catalogue = read_ckplus(copy)
    assert [sequence.name for sequence in catalogue.sequences] == ["S010_002"]
    said = sorted(map(str, catalogue.problems))
    assert "S005/001: has 2 emotion files" in said[0]
    assert "S014/001" in said[1] and "missing" in said[1]
    assert "S011/001: no image named S011_001_00000001.png" in said[2]
    with pytest.raises(BadInput, match="2 more: `face-strnn check` lists them"):
        catalogue.usable()


def test_a_folder_that_is_no_copy_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        read_ckplus(tmp_path / "absent")
    with pytest.raises(BadInput, match="no images in cohn-kanade-images"):
        read_ckplus(tmp_path)
    (tmp_path / "cohn-kanade-images" / "S005" / "001").mkdir(parents=True)
    with pytest.raises(BadInput, match="no emotion labels in Emotion"):
        read_ckplus(tmp_path)


def test_a_copy_without_any_label_is_refused_before_it_is_used(tmp_path):
    add_sequence(tmp_path, "S005", "001", code=None)
    with pytest.raises(BadInput, match="no sequence has both images and an emotion label"):
        read_ckplus(tmp_path).usable()


def test_the_synthetic_copy_says_that_it_is_synthetic(synthetic):
    catalogue = read_ckplus(synthetic).usable()
    assert catalogue.data == "synthetic"
    assert len(catalogue.subjects) == 6 and len(catalogue.sequences) == 11 and not catalogue.notes
