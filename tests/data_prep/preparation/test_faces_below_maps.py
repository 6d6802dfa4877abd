"""Faces lie below the maps: found once for all stores of a data set, and crops can be made without any maps."""

import csv
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from data_prep.datasets.ckplus import read_ckplus
from data_prep.faces.crops import crops_of, extract_crop, side_with_border
from data_prep.faces.detection import FaceDetector
from data_prep.faces.variants import ROTATION_BORDER
from data_prep.media.images import read_image
from data_prep.preparation import recording
from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


@pytest.fixture
def network(vgg_file):
    """Options of `prepare` that choose a backbone, by its maps and weights."""

    def options(maps, seed=0):
        return ["--backbone", "vgg11", "--weights", str(vgg_file(seed=seed)), "--maps", maps, "--rotations", "[]"]

    return options


@pytest.fixture
def calls(monkeypatch):
    """How often MTCNN looked at frames, and how many images were decoded."""
    counted = {"detected": 0, "decoded": 0}
    detect, refine, decode = FaceDetector.detect, FaceDetector.refine, recording.decode_image

    def counting(name, function):
        def call(*arguments, **keywords):
            counted[name] += 1
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(FaceDetector, "detect", counting("detected", detect))
    monkeypatch.setattr(FaceDetector, "refine", counting("detected", refine))
    monkeypatch.setattr(recording, "decode_image", counting("decoded", decode))
    return counted


@pytest.fixture
def prepare(copy, tmp_path, calls):
    """Run the program on the copy; return how often a face was sought and an image decoded."""

    def run(*options, status=0):
        calls.update(detected=0, decoded=0)
        assert main(["prepare", "--root", str(copy), "--out", str(tmp_path / "out"), *map(str, options)]) == status
        return calls["detected"], calls["decoded"]

    return run


def files_below(folder, pattern="*"):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


def maps_in(folder):
    (store,) = (FeatureStore.open(path) for path in folder.glob("*-pool3-*"))
    return store.entries(), torch.cat([store.maps(entry) for entry in store.entries()])


def test_no_face_is_detected_again_for_other_maps_weights_or_crops(prepare, network, copy, tmp_path):
    n_images = sum(sequence.n_frames for sequence in read_ckplus(copy).sequences)
    detected, decoded = prepare(*network("pool4"))
    assert detected > 0 and decoded == n_images, "every image is decoded once"
    tracks = files_below(tmp_path / "out", "*.track")
    for options in (network("pool3"), network("pool4", seed=1), [*network("pool4"), "--crop", "eyes"]):
        assert prepare(*options) == (0, n_images)
    assert prepare("--maps", "none", "--pixels", "32", "--margin", "0.4") == (0, n_images)
    assert len(list((tmp_path / "out").glob("*/store.json"))) == 4
    assert len(tracks) == 3 and files_below(tmp_path / "out", "*.track") == tracks
    assert len(FaceStore.open(tmp_path / "out").crop_stores()) == 4


def test_maps_of_stored_crops_are_those_of_the_images_which_are_not_decoded(prepare, network, tmp_path):
    prepare(*network("pool3"))
    from_images = maps_in(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert prepare("--maps", "none", "--pixels", "56")[0] > 0
    assert prepare(*network("pool3")) == (0, 0)
    assert maps_in(tmp_path / "out")[0] == from_images[0] and torch.equal(maps_in(tmp_path / "out")[1], from_images[1])


@pytest.mark.parametrize("kind", ["per-sequence", "eyes"])
def test_crops_alone_are_cut_by_the_track_with_room_for_a_rotation(kind, prepare, copy, tmp_path, capsys):
    prepare("--maps", "none", "--pixels", "48", "--crop", kind)
    assert "3 files computed, 0 kept" in " ".join(capsys.readouterr().out.split())
    assert not list((tmp_path / "out").rglob("store.json"))
    faces = FaceStore.open(tmp_path / "out")
    (crops,) = faces.crop_stores()
    for entry, sequence in zip(crops.entries(), read_ckplus(copy).sequences, strict=True):
        assert (entry.sequence, entry.subject, entry.emotion) == (sequence.name, sequence.subject, sequence.emotion)
        squares = crops_of(faces.track(entry.sequence).faces, kind)
        by_hand = [
            extract_crop(read_image(path), square, 48, ROTATION_BORDER)
            for path, square in zip(sequence.frames, squares, strict=True)
        ]
        stored = crops.crops(entry)
        assert stored.shape == (
            entry.frames,
            side_with_border(48, ROTATION_BORDER),
            side_with_border(48, ROTATION_BORDER),
            3,
        )
        assert np.array_equal(stored.numpy(), np.stack(by_hand))


def test_crops_alone_need_no_weights(copy, tmp_path):
    program = (
        "import sys\nfrom face_strnn.cli.program import main\n"
        "import data_prep.backbones.backbone as backbone\nbackbone.load_weights = None\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    options = ["--root", str(copy), "--out", str(tmp_path / "out"), "--maps", "none", "--pixels", "16"]
    without = {**os.environ, "TORCH_HOME": str(tmp_path / "no weights"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", program, "prepare", *options], check=True, env=without)
    assert not (tmp_path / "no weights").exists()


def test_interrupted_and_damaged_crops_are_made_again_to_the_same_bytes(prepare, copy, tmp_path, capsys):
    options = ["--maps", "none", "--pixels", "40"]
    prepare(*options)
    out = tmp_path / "out"
    whole = files_below(out)
    (crops,) = FaceStore.open(out).crop_stores()
    (crops.folder / "S005_001.safetensors").unlink()
    (crops.folder / "S010_002.safetensors").write_bytes(b"half")
    (crops.folder / ".S010_004.safetensors.1.unfinished").write_bytes(b"half")
    (crops.folder / "index.csv").unlink()
    capsys.readouterr()
    assert prepare(*options)[0] == 0
    assert "2 files computed, 1 kept" in " ".join(capsys.readouterr().out.split())
    assert files_below(out) == whole
    image = sorted((copy / "cohn-kanade-images" / "S010" / "002").iterdir())[1]
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 3])
    prepare(*options, status=2)
    assert str(crops.folder / "problems.csv") in " ".join(capsys.readouterr().err.split())
    assert not [name for name in files_below(out) if "S010_002" in name]
    with (crops.folder / "problems.csv").open(newline="") as table:
        assert [row["sequence"] for row in csv.DictReader(table)] == ["S010_002"]
    image.write_bytes(data)
    prepare(*options)
    assert files_below(out) == whole


def test_what_is_of_images_that_changed_goes_from_crops_of_every_kind(prepare, copy, tmp_path):
    prepare("--maps", "none", "--pixels", "40")
    prepare("--maps", "none", "--pixels", "48", "--crop", "eyes")
    faces = FaceStore.open(tmp_path / "out")
    image = sorted((copy / "cohn-kanade-images" / "S010" / "002").iterdir())[1]
    cv2.imwrite(str(image), cv2.imread(str(image)) // 2)
    prepare("--maps", "none", "--pixels", "48", "--crop", "eyes")
    held = {store.pixels: [entry.sequence for entry in store.entries()] for store in faces.crop_stores()}
    assert held == {40: ["S005_001", "S010_004"], 48: ["S005_001", "S010_002", "S010_004"]}


def test_given_faces_are_stored_as_crops_too(tmp_path, capsys):
    root = tmp_path / "ck48" / "anger"
    root.mkdir(parents=True)
    for number in (12, 13):
        cv2.imwrite(str(root / f"S010_004_{number:08d}.png"), np.full((48, 48, 3), 10 * number, np.uint8))
    options = ["--dataset", "image-folder", "--root", str(root.parent), "--out", str(tmp_path / "out")]
    assert main(["prepare", *options, "--faces", "given", "--maps", "none", "--pixels", "48"]) == 0
    (crops,) = FaceStore.open(tmp_path / "out").crop_stores()
    (entry,) = crops.entries()
    assert crops.folder.name.startswith("given-48-") and crops.crops(entry)[:, 20, 20, 0].tolist() == [120, 130]
    assert FaceStore.open(tmp_path / "out").recipe == {"data": "ck48", "detector": "given", "format": 1}


def test_tracks_of_sequences_that_the_data_set_does_not_have_are_not_mixed_in(prepare, copy, network, capsys):
    prepare("--maps", "none", "--pixels", "40")
    for folder in ("cohn-kanade-images", "Emotion"):
        shutil.rmtree(copy / folder / "S010")
    prepare(*network("pool3"), status=2)
    said = capsys.readouterr().err
    assert "-faces-" in said and "holds 2 sequences that" in said and "give another --out" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--maps", "none"], "--maps none: makes crops alone; give their side with --pixels"),
        (["--pixels", "64"], "--pixels 64: the backbone says how large crops are"),
        (["--maps", "none", "--pixels", "15"], "--pixels 15: must be from 16 to 512"),
        (["--maps", "none", "--pixels", "513"], "--pixels 513: must be from 16 to 512"),
        *(
            (["--maps", "none", "--pixels", "64", *options], f"{options[0]}: is about maps; --maps none makes crops")
            for options in (
                ["--weights", "faces"], ["--backbone", "vgg16"], ["--preprocessing", "caffe"], ["--grid", "14"],
                ["--augment", "none"], ["--rotations", "[]"], ["--precision", "float32"],
            )
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_with_crops_alone_is_refused_in_a_line(options, said, copy, tmp_path, capsys):
    assert main(["prepare", "--root", str(copy), "--out", str(tmp_path / "out"), *options]) == 2
    printed = capsys.readouterr().err
    assert said in printed and len(printed.strip().splitlines()) == 1 and not (tmp_path / "out").exists()
