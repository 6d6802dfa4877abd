"""Interrupted work that is resumed ends in the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data_prep.backbones.backbone import load_backbone
from data_prep.datasets.ckplus import read_ckplus
from data_prep.preparation.options import PrepareOptions
from data_prep.preparation.pipeline import prepare
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main

EPOCHS = 25


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def content_of(path):
    """A safetensors file's tensors, as bytes, and its header, in whatever order they stand in the file."""
    with safe_open(path, framework="numpy") as file:
        tensors = {name: (file.get_tensor(name).shape, file.get_tensor(name).tobytes()) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def contents_below(folder):
    return {path.name: content_of(path) for path in sorted(folder.rglob("*.safetensors"))}


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_killed_cross_validation_ends_in_the_same_bytes(cv_options, tmp_path):
    def options(name):
        return ["cv", "--out", str(tmp_path / name), "--epochs", str(EPOCHS), "--seed", "1", *cv_options]

    checkpoints = tmp_path / "killed" / "checkpoints"

    def states():
        return list(checkpoints.glob("*.training"))

    command = [sys.executable, "-m", "face_strnn.cli", *options("killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(states, process)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert 1 <= torch.load(states()[0], weights_only=True)["epochs_done"] < EPOCHS
    assert not list(checkpoints.glob("*.safetensors"))

    assert main(options("killed")) == 0
    assert main(options("undisturbed")) == 0
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for name in ("predictions.csv", "history.csv", "folds.csv", "config.yaml"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert contents_below(killed) == contents_below(undisturbed)
    assert len(contents_below(killed)) == 2 and not states()


def test_the_same_run_twice_gives_the_same_bytes_in_its_checkpoints(run, cv_options, tmp_path):
    again = tmp_path / "again"
    assert main(["cv", "--out", str(again), "--epochs", "3", "--seed", "5", *cv_options]) == 0
    for name in ("fold-01.safetensors", "fold-02.safetensors"):
        first, second = run / "checkpoints" / name, again / "checkpoints" / name
        assert content_of(first) == content_of(second)
        assert first.read_bytes() == second.read_bytes(), "the same content in another order"


def test_a_run_whose_folds_are_partly_done_keeps_them(run, cv_options, tmp_path):
    again = shutil.copytree(run, tmp_path / "run")
    for name in ("summary.json", "predictions.csv", "report.html", "checkpoints/fold-02.safetensors"):
        (again / name).unlink()
    assert main(["cv", "--out", str(again), "--epochs", "3", "--seed", "5", *cv_options]) == 0
    for name in ("predictions.csv", "history.csv"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name
    assert contents_below(again) == contents_below(run)


@pytest.fixture
def cut_off(features, tmp_path):
    """A copy of the feature store that lacks three files, as if its making had been killed."""
    again = shutil.copytree(features, tmp_path / "features")
    store = FeatureStore.open(again).folder
    for name in ("S005_001_rot+00", "S010_002_rot+07", "S010_002_rot-07"):
        (store / f"{name}.safetensors").unlink()
    (store / ".S010_002_rot-07.safetensors.4711.unfinished").write_bytes(b"half")
    return store


def test_features_that_were_cut_off_are_completed(features, cut_off, prepare_options, capsys):
    untouched = cut_off / "S022_001_rot+00.safetensors"
    before = untouched.stat().st_mtime_ns
    capsys.readouterr()
    assert main(["prepare", "--out", str(cut_off.parent), *prepare_options]) == 0
    assert "3 files computed, 30 kept" in " ".join(capsys.readouterr().out.split())
    whole = FeatureStore.open(features).folder
    assert contents_below(cut_off) == contents_below(whole)
    assert (cut_off / "index.csv").read_bytes() == (whole / "index.csv").read_bytes()
    assert untouched.stat().st_mtime_ns == before


def test_features_that_are_made_again_have_the_same_bytes(features, cut_off, prepare_options):
    assert main(["prepare", "--out", str(cut_off.parent), *prepare_options]) == 0
    (cut_off / ".S010_002_rot-07.safetensors.4711.unfinished").unlink(missing_ok=True)
    whole = FeatureStore.open(features).folder
    assert contents_below(cut_off) == contents_below(whole)
    assert files_below(cut_off) == files_below(whole), "the same content in another order"


def test_a_damaged_file_is_computed_again(features, prepare_options, tmp_path, capsys):
    store = FeatureStore.open(shutil.copytree(features, tmp_path / "features")).folder
    (store / "S011_001_rot+00.safetensors").write_bytes(b"half a file")
    assert main(["prepare", "--out", str(store.parent), *prepare_options]) == 0
    assert "1 files computed, 32 kept" in " ".join(capsys.readouterr().out.split())
    assert contents_below(store) == contents_below(FeatureStore.open(features).folder)


@pytest.fixture
def one_sequence(synthetic, tmp_path):
    """A copy of the data set with the first subject alone, free to be changed."""
    root = tmp_path / "ck"
    for folder in ("cohn-kanade-images", "Emotion"):
        shutil.copytree(synthetic / folder / "S005", root / folder / "S005")
    shutil.copy(synthetic / "SYNTHETIC.txt", root)
    return root


def test_only_what_is_missing_is_computed(one_sequence, tmp_path, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")

    def work(rotations):
        return prepare(read_ckplus(one_sequence), tmp_path / "out", backbone, PrepareOptions(rotations))

    first = work(())
    assert (first.computed, first.kept) == (1, 0)
    second = work((-7, 7))
    assert (second.computed, second.kept) == (2, 1)
    assert [entry.rotation for entry in second.store.entries()] == [-7, 0, 7]
    third = work((-7, 7))
    assert (third.computed, third.kept) == (0, 3)
    fewer = work(())
    assert (fewer.computed, fewer.kept) == (0, 1)
    assert [entry.rotation for entry in fewer.store.entries()] == [-7, 0, 7], "earlier rotations stay"


def test_a_changed_image_is_computed_again(one_sequence, tmp_path, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    first = prepare(read_ckplus(one_sequence), tmp_path / "out", backbone, PrepareOptions(()))
    (entry,) = first.store.entries()
    before = first.store.maps(entry).clone()
    image = sorted((one_sequence / "cohn-kanade-images/S005/001").iterdir())[-1]
    cv2.imwrite(str(image), cv2.imread(str(image)) // 2)
    second = prepare(read_ckplus(one_sequence), tmp_path / "out", backbone, PrepareOptions(()))
    assert (second.computed, second.kept) == (1, 0)
    (entry,) = second.store.entries()
    after = second.store.maps(entry)
    assert (after[-1] != before[-1]).any() and before.shape == after.shape


def test_rotated_copies_of_an_image_that_changed_are_not_kept(one_sequence, tmp_path, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    prepare(read_ckplus(one_sequence), tmp_path / "out", backbone, PrepareOptions((7,)))
    image = sorted((one_sequence / "cohn-kanade-images/S005/001").iterdir())[-1]
    cv2.imwrite(str(image), cv2.imread(str(image)) // 2)
    second = prepare(read_ckplus(one_sequence), tmp_path / "out", backbone, PrepareOptions(()))
    assert [entry.rotation for entry in second.store.entries()] == [0]


def test_a_sequence_without_a_face_is_named_and_left_out(synthetic, one_sequence, tmp_path, vgg_file, capsys):
    for folder in ("cohn-kanade-images", "Emotion"):
        shutil.copytree(synthetic / folder / "S011" / "001", one_sequence / folder / "S011" / "001")
    for image in (one_sequence / "cohn-kanade-images/S011/001").iterdir():
        cv2.imwrite(str(image), np.full((120, 160, 3), 90, np.uint8))
    options = ["--root", str(one_sequence), "--out", str(tmp_path / "out"), "--backbone", "vgg11"]
    options += ["--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
    for counts in ("1 files computed, 0 kept", "0 files computed, 1 kept"):
        capsys.readouterr()
        assert main(["prepare", *options]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert counts in said and "no frame of S011_001 shows a face: left out" in said
        assert FeatureStore.open(tmp_path / "out").left_out() == ["S011_001"]
    store = FeatureStore.open(tmp_path / "out").folder
    assert [file.name for file in store.glob("*.safetensors")] == ["S005_001_rot+00.safetensors"]


def test_stored_maps_are_those_of_the_crops(features, synthetic, vgg_file):
    """The pipeline's steps one by one: MTCNN's boxes, their median and margin, the crop, the backbone."""
    from facenet_pytorch import MTCNN

    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    store = FeatureStore.open(features).folder
    (sequence,) = [one for one in read_ckplus(synthetic).sequences if one.name == "S005_001"]
    images = [cv2.imread(str(path))[..., ::-1] for path in sequence.frames]
    detector = MTCNN(keep_all=True, min_face_size=min(images[0].shape[:2]) // 8)
    boxes = np.array([detector.detect(image.copy())[0][0] for image in images])
    left, top, right, bottom = np.median(boxes, axis=0)
    side = 1.2 * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    half = side / 2
    crops = [
        cv2.resize(
            image[round(y - half) : round(y + half), round(x - half) : round(x + half)],
            (112, 112),
            interpolation=cv2.INTER_AREA,
        )
        for image in images
    ]
    by_hand = backbone(torch.from_numpy(np.stack(crops))).float()
    with safe_open(store / "S005_001_rot+00.safetensors", framework="pt") as file:
        stored = file.get_tensor("maps").float()
    assert stored.shape == by_hand.shape == (len(images), 7, 7, 512)
    # The cut rounds to whole pixels once around its wider square, so edges may differ by a pixel of the frame.
    correlation = np.corrcoef(stored.flatten().numpy(), by_hand.flatten().numpy())[0, 1]
    assert correlation > 0.97


def test_a_store_of_another_data_set_is_not_mixed_in(synthetic, one_sequence, tmp_path, vgg_file, capsys):
    options = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
    assert main(["prepare", "--root", str(one_sequence), "--out", str(tmp_path / "out"), *options]) == 0
    store = FeatureStore.open(tmp_path / "out").folder
    stranger = store / "S010_002_rot+00.safetensors"
    with safe_open(store / "S005_001_rot+00.safetensors", framework="pt") as file:
        header = {**file.metadata(), "sequence": "S010_002", "subject": "S010"}
        save_file({"maps": file.get_tensor("maps")}, stranger, header)
    assert main(["prepare", "--root", str(one_sequence), "--out", str(tmp_path / "out"), *options]) == 2
    assert "S010_002" in capsys.readouterr().err
