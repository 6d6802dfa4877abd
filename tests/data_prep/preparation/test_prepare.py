"""`prepare` through the program: each way to crop, and damage gone past."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from log_lines import without_log
from prepared import files_below, prepared
from safetensors import safe_open

from data_prep.backbones.backbone import load_backbone
from data_prep.faces.crops import crops_of, extract_crop, resize_whole
from data_prep.faces.variants import ORIGINAL, ROTATION_BORDER, cut_variant
from data_prep.media.images import read_image
from data_prep.preparation.options import PrepareOptions
from data_prep.preparation.recipe import recipe
from data_prep.store.faces import FaceStore
from data_prep.store.recipe_folder import fingerprint
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


def maps_in(path):
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("maps")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def faces_of(out):
    return rows_of(FaceStore.open(out).folder / "faces.csv")


def images_of(root, subject, number):
    return sorted((root / "cohn-kanade-images" / subject / number).iterdir())


def test_a_store_holds_its_tables_and_one_file_for_each_sequence_and_rotation(features):
    store = FeatureStore.open(features)
    maps = {entry.file_name for entry in store.entries()}
    tables = {"index.csv", "problems.csv", "left_out.txt"}
    assert set(files_below(store.folder)) == maps | tables | {"store.json", "contents.json"}
    assert len(maps) == 33 and store.left_out() == []
    assert (store.folder / "problems.csv").read_text() == "sequence,path,problem\n"


def test_what_was_found_of_faces_lies_beside_the_maps(features):
    store, faces = FeatureStore.open(features), FaceStore.open(features)
    names = {entry.sequence for entry in store.entries()}
    assert {path.name for path in features.iterdir()} == {store.folder.name, faces.folder.name}
    assert faces.folder == FaceStore.beside(store).folder and faces.sequence_names() == names
    crops = faces.crops(store.recipe).folder
    kept = {"crops.json", "index.csv", "problems.csv", "left_out.txt"}
    below = str(crops.relative_to(faces.folder))
    assert set(files_below(faces.folder)) == {
        *("faces.json", "faces.csv", *(f"tracks/{name}.track" for name in names)),
        *(f"{below}/{name}" for name in kept),
    }  # fmt: skip


def test_faces_csv_has_a_row_for_every_frame_of_the_data_set(features, synthetic):
    rows = faces_of(features)
    for entry in FeatureStore.open(features).entries():
        frames = [int(row["frame"]) for row in rows if row["sequence"] == entry.sequence]
        assert frames == list(range(1, 1 + len(images_of(synthetic, *entry.sequence.split("_")))))
        assert entry.frames == len(frames)
    assert {row["used"] for row in rows} == {"yes"}


@pytest.mark.parametrize("kind", ["per-sequence", "per-frame", "eyes"])
def test_each_crop_kind_ends_in_a_store_with_the_maps_of_these_crops(kind, copy, options, tmp_path, vgg_file):
    status, folder = prepared(tmp_path / "out", *options, "--crop", kind, "--margin", "0.3")
    assert status == 0
    store, backbone = FeatureStore.open(folder), load_backbone("vgg11", str(vgg_file()), "pool4")
    assert store.recipe["crop"]["per"] == {"per-sequence": "sequence"}.get(kind, kind)
    track = FaceStore.open(tmp_path / "out").track("S005_001").faces
    frames = [read_image(path) for path in images_of(copy, "S005", "001")]
    squares = crops_of(track, kind, 0.3)
    wide = np.stack(
        [extract_crop(frame, square, 112, ROTATION_BORDER) for frame, square in zip(frames, squares, strict=True)]
    )
    upright = torch.from_numpy(cut_variant(wide, ORIGINAL, 112))
    expected = torch.cat([backbone(block) for block in upright.split(backbone.block)])
    assert torch.equal(maps_in(folder / "S005_001_rot+00.safetensors"), expected)


def test_everything_that_shapes_maps_changes_the_fingerprint_and_nothing_else_does(vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    coarse = load_backbone("vgg11", str(vgg_file()), "pool4", precision="bfloat16")
    recipes = [
        recipe("a", backbone),
        recipe("a", backbone, PrepareOptions(margin=0.3)),
        recipe("a", backbone, PrepareOptions(crop="eyes")),
        recipe("a", backbone, PrepareOptions(crop="per-frame")),
        recipe("a", backbone, PrepareOptions(faces="given")),
        recipe("a", coarse),
    ]
    assert len({fingerprint(one) for one in recipes}) == len(recipes)
    same = load_backbone("vgg11", str(vgg_file()), "pool4", precision="float32")
    assert recipe("a", same) == recipes[0] and "precision" not in recipes[0]
    assert recipes[0]["crop"]["max_gap"] and recipes[0]["crop"]["every"]


def test_bfloat16_maps_are_near_those_of_float32_and_coarser_than_float16(vgg_file):
    exact, coarse = (load_backbone("vgg11", str(vgg_file()), "pool4", precision=name) for name in ("auto", "bfloat16"))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8))
    one, other = exact(images).double(), coarse(images).double()
    error = (one - other).norm() / one.norm()
    assert exact.precision == "float32" and 2**-11 < error < 0.05


def write_crops(root):
    """Three sequences of 48 x 48 images that are faces already, named as in CK+48."""
    random = np.random.default_rng(0)
    for emotion, subject in (("anger", "S010"), ("happy", "S011"), ("sadness", "S014")):
        (root / emotion).mkdir(parents=True)
        for number in (12, 13, 14):
            image = cv2.resize(random.integers(0, 256, (6, 6), dtype=np.uint8), (48, 48))
            cv2.imwrite(str(root / emotion / f"{subject}_004_{number:08d}.png"), image)
    return root


def test_given_faces_of_48_pixels_are_taken_whole_without_a_detector(tmp_path, vgg_file, capsys):
    root = write_crops(tmp_path / "ck48")
    network = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4"]
    options = ["--dataset", "image-folder", "--root", root, *network, "--rotations", "[12]", "--faces", "given"]
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 0 and "6 files computed" in " ".join(capsys.readouterr().out.split())
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    images = [read_image(path) for path in sorted((root / "anger").iterdir())]
    enlarged = np.stack([cv2.resize(image, (112, 112), interpolation=cv2.INTER_LINEAR) for image in images])
    assert torch.equal(maps_in(folder / "S010_004_rot+00.safetensors"), backbone(torch.from_numpy(enlarged)))
    turned = maps_in(folder / "S010_004_rot+12.safetensors")
    assert turned.shape == (3, 7, 7, 512) and not torch.equal(turned, maps_in(folder / "S010_004_rot+00.safetensors"))
    assert FeatureStore.open(folder).recipe["crop"] == {"detector": "given", "pixels": 112}
    assert faces_of(tmp_path / "out") == []
    assert main(["prepare", "--out", str(tmp_path / "no"), *map(str, options), "--crop", "eyes"]) == 2
    assert "--faces given: the images are the crops" in capsys.readouterr().err


@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 60), (300, 200)])
def test_the_room_around_a_given_face_repeats_its_border(height, width):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    taken, bare = resize_whole(frame, 112, ROTATION_BORDER), resize_whole(frame, 112)
    room = (len(taken) - 112) // 2
    assert bare.shape == (112, 112, 3) and len(taken) == len(rotate_ready(frame))
    assert np.array_equal(taken[room:-room, room:-room], bare)
    assert np.array_equal(taken, np.pad(bare, ((room, room), (room, room), (0, 0)), mode="edge"))


def rotate_ready(frame):
    """The size that a crop with room has when it is cut out of a frame."""
    from data_prep.faces.crops import SquareCrop

    return extract_crop(frame, SquareCrop(20, 20, 20), 112, ROTATION_BORDER)


def test_damaged_sequences_are_named_and_the_rest_goes_on(copy, options, tmp_path, capsys):
    whole_status, _ = prepared(tmp_path / "before", *options)
    image = images_of(copy, "S010", "002")[1]
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 3])
    status, folder = prepared(tmp_path / "after", *options)
    said = capsys.readouterr()
    assert (whole_status, status) == (0, 2)
    assert str(image) in said.out and str(image) in said.err and "problems.csv" in said.err
    (row,) = rows_of(folder / "problems.csv")
    assert row["sequence"] == "S010_002" and row["path"] == str(image) and "restore" in row["problem"]
    kept = {name: data for name, data in files_below(tmp_path / "before").items() if "S010_002" not in name}
    for name in kept:
        if not name.endswith(("index.csv", "faces.csv", "problems.csv", "contents.json")):
            assert (tmp_path / "after" / name).read_bytes() == kept[name]
    assert {*files_below(tmp_path / "after")} == {*kept}, "nothing of the damaged sequence is there"
    # What was damaged since the last time goes too, and comes back when it is restored.
    assert prepared(tmp_path / "before", *options)[0] == 2
    assert files_below(tmp_path / "before") == files_below(tmp_path / "after")
    image.write_bytes(data)
    assert prepared(tmp_path / "after", *options)[0] == 0
    assert prepared(tmp_path / "before", *options)[0] == 0
    assert files_below(tmp_path / "before") == files_below(tmp_path / "after")
    assert len(rows_of(folder / "index.csv")) == 3


def test_a_sequence_with_a_wrong_label_is_named_and_the_rest_goes_on(copy, options, tmp_path, capsys):
    label = next((copy / "Emotion" / "S010" / "002").iterdir())
    label.write_text("happy")
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 2 and label.name in capsys.readouterr().err
    assert [row["sequence"] for row in rows_of(folder / "index.csv")] == ["S005_001", "S010_004"]
    assert len(rows_of(folder / "problems.csv")) == 1
    assert main(["prepare", "--out", str(tmp_path / "strict"), *options, "--strict"]) == 2
    assert not (tmp_path / "strict").exists()


def test_a_link_out_of_the_data_set_takes_its_sequence_with_it(copy, options, tmp_path, capsys):
    image = images_of(copy, "S010", "002")[1]
    image.rename(tmp_path / "elsewhere.png")
    image.symlink_to(tmp_path / "elsewhere.png")
    for number in range(6):
        (image.parent / f"notes-{number}.txt").touch()
    status, folder = prepared(tmp_path / "out", *options)
    said = " ".join(capsys.readouterr().out.split())
    assert "synthetic: 3 labelled sequences of 2 subjects" in said
    assert "notes-4.txt: no image, ignored" in said and "and 2 more notes: `face-strnn check`" in said
    (row,) = rows_of(folder / "problems.csv")
    assert status == 2 and (row["sequence"], row["path"]) == ("S010_002", str(image))
    assert [row["sequence"] for row in rows_of(folder / "index.csv")] == ["S005_001", "S010_004"]


def test_one_bad_file_takes_no_other_sequence_of_its_folder_with_it(tmp_path, vgg_file, capsys):
    root = tmp_path / "faces"
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for name in ("P1_1_1", "P1_1_2", "P1_10_1", "P2_1_1", "P3_1_1", "portrait"):
        (root / "anger").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "anger" / f"{name}.png"), image)
    (root / "anger" / "P1_1_3.png").symlink_to("/dev/null")
    (root / "anger" / "P2_1_1.png").write_bytes(b"")
    network = ["--backbone", "vgg11", "--weights", vgg_file(), "--maps", "pool4", "--rotations", "[]"]
    options = ["--dataset", "image-folder", "--root", root, "--faces", "given", *network]
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 2 and [row["sequence"] for row in rows_of(folder / "index.csv")] == ["P1_10", "P3_1"]
    assert [(row["sequence"], Path(row["path"]).name) for row in rows_of(folder / "problems.csv")] == [
        ("P1_1", "P1_1_3.png"),
        ("", "portrait.png"),
        ("P2_1", "P2_1_1.png"),
    ]


def test_a_row_that_became_wrong_takes_its_own_sequence_out_of_the_store(tmp_path, vgg_file):
    root = tmp_path / "clips"
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        cv2.imwrite(str(root / name / "1.png"), image)
    (root / "manifest.csv").write_text("subject,sequence,emotion,path\nP1,1,anger,one\nP2,1,fear,two\n")
    network = ["--backbone", "vgg11", "--weights", vgg_file(), "--maps", "pool4", "--rotations", "[]"]
    options = ["--dataset", "manifest", "--root", root, "--faces", "given", *network]
    assert prepared(tmp_path / "out", *options)[0] == 0
    (root / "two").rename(root / "three")
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 2 and [row["sequence"] for row in rows_of(folder / "index.csv")] == ["P1_1"]
    assert [row["sequence"] for row in rows_of(folder / "problems.csv")] == ["P2_1"]


def test_strict_stops_at_the_first_damaged_sequence(copy, options, tmp_path, capsys):
    for number in ("002", "004"):
        images_of(copy, "S010", number)[0].write_bytes(b"no image")
    status, folder = prepared(tmp_path / "out", *options, "--strict")
    said = capsys.readouterr().err
    assert status == 2 and "S010_002_00000001.png" in said and len(without_log(said)) == 1
    assert not (folder / "index.csv").exists() and not list(folder.glob(".*"))


def test_a_copy_of_which_nothing_can_be_used_is_refused(copy, options, tmp_path, capsys):
    for image in (copy / "cohn-kanade-images").rglob("*.png"):
        image.write_bytes(b"no image")
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 2 and "no sequence can be used" in capsys.readouterr().err
    assert len(rows_of(folder / "problems.csv")) == 3


@pytest.mark.parametrize("arguments", [["--rotations", "[-7]"], ["--rotations", "[]", "--contact-sheet"]])
def test_any_number_of_processes_gives_the_same_bytes(arguments, options, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    prepared(one, *options[:-2], *arguments)
    prepared(two, *options[:-2], *arguments, "--jobs", "2")
    assert files_below(one) == files_below(two)
    assert any(one.rglob("contact-sheet-01.png")) == ("--contact-sheet" in arguments)


def test_threads_of_the_backbone_do_not_change_a_byte(options, tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        prepared(tmp_path / "one", *options)
        torch.set_num_threads(4)
        prepared(tmp_path / "four", *options)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "four")


def test_no_picture_of_a_face_is_written_unless_a_contact_sheet_is_asked_for(options, tmp_path, capsys):
    out, never = tmp_path / "out", tmp_path / "never"
    prepared(out, *options, "--contact-sheet")
    assert "faces, a local file" in capsys.readouterr().out
    assert any(out.rglob("*.png")) and len(list(out.rglob("*.thumbnails"))) == 3
    assert prepared(out, *options)[0] == 0
    assert "faces, a local file" not in capsys.readouterr().out
    assert not [*out.rglob("*.png"), *out.rglob("*.thumbnails")]
    prepared(never, *options)
    assert files_below(never) == files_below(out)
    prepared(never, *options, "--contact-sheet")
    assert len(list(never.rglob("contact-sheet-01.png"))) == 1


def write_video(path, images):
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (width, height))
    for image in images:
        writer.write(image[..., ::-1])
    writer.release()


@pytest.fixture
def gap_video(synthetic, tmp_path):
    """A manifest of a video in which the face is away for nine frames: six before, eight after."""
    face = cv2.resize(read_image(images_of(synthetic, "S005", "001")[0]), (320, 245))
    blank = np.full_like(face, 90)
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "gap.avi", [face] * 6 + [blank] * 9 + [face] * 8)
    write_video(tmp_path / "clips" / "blank.avi", [blank] * 4)
    rows = "P1,gap,anger,gap.avi\nP2,blank,fear,blank.avi\n"
    (tmp_path / "clips" / "manifest.csv").write_text("subject,sequence,emotion,path\n" + rows)
    return tmp_path / "clips"


def test_only_the_usable_part_of_a_video_is_stored_and_this_is_said(gap_video, tmp_path, vgg_file, capsys):
    network = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
    options = ["--dataset", "manifest", "--root", gap_video, *network]
    status, folder = prepared(tmp_path / "out", *options)
    said = " ".join(capsys.readouterr().out.split())
    assert status == 0 and "8 of the 23 frames of P1_gap are used" in said
    assert "no frame of P2_blank shows a face: left out" in said
    (row,) = rows_of(folder / "index.csv")
    assert row["frames"] == "8" and maps_in(folder / "P1_gap_rot+00.safetensors").shape == (8, 7, 7, 512)
    faces = faces_of(tmp_path / "out")
    used = "".join(row["used"][0] for row in faces if row["sequence"] == "P1_gap")
    assert used == "n" * 15 + "y" * 8
    hows = [row["how"] for row in faces if row["sequence"] == "P2_blank"]
    assert hows == ["none"] * 4 and (folder / "left_out.txt").read_text() == "P2_blank\n"
    before = files_below(tmp_path / "out")
    assert prepared(tmp_path / "out", *options)[0] == 0
    assert files_below(tmp_path / "out") == before
    assert "0 files computed, 1 kept" in " ".join(capsys.readouterr().out.split())


def test_a_damaged_image_in_a_folder_of_many_sequences_takes_its_own_with_it(tmp_path, vgg_file):
    root = write_crops(tmp_path / "ck48")
    for number in (12, 13):
        shutil.copy(root / "anger" / "S010_004_00000012.png", root / "anger" / f"S999_001_{number:08d}.png")
    (root / "anger" / "S999_001_00000014.png").symlink_to(tmp_path / "elsewhere.png")
    network = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
    options = ["--dataset", "image-folder", "--root", root, *network, "--faces", "given"]
    status, folder = prepared(tmp_path / "out", *options)
    assert status == 2
    assert [row["sequence"] for row in rows_of(folder / "index.csv")] == ["S010_004", "S011_004", "S014_004"]


@pytest.mark.parametrize("jobs", ["0", "-2"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(jobs, options, tmp_path, capsys):
    assert main(["prepare", "--out", str(tmp_path / "out"), *options, "--jobs", jobs]) == 2
    assert f"--jobs {jobs}" in capsys.readouterr().err and not (tmp_path / "out").exists()
