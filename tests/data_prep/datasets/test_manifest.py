"""The reader of manifests, and their way to a cross-validation."""

import json

import cv2
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import HEADER, levels, write_image, write_manifest, write_video

from data_prep.datasets.catalogue import Clip
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.datasets.registry import read_dataset
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


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
