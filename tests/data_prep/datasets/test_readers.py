"""Readers of other data sets than CK+, each on a tiny copy written in its layout."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.datasets.catalogue import Clip
from data_prep.datasets.emotions import EMOTION_OF_CODE, emotion_named
from data_prep.datasets.registry import read_dataset
from data_prep.datasets.sequence_frames import frames_of
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main

OULU_EMOTIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")


def write_image(path, level=90, size=(6, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((*size, 3), level, np.uint8))[1].tobytes())
    return path


def write_video(path, n_frames=9, rate=10):
    """Frame number n, from 0, is a grey of 20 (n + 1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), codec, rate, (32, 32))
    for number in range(n_frames):
        writer.write(np.full((32, 32, 3), 20 * (number + 1), np.uint8))
    writer.release()
    return path


def levels(sequence):
    return [round(float(frame.image.mean()) / 20) * 20 for frame in frames_of(sequence)]


# Emotions


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *[("Angry", "anger"), ("AN", "anger"), ("happy", "happiness"), ("HA", "happiness"), ("Surprised", "surprise")],
        *[(" Sad ", "sadness"), ("FEAR", "fear"), ("afraid", "fear"), ("Disgusted", "disgust"), ("NE", "neutral")],
    ],
)
def test_usual_spellings_of_emotions_are_understood(written, meant):
    assert emotion_named(written) == meant


def test_every_emotion_is_its_own_name_in_any_case():
    for emotion in EMOTION_OF_CODE.values():
        assert emotion_named(emotion) == emotion_named(emotion.upper()) == emotion


def test_an_unknown_emotion_is_refused_with_the_names_that_are_known():
    with pytest.raises(BadInput, match='"bored" is no known emotion; accepted are neutral, anger, contempt'):
        emotion_named("bored")


# Oulu-CASIA


def write_oulu(root, part="VL/Strong", subjects=(1, 2), n_frames=3):
    for subject in subjects:
        for place, emotion in enumerate(OULU_EMOTIONS):
            for frame in range(n_frames):
                write_image(root / part / f"P{subject:03d}" / emotion / f"{frame:03d}.jpeg", 20 * place + frame)
    return root


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


# Folder of images


def test_an_image_folder_is_read_by_its_names(tmp_path):
    for name in ("Anger/S010_004_00000017", "Anger/S010_004_00000009", "happy/S010_006_00000001"):
        write_image(tmp_path / "CK 48" / f"{name}.png", size=(48, 48))
    write_image(tmp_path / "CK 48" / "Neutral" / "S010_001_1.png")
    write_image(tmp_path / "CK 48" / "fear" / "the_second_person_2_1.png")
    catalogue = read_dataset("image-folder", tmp_path / "CK 48").usable()
    assert [(one.subject, one.name, one.emotion) for one in catalogue.sequences] == [
        ("S010", "S010_004", "anger"),
        ("S010", "S010_006", "happiness"),
        ("the_second_person", "the_second_person_2", "fear"),
    ]
    assert [file.name[9:17] for file in catalogue.sequences[0].frames] == ["00000009", "00000017"]
    assert catalogue.unlabelled == 1 and catalogue.data == "CK-48"


def test_what_is_wrong_in_an_image_folder_is_named(tmp_path):
    write_image(tmp_path / "anger" / "P1_1_1.png")
    bad = [
        write_image(tmp_path / "anger" / "portrait.png"),
        write_image(tmp_path / "anger" / "P 1_1_1.png"),
        write_image(tmp_path / "anger" / "P1_1_01.png"),
        write_image(tmp_path / "fear" / "P1_1_2.png"),
    ]
    write_image(tmp_path / "rage" / "P1_2_1.png")
    (tmp_path / "fear" / "P9_1_1.png").mkdir()
    (tmp_path / "readme.txt").touch()
    catalogue = read_dataset("image-folder", tmp_path)
    found = {problem.path for problem in catalogue.problems}
    # Of two files for one frame the one that comes later by name is told.
    assert len(found) == 6 and {*bad[:2], bad[3], tmp_path / "rage", tmp_path / "fear" / "P9_1_1.png"} < found
    said = "\n".join(map(str, catalogue.problems))
    assert (
        "portrait.png: is not named <subject>_<sequence>_<frame>.png" in said and '"rage" is no known emotion' in said
    )
    assert "the same frame as" in said and "is in anger too" in said and "a folder where an image" in said
    assert any("readme.txt" in note for note in catalogue.notes)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no images in folders of emotions"):
        read_dataset("image-folder", tmp_path / "empty")


# MMI

SESSION = '<session sessionId="{}"><subject id="{}"/><track type="Video" filename="{}" view="{}"/></session>'
METADATA = '<?xml version="1.0"?><Metadata><Metatag Name="Emotion" Value="{}"/></Metadata>'
UNIT = '<ActionUnit Number="{}">{}</ActionUnit>'


def write_session(root, n, video="S001-001.avi", emotion=4, view=0, units=None, subject=1, n_frames=9):
    folder = root / "Sessions" / str(n)
    write_video(folder / video, n_frames)
    (folder / "session.xml").write_text(SESSION.format(n, subject, video, view))
    stem = video.split(".")[0]
    if emotion is not None:
        (folder / f"{stem}.xml").write_text(METADATA.format(emotion))
    if units:
        markers = [
            UNIT.format(au, "".join(f'<Marker Frame="{frame}" Type="{kind}"/>' for frame, kind in marks))
            for au, marks in units.items()
        ]
        (folder / f"{stem}-oao_aucs.xml").write_text(f"<AUs>{''.join(markers)}</AUs>")
    return folder


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


# Manifest

HEADER = "subject,sequence,emotion,path\n"


def write_manifest(root, text, name="manifest.csv"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root / name


@pytest.fixture
def clips(tmp_path):
    """A folder of frames and a video."""
    for number in (1, 2, 10):
        write_image(tmp_path / "data" / "frames" / f"{number}.png", 10 * number)
    write_video(tmp_path / "data" / "clip.mp4")
    return tmp_path / "data"


def test_a_manifest_lists_folders_and_videos(clips):
    text = HEADER + "P1,1,Angry,frames\nP2,1,HA,clip.mp4\n\nP2,2,neutral,clip.mp4\n"
    for root in (write_manifest(clips, text), clips, write_manifest(clips, text, "my list.csv")):
        catalogue = read_dataset("manifest", root).usable()
        one, other = catalogue.sequences
        assert (one.subject, one.name, one.emotion) == ("P1", "P1_1", "anger")
        assert [file.name for file in one.frames] == ["1.png", "2.png", "10.png"] and one.clip is None
        assert other.clip == Clip(clips / "clip.mp4") and not other.frames and levels(other) == list(range(20, 200, 20))
        assert catalogue.unlabelled == 1 and catalogue.data == ("data" if root.name != "my list.csv" else "my-list")


def test_where_no_subject_is_given_every_clip_is_one_and_folds_are_kept(clips):
    text = "sequence,emotion,subject,path,fold\n00001,Happy,,clip.mp4,1\n00002,Sad,,frames,2\n"
    catalogue = read_dataset("manifest", write_manifest(clips, "\ufeff" + text)).usable()
    assert [(one.subject, one.name, one.fold) for one in catalogue.sequences] == [
        ("00001", "00001", "1"),
        ("00002", "00002", "2"),
    ]
    assert "no subjects are given" in catalogue.notes[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("P1,1,bored,frames", '"bored" is no known emotion'),
        ("P1,1,anger,absent", "absent: no such file or folder"),
        ("P1,1,anger,../data/../..", "leads out of the manifest's folder"),
        ("P1,1,anger,/etc/passwd", "leads out of the manifest's folder"),
        ("P1,1,anger,link", "leads out of the manifest's folder"),
        ("P1,1,anger,", "has no path"),
        ("P1,1,anger,frames/1.png", "is one image"),
        ("P1,1,anger,empty", "holds no images"),
        ("P1,a b,anger,frames", '"a b" may hold letters'),
        ("../P1,1,anger,frames", '"../P1" may hold letters'),
        ("P2,1,anger,frames", "an earlier row has a sequence named P2_1"),
        (",1,anger,frames", "has no subject, and other rows do"),
        (f"P1,{'1' * 200},anger,frames", "is longer than 150 bytes"),
    ],
)
def test_what_is_wrong_in_a_row_is_a_problem_that_names_its_line(clips, row, said):
    (clips / "link").symlink_to(clips.parent)
    (clips / "empty").mkdir()
    file = write_manifest(clips, f"{HEADER}P2,1,fear,frames\n{row}\n")
    (problem,) = read_dataset("manifest", file).problems
    assert str(problem).startswith(f"{file}:3: ") and said in problem.what
    subject, sequence = row.split(",")[:2]
    is_named = subject in ("P1", "P2") and sequence == "1"
    assert problem.sequence == (f"{subject}_{sequence}" if is_named else "1" if subject == "" else "")
    with pytest.raises(BadInput, match="manifest"):
        read_dataset("manifest", file).usable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the columns subject, sequence, emotion, path"),
        ("subject,sequence,path\n", "lacks the columns emotion"),
        ("subject,sequence,emotion,path,age\n", 'not "age"'),
        ("subject,sequence,emotion,path,path\n", "not one of them twice"),
        (HEADER + "P1,1,anger\n", "line 2 has 3 fields and the first line 4"),
        (HEADER + 'P1,1,"anger\n', "is not valid CSV"),
    ],
)
def test_a_manifest_of_another_form_is_refused(clips, text, said):
    with pytest.raises(BadInput) as refused:
        read_dataset("manifest", write_manifest(clips, text))
    assert said in str(refused.value) and "manifest.csv: " in str(refused.value)
    (clips / "manifest.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="is not in UTF-8"):
        read_dataset("manifest", clips)
    with pytest.raises(BadInput, match=r"absent\.csv: no such file; --root takes the CSV file"):
        read_dataset("manifest", clips / "absent.csv")


FIELD = st.sampled_from(
    ["", "P1", "P2", "1", "2", "anger", "Happy", "neutral", "bored", "frames", "clip.mp4", "..", "/", "\0", '"']
) | st.text(max_size=12)
LINE = st.lists(FIELD, min_size=0, max_size=6).map(",".join)
TABLE = st.lists(LINE, max_size=6).map("\n".join)
MANIFEST = st.text() | TABLE | TABLE.map((HEADER).__add__) | TABLE.map("subject,sequence,emotion,path,fold\n".__add__)


@given(text=MANIFEST)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_gives_a_catalogue_or_says_what_is_wrong(clips, text):
    (clips / "manifest.csv").write_bytes(text.encode("utf-8", errors="surrogatepass"))
    try:
        catalogue = read_dataset("manifest", clips)
    except BadInput as error:
        assert str(error).startswith(f"{clips / 'manifest.csv'}: ") and len(str(error)) < 600
        return
    rows = [line for line in text.split("\n") if line.strip("\r")]
    assert len({one.name for one in catalogue.sequences}) == len(catalogue.sequences)
    assert catalogue.problems or len(catalogue.sequences) + catalogue.unlabelled <= len(rows)
    for sequence in catalogue.sequences:
        assert sequence.path in (clips / "frames", clips / "clip.mp4") or sequence.path.resolve().is_relative_to(clips)
        assert not set(sequence.name) & set("/\\, \n\0*?[]") and sequence.emotion in EMOTION_OF_CODE.values()


# What all have in common


def hints(capsys, dataset, root):
    assert main(["check", "--dataset", dataset, "--root", str(root), "--json"]) == 2
    said = capsys.readouterr()
    assert not any(problem["hint"] for problem in json.loads(said.out)["problems"]) and "--fix-hints" in said.err
    assert main(["check", "--dataset", dataset, "--root", str(root), "--json", "--fix-hints"]) == 2
    found = {problem["path"]: problem["hint"] for problem in json.loads(capsys.readouterr().out)["problems"]}
    assert all(found.values())
    return found


def test_hints_for_oulu_casia_say_what_to_rename_and_what_to_unpack(tmp_path, capsys):
    part = write_oulu(tmp_path, subjects=range(1, 81), n_frames=1) / "VL" / "Strong"
    (part / "P002" / "Anger").rename(part / "P002" / "Angre")
    (part / "P003" / "Fear" / "000.jpeg").write_bytes(b"")
    (part / "P004" / "Fear" / "000.jpeg").unlink()
    found = hints(capsys, "oulu-casia", tmp_path)
    assert found == {
        str(part / "P002" / "Angre"): f"rename {part / 'P002' / 'Angre'} to {part / 'P002' / 'Anger'}, or move "
        f"{part / 'P002' / 'Angre'} out of {tmp_path}",
        str(tmp_path): f"unpack {part / 'P002' / 'Anger'} again",
        str(part / "P003" / "Fear" / "000.jpeg"): f"restore {part / 'P003' / 'Fear' / '000.jpeg'} from where the data "
        "set came from",
        str(part / "P004" / "Fear"): f"put P004_fear's images in {part / 'P004' / 'Fear'}",
    }


def test_hints_for_the_other_layouts_name_the_file_and_what_to_do_with_it(tmp_path, capsys):
    images = tmp_path / "images"
    stray = write_image(images / "anger" / "portrait.png")
    write_image(images / "anger" / "P1_1_1.png")
    other = write_image(images / "fear" / "P1_1_2.png")
    write_image(images / "suprise" / "P1_2_1.png")
    found = hints(capsys, "image-folder", images)
    assert str(stray) in found[str(stray)] and "S010_004_00000017.png" in found[str(stray)]
    assert str(images / "anger") in found[str(other)]
    assert str(images / "surprise") in found[str(images / "suprise")]
    sessions = write_session(tmp_path / "mmi", 1).parent
    (sessions / "1" / "session.xml").write_text("<session>")
    assert "download session 1 again" in hints(capsys, "mmi", tmp_path / "mmi")[str(sessions / "1")]
    clips = tmp_path / "clips"
    write_image(clips / "first" / "1.png")
    (clips / "first" / "2.png").symlink_to(stray)
    rows = ["P1,1,hapiness,first", "P1,2,anger,frist", "P1,3,anger,/etc", "P1,4,anger,first"]
    file = write_manifest(clips, HEADER + "".join(f"{row}\n" for row in rows))
    assert hints(capsys, "manifest", file) == {
        f"{file}:2": "in line 2, write happiness for hapiness",
        f"{file}:3": "in line 3, write first for frist",
        f"{file}:4": "in line 4, correct this problem, or delete the line",
        str(clips / "first" / "2.png"): f"copy {stray} over the link {clips / 'first' / '2.png'}",
    }


def test_options_of_another_data_set_are_refused(tmp_path):
    with pytest.raises(BadInput, match="--part VL/Strong: mmi has no parts"):
        read_dataset("mmi", tmp_path, "VL/Strong")
    with pytest.raises(BadInput, match="--whole: ckplus is always used whole"):
        read_dataset("ckplus", tmp_path, whole=True)
    with pytest.raises(BadInput, match="no data set named CASME"):
        read_dataset("CASME", tmp_path)


@pytest.mark.parametrize("dataset", ["oulu-casia", "mmi", "image-folder", "manifest"])
def test_a_folder_that_is_not_there_is_refused(tmp_path, dataset):
    with pytest.raises(BadInput, match="absent: no such f"):
        read_dataset(dataset, tmp_path / "absent")


@pytest.mark.parametrize("dataset", ["oulu-casia", "image-folder", "manifest"])
def test_links_out_of_a_data_set_are_problems_in_every_layout(tmp_path, dataset):
    outside = write_image(tmp_path / "outside" / "000.jpeg")
    root = tmp_path / "data"
    folder = {"oulu-casia": "VL/Strong/P001/Anger", "image-folder": "anger", "manifest": "clip"}[dataset]
    name = {"image-folder": "P1_1_{}.jpeg"}.get(dataset, "{}.jpeg")
    write_image(root / folder / name.format(1))
    (root / folder / name.format(2)).symlink_to(outside)
    write_manifest(root, f"{HEADER}P1,1,anger,clip\n") if dataset == "manifest" else None
    catalogue = read_dataset(dataset, root)
    assert [problem.path.name for problem in catalogue.problems] == [name.format(2)]
    assert "leads out of the data set" in catalogue.problems[0].what
    assert [len(one.frames) for one in catalogue.sequences] == [1]


def test_drawn_faces_stay_synthetic_in_a_manifest(synthetic):
    folders = sorted(synthetic.glob("cohn*/*/*"))
    rows = "".join(f"{one.parent.name},{one.name},anger,{one.relative_to(synthetic)}\n" for one in folders)
    try:
        assert read_dataset("manifest", write_manifest(synthetic, HEADER + rows, "list.csv")).data == "synthetic"
    finally:
        (synthetic / "list.csv").unlink()


def test_clips_with_given_folds_go_from_their_manifest_to_a_cross_validation(synthetic, tmp_path, vgg_file, cv_options):
    root = tmp_path / "clips"
    rows = []
    for place, folder in enumerate(sorted(synthetic.glob("cohn-kanade-images/*/*"))[:4]):
        images = [cv2.imread(str(file)) for file in sorted(folder.iterdir())]
        path = root / f"{place}.avi"
        root.mkdir(exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, images[0].shape[1::-1])
        for image in images:
            writer.write(image)
        writer.release()
        emotion = ("fear", "Happy")[place // 2]
        rows.append((f",clip{place},{emotion},{path.name},{1 + place % 2}\n", len(images)))
    write_manifest(root, "subject,sequence,emotion,path,fold\n" + "".join(row for row, _ in rows))
    options = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
    command = ["prepare", "--dataset", "manifest", "--root", str(root), "--out", str(tmp_path / "features"), *options]
    assert main(command) == 0
    entries = FeatureStore.open(tmp_path / "features").entries()
    assert [(entry.sequence, entry.fold, entry.frames) for entry in entries] == [
        (f"clip{place}", str(1 + place % 2), rows[place][1]) for place in range(4)
    ]
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "features").rglob("*.safetensors")}
    assert main(command) == 0
    assert {file: file.stat().st_mtime_ns for file in files} == files, "what is there is kept"
    assert main(["check", "--dataset", "manifest", "--root", str(root)]) == 0
    run = ["cv", "--features", str(tmp_path / "features"), "--out", str(tmp_path / "run"), "--protocol", "given"]
    assert main([*run, "--epochs", "1", *cv_options[4:]]) == 0
    tested = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert dict(zip(tested.sequence, tested.fold, strict=True)) == {"clip0": 1, "clip1": 2, "clip2": 1, "clip3": 2}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["protocol"] == "given" and len(summary["fold_accuracies"]) == 2
