"""Stored face crops: those that the maps are of, added without making maps anew, whole or not at all."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from data_prep.backbones.backbone import load_backbone
from data_prep.errors import BadInput
from data_prep.faces.crops import side_with_border
from data_prep.faces.variants import ROTATION_BORDER
from data_prep.store.crops import read_crops
from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


@pytest.fixture(scope="module")
def store(crop_features):
    return FeatureStore.open(crop_features)


@pytest.fixture
def copied(crop_features, tmp_path):
    shutil.copytree(crop_features, tmp_path / "store")
    return FeatureStore.open(tmp_path / "store")


def crops_of(store):
    return FaceStore.beside(store).crops(store.recipe)


def crop_files(store):
    return {path.name: path for path in crops_of(store).folder.glob("*.safetensors")}


def upright(store):
    return [entry for entry in store.entries() if entry.rotation == 0]


def test_there_is_one_file_for_each_sequence_and_none_for_rotated_copies(store):
    assert set(crop_files(store)) == {f"{entry.sequence}.safetensors" for entry in store.entries()}
    for entry in upright(store):
        side = side_with_border(112, ROTATION_BORDER)
        crops = read_crops(store, entry)
        assert crops.dtype == torch.uint8 and crops.shape == (entry.frames, side, side, 3)


def test_their_middle_gives_the_stored_maps_to_the_bit(store, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    for entry in upright(store)[:3]:
        beyond = (side_with_border(112, ROTATION_BORDER) - 112) // 2
        crops = read_crops(store, entry)[:, beyond:-beyond, beyond:-beyond]
        maps = torch.cat([backbone(block) for block in crops.split(backbone.block)])
        assert torch.equal(maps, store.maps(entry))


def test_adding_them_leaves_the_maps_as_they_were(features, store):
    before = FeatureStore.open(features).folder
    names = {path.name for path in before.glob("*.safetensors")}
    assert names == {path.name for path in store.folder.glob("*.safetensors")}
    for name in names | {"index.csv"}:
        assert (before / name).read_bytes() == (store.folder / name).read_bytes()


def test_what_is_lost_or_damaged_is_made_again_in_the_same_bytes_and_nothing_else(copied, prepare_options, capsys):
    files = crop_files(copied)
    whole = {name: path.read_bytes() for name, path in files.items()}
    lost, cut_short, *kept = sorted(files)
    files[lost].unlink()
    files[cut_short].write_bytes(whole[cut_short][:-1000])
    half = crops_of(copied).folder / f".{kept[0]}.1.unfinished"
    half.write_bytes(b"half")
    written = {path: path.stat().st_mtime_ns for path in copied.folder.parent.rglob("*.safetensors")}
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *prepare_options]) == 0
    assert "0 files computed" in " ".join(capsys.readouterr().out.split())
    assert {name: path.read_bytes() for name, path in crop_files(copied).items()} == whole
    now = {path: path.stat().st_mtime_ns for path in copied.folder.parent.rglob("*.safetensors")}
    assert {path.name for path in now if now[path] != written.get(path)} == {lost, cut_short} and not half.exists()


def test_a_writer_that_fails_leaves_no_file(copied):
    entry = upright(copied)[0]
    crops = read_crops(copied, entry).clone()
    crop_files(copied)[f"{entry.sequence}.safetensors"].unlink()
    with pytest.raises(RuntimeError), crops_of(copied).write_in_parts(entry, crops.shape[1:]) as append:
        append(crops[:1])
        raise RuntimeError
    assert not crops_of(copied).holds(entry)
    assert not list(crops_of(copied).folder.glob(f"*{entry.sequence}*"))


def test_crops_of_images_that_changed_are_deleted_and_cut_anew(copied, synthetic, prepare_options, tmp_path):
    root = tmp_path / "ck"
    shutil.copytree(synthetic, root)
    entry = upright(copied)[0]
    image = sorted((root / "cohn-kanade-images" / entry.subject).rglob("*.png"))[0]
    cv2.imwrite(str(image), 255 - cv2.imread(str(image)) // 8)
    options = [str(root) if option == str(synthetic) else option for option in prepare_options]
    changed = f"{image.parent.parent.name}_{image.parent.name}.safetensors"
    before = {name: path.read_bytes() for name, path in crop_files(copied).items()}
    assert main(["prepare", "--out", str(copied.folder.parent), *options]) == 0
    assert set(crop_files(copied)) == set(before) - {changed}, "outdated crops must not outlive their maps"
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *options]) == 0
    after = {name: path.read_bytes() for name, path in crop_files(copied).items()}
    assert {name for name in before if before[name] != after[name]} == {changed}


def test_crops_of_other_facts_are_refused(store):
    entry = upright(store)[0]
    assert crops_of(store).holds(entry)
    for other in (replace(entry, source="0" * 64), replace(entry, frames=entry.frames + 1)):
        assert not crops_of(store).holds(other)
        with pytest.raises(BadInput, match=f"{entry.sequence}.safetensors: damaged, or of other images"):
            read_crops(store, other)


def test_the_command_says_that_they_show_faces(prepare_options, copied, capsys):
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *prepare_options]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"crops in {crops_of(copied).folder}: show subjects' faces, not to be passed on" in said
    with (copied.folder / "index.csv").open() as text:
        assert len(list(csv.DictReader(text))) == len(copied.entries())


def test_finetuning_without_crops_says_what_makes_them(features, vgg_file, tmp_path, capsys):
    options = ["--features", str(features), "--finetune", "all", "--weights-file", str(vgg_file()), "--folds", "2"]
    assert main(["cv", "--out", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert "holds no face crops of 11 of 11 sequences" in said
    assert not (tmp_path / "run").exists()
    assert "run `face-strnn prepare` as before with --keep-crops" in said and len(said.strip().splitlines()) == 1
    shutil.rmtree(FaceStore.open(shutil.copytree(features, tmp_path / "moved")).folder)
    assert main(["cv", "--out", str(tmp_path / "run"), *options, "--features", str(tmp_path / "moved")]) == 2
    assert "holds no face crops of 11 of 11 sequences" in capsys.readouterr().err


def test_crops_are_listed_by_their_index_and_without_it_by_their_headers(copied):
    crops = FaceStore.open(copied.folder.parent).crop_stores()[0]
    assert crops.folder == crops_of(copied).folder and crops.entries() == upright(copied)
    (crops.folder / "index.csv").unlink()
    assert crops.entries() == upright(copied)
    assert crops.left_out() == [] and all(len(crops.crops(entry)) == entry.frames for entry in crops.entries())


def test_a_store_that_is_opened_from_within_finds_its_crops(store, monkeypatch):
    monkeypatch.chdir(store.folder)
    entry = upright(store)[0]
    assert torch.equal(read_crops(FeatureStore.open(Path()), entry), read_crops(store, entry))
