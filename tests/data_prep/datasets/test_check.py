"""``face-strnn check`` on copies of CK+ in the layouts and states in which they are found."""

import json
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from log_lines import without_log

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import CODE_OF_EMOTION
from face_strnn.cli.program import main

PIXELS = cv2.imencode(".png", np.full((4, 4), 90, np.uint8))[1].tobytes()
MARKER = "subjects: {}\nseed: 0\ngenerator: 1\n"


def write_copy(root, subjects, images="cohn-kanade-images", labels="Emotion"):
    """Every published sequence of some subjects, in full length, each image 4 x 4 pixels."""
    for one in ckplus_sequences():
        if one.subject in subjects:
            name = f"{one.subject}_{one.sequence}"
            folder = root / images / one.subject / one.sequence
            folder.mkdir(parents=True)
            for frame in range(1, one.frames + 1):
                (folder / f"{name}_{frame:08d}.png").write_bytes(PIXELS)
            label = root / labels / one.subject / one.sequence / f"{name}_{one.frames:08d}_emotion.txt"
            label.parent.mkdir(parents=True)
            label.write_text(f"   {CODE_OF_EMOTION[one.emotion]}.0000000e+00\n")
    return root


@pytest.fixture(scope="module")
def full_copy(tmp_path_factory):
    return write_copy(tmp_path_factory.mktemp("full") / "CK+", {one.subject for one in ckplus_sequences()})


@pytest.fixture
def small(tmp_path):
    """The first three subjects, S005, S010 and S011, marked as the synthetic set is: nothing else is expected of it."""
    root = write_copy(tmp_path / "ck", {"S005", "S010", "S011"})
    (root / "SYNTHETIC.txt").write_text(MARKER.format(3))
    return root


@pytest.fixture
def checked(capsys):
    """Run ``check --json`` and return its status, what it printed, and the line it refused the copy with."""

    def run(root, *options):
        capsys.readouterr()
        status = main(["check", "--root", str(root), "--json", *options])
        said = capsys.readouterr()
        return status, json.loads(said.out), said.err

    return run


def found_problems(report):
    return sorted((problem["kind"], problem["sequence"]) for problem in report["problems"])


def hint_of(report, sequence):
    (hint,) = [problem["hint"] for problem in report["problems"] if problem["sequence"] == sequence]
    return hint


def test_a_whole_copy_gives_the_published_data(full_copy, checked, capsys):
    status, report, said = checked(full_copy)
    published = Counter(one.emotion for one in ckplus_sequences())
    assert status == 0 and report["usable"] and not report["synthetic"] and "problems" not in said
    assert report["found"] == report["expected"]
    assert report["found"] == {"sequences": 327, "subjects": 118, "frames": 5876, "emotions": dict(published)}
    assert main(["check", "--root", str(full_copy)]) == 0
    said = capsys.readouterr().out
    assert "it has the 327 published sequences" in said and "CK+" in said
    rows = [line.replace("│", " ").split() for line in said.splitlines()]
    assert ["surprise", "83", "83"] in rows and ["all", "327", "327"] in rows and ["frames", "5876", "5876"] in rows


def test_a_part_of_the_published_data_is_not_enough(tmp_path, checked):
    status, report, said = checked(write_copy(tmp_path, {"S005", "S010"}))
    assert status == 2 and "missing" in said and report["found"]["subjects"] == 2
    assert Counter(problem["kind"] for problem in report["problems"]) == {"missing": 327 - report["found"]["sequences"]}


def test_the_synthetic_copy_is_compared_with_its_own_subjects_and_says_what_it_is(small, checked, capsys):
    status, report, _ = checked(small)
    assert status == 0 and report["synthetic"] and report["data"] == "synthetic"
    assert report["expected"]["subjects"] == 3
    main(["check", "--root", str(small)])
    assert "synthetic" in capsys.readouterr().out
    (small / "SYNTHETIC.txt").write_text(MARKER.format(118))
    assert checked(small)[0] == 2, "all 118 subjects are expected of the whole synthetic data set"


def test_every_difference_is_told_by_its_kind(small, checked, capsys):
    images, labels = small / "cohn-kanade-images", small / "Emotion"
    shutil.rmtree(images / "S010" / "002")
    next((labels / "S010" / "004").iterdir()).unlink()
    next((labels / "S010" / "006").iterdir()).write_text("2.0")
    (images / "S011" / "001" / "S011_001_00000003.png").unlink()
    (images / "S011" / "002" / "S011_002_00000004.png").write_bytes(PIXELS[:40])
    next((labels / "S011" / "003").iterdir()).write_text("angry")
    shutil.copytree(images / "S005" / "001", images / "S005" / "009")
    for file in (images / "S005" / "009").iterdir():
        file.rename(file.with_name(file.name.replace("S005_001", "S005_009")))
    (labels / "S005" / "009").mkdir()
    (labels / "S005" / "009" / "S005_009_00000011_emotion.txt").write_text("3.0")
    status, report, said = checked(small)
    assert status == 2 and len(said.strip().splitlines()[-1]) < 400
    assert found_problems(report) == [
        ("extra", "S005_009"),
        ("label", "S010_006"),
        ("length", "S011_001"),
        ("missing", "S010_002"),
        ("missing", "S010_004"),
        ("unreadable", "S011_002"),
        ("unreadable", "S011_003"),
    ]
    said = {problem["sequence"]: problem["what"] for problem in report["problems"]}
    assert "contempt" in said["S010_006"] and "happiness" in said["S010_006"]
    assert "frame 3 missing" in said["S011_001"] and "cut short" in said["S011_002"]
    assert "angry" in said["S011_003"] and "no emotion label" in said["S010_004"]
    assert not any(problem["hint"] for problem in report["problems"])
    assert main(["check", "--root", str(small)]) == 2
    printed = capsys.readouterr()
    for problem in report["problems"]:
        (line,) = [line for line in printed.out.splitlines() if problem["path"] + ":" in line]
        assert problem["kind"] in line and problem["sequence"] in line and problem["what"] in line
    assert "7 problems (1 extra, 1 label, 1 length, 2 missing, 2 unreadable), listed above" in printed.err
    assert len(without_log(printed.err)) == 1


def test_frames_beyond_the_apex_are_told(small, checked):
    folder = small / "cohn-kanade-images" / "S005" / "001"
    (folder / "S005_001_00000012.png").write_bytes(PIXELS)
    status, report, _ = checked(small, "--fix-hints")
    assert status == 2 and found_problems(report) == [("length", "S005_001")]
    assert "frame 12 beyond the published apex" in report["problems"][0]["what"]
    assert f"out of {folder}" in hint_of(report, "S005_001")


@pytest.mark.parametrize("wrapping", ["", "CK+ download"])
@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion"),
        ("extended-cohn-kanade-images", "Emotion_labels"),
        ("Extended-Cohn-Kanade-Images/Cohn-Kanade-Images", "emotion_labels/EMOTION"),
    ],
)
def test_zip_files_unpacked_side_by_side_are_read(tmp_path, checked, wrapping, images, labels):
    root = write_copy(tmp_path / wrapping, {"S005", "S010", "S011"}, images, labels)
    (tmp_path / "SYNTHETIC.txt").write_text(MARKER.format(3))
    for beside in ("FACS_labels/FACS/S005/001", "Landmarks/Landmarks/S005/001", "__MACOSX/Emotion/S005/001"):
        (root / beside).mkdir(parents=True)
    (root / "__MACOSX/Emotion/S005/001/._S005_001_00000011_emotion.txt").write_bytes(b"\0")
    (root / labels / "S005" / "002").mkdir()
    (root / images / ".DS_Store").write_bytes(b"\0")
    status, report, _ = checked(tmp_path)
    assert status == 0 and report["found"] == report["expected"] and not report["notes"]


def test_subjects_in_lower_case_are_read(small, checked):
    (small / "cohn-kanade-images" / "S010").rename(small / "cohn-kanade-images" / "s010")
    assert checked(small)[0] == 0


def test_hints_say_what_to_move_where(small, checked):
    images, labels = small / "cohn-kanade-images", small / "Emotion"
    deeper = images / "S005" / "S005"
    deeper.mkdir()
    (images / "S005" / "001").rename(deeper / "001")
    (images / "S010" / "002").rename(images / "S010" / "002_copy")
    label = next((labels / "S010" / "004").iterdir())
    label.rename(small / label.name)
    shutil.rmtree(images / "S011" / "001")
    next((labels / "S011" / "002").iterdir()).write_text("happy")
    report = checked(small, "--fix-hints")[1]
    assert len(report["problems"]) == 5 and "face-strnn synth" in hint_of(report, "S011_001")
    (small / "SYNTHETIC.txt").rename(small / "notes.txt")
    status, report, _ = checked(small, "--fix-hints")
    assert status == 2 and not report["synthetic"]
    assert f"images of S005_001 in {deeper / '001'} to {images / 'S005' / '001'}" in hint_of(report, "S005_001")
    assert f"in {images / 'S010' / '002_copy'} to {images / 'S010' / '002'}" in hint_of(report, "S010_002")
    assert f"move {small / label.name} into {labels / 'S010' / '004'}" == hint_of(report, "S010_004")
    assert f"restore {images / 'S011' / '001'} from extended-cohn-kanade-images.zip" == hint_of(report, "S011_001")
    assert f"restore {labels / 'S011' / '002'} from Emotion_labels.zip" == hint_of(report, "S011_002")
    moves = [(deeper / "001", images / "S005" / "001"), (images / "S010" / "002_copy", images / "S010" / "002")]
    for source, place in [*moves, (small / label.name, labels / "S010" / "004" / label.name)]:
        source.rename(place)
    (small / "notes.txt").rename(small / "SYNTHETIC.txt")
    assert found_problems(checked(small)[1]) == [("missing", "S011_001"), ("unreadable", "S011_002")]


def test_a_label_in_another_sequences_folder_is_not_believed(small, checked):
    labels = small / "Emotion" / "S010"
    one, other = next((labels / "002").iterdir()), next((labels / "004").iterdir())
    one.rename(labels / "004" / one.name)
    other.unlink()
    status, report, _ = checked(small, "--fix-hints")
    assert status == 2 and found_problems(report) == [("missing", "S010_002"), ("unreadable", "S010_004")]
    assert hint_of(report, "S010_002") == f"move {labels / '004' / one.name} into {labels / '002'}"


def test_images_under_another_folders_name_are_named(tmp_path, capsys):
    write_copy(tmp_path, {"S005"}, images="pictures")
    assert main(["check", "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"folders of subjects are in {tmp_path / 'pictures'}, which has an unknown name" in said
    assert "cohn-kanade-images" in said


def test_json_is_all_that_is_printed_also_of_what_is_no_copy(tmp_path, checked):
    status, report, said = checked(tmp_path)
    assert status == 2 and not report["usable"] and "not a copy of CK+" in report["error"] and report["error"] in said


def test_links_that_lead_out_of_the_copy_are_named_and_never_followed(small, checked, tmp_path):
    images, labels = small / "cohn-kanade-images", small / "Emotion"
    outside = tmp_path / "outside"
    outside.mkdir()
    frame = images / "S005" / "001" / "S005_001_00000002.png"
    frame.unlink()
    (outside / frame.name).write_bytes(b"decoding this would be a problem of its own")
    frame.symlink_to(outside / frame.name)
    label = next((labels / "S010" / "002").iterdir())
    label.rename(outside / label.name)
    (outside / label.name).write_text("reading this would be a problem of its own")
    label.symlink_to(outside / label.name)
    shutil.move(images / "S011" / "001", outside / "001")
    (images / "S011" / "001").symlink_to(outside / "001")
    inside = images / "S011" / "002" / "S011_002_00000002.png"
    inside.unlink()
    inside.symlink_to("S011_002_00000001.png")
    status, report, _ = checked(small, "--fix-hints")
    links = {problem["path"]: problem for problem in report["problems"] if "symbolic link" in problem["what"]}
    assert status == 2 and set(links) == {str(frame), str(label), str(images / "S011" / "001")}
    assert all("replace the link" in problem["hint"] for problem in links.values())
    assert not [problem for problem in report["problems"] if "of its own" in problem["what"]]
    assert not [problem for problem in report["problems"] if "decoded" in problem["what"]]
    assert {"S005_001", "S010_002", "S011_001"} == {one["sequence"] for one in report["problems"]} - {""}


def test_damage_of_every_kind_is_a_problem_that_names_its_path(small, checked):
    folder = small / "cohn-kanade-images" / "S005" / "001"
    frames = sorted(folder.iterdir())
    frames[1].write_bytes(b"")
    frames[2].write_bytes(PIXELS[:-20])
    frames[3].unlink()
    frames[3].mkdir()
    frames[4].unlink()
    frames[4].symlink_to("nowhere.png")
    frames[5].write_bytes(cv2.imencode(".png", np.full((4, 5), 90, np.uint8))[1].tobytes())
    jpeg = cv2.imencode(".jpg", np.full((4, 4), 90, np.uint8))[1].tobytes()
    frames[6].write_bytes(jpeg)
    _, report, _ = checked(small)
    said = {problem["path"]: problem["what"] for problem in report["problems"]}
    assert "is empty" in said[str(frames[1])] and "cut short" in said[str(frames[2])]
    assert "a folder where an image should be" in said[str(frames[3])] and "leads nowhere" in said[str(frames[4])]
    lengths = [problem["what"] for problem in report["problems"] if problem["kind"] == "length"]
    assert len(lengths) == 1 and "9 frames" in lengths[0]
    assert any("differ in size" in problem["what"] for problem in report["problems"])
    assert report["notes"] == [
        "S005_001: frames 4, 5 are missing; the others are used",
        f"{frames[6]}: is a JPEG inside, and read as one",
    ]
