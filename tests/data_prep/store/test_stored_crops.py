"""Face crops in a store: those that the maps are of, added without making maps anew, whole or not at all."""

import csv
import shlex
import shutil
from dataclasses import replace

import cv2
import pytest
import torch

from data_prep.backbones.backbone import load_backbone
from data_prep.errors import BadInput
from data_prep.faces.crops import with_room
from data_prep.faces.variants import ORIGINAL, ROOM
from data_prep.preparation.recipe import recipe
from data_prep.store.crops import command_that_keeps_crops, crops_in_parts, holds_crops, read_crops
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


@pytest.fixture(scope="module")
def store(crop_features):
    return FeatureStore.open(crop_features)


@pytest.fixture
def copied(crop_features, tmp_path):
    shutil.copytree(crop_features, tmp_path / "store")
    return FeatureStore.open(tmp_path / "store")


def crop_files(store):
    return {path.name: path for path in (store.folder / "crops").iterdir()}


def upright(store):
    return [entry for entry in store.entries() if entry.rotation == 0]


def test_there_is_one_file_for_each_sequence_and_none_for_rotated_copies(store):
    assert set(crop_files(store)) == {f"{entry.sequence}.safetensors" for entry in store.entries()}
    for entry in upright(store):
        side = with_room(112, ROOM)
        crops = read_crops(store, entry)
        assert crops.dtype == torch.uint8 and crops.shape == (entry.frames, side, side, 3)


def test_their_middle_gives_the_stored_maps_to_the_bit(store, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    for entry in upright(store)[:3]:
        beyond = (with_room(112, ROOM) - 112) // 2
        crops = read_crops(store, entry)[:, beyond:-beyond, beyond:-beyond]
        maps = torch.cat([backbone(block) for block in crops.split(backbone.block)])
        assert torch.equal(maps, store.maps(entry))


def test_adding_them_leaves_the_maps_as_they_were(features, store):
    before = FeatureStore.open(features).folder
    names = {path.name for path in before.glob("*.safetensors")}
    assert names == {path.name for path in store.folder.glob("*.safetensors")}
    for name in names | {"index.csv", "faces.csv"}:
        assert (before / name).read_bytes() == (store.folder / name).read_bytes()


def test_what_is_lost_or_damaged_is_made_again_in_the_same_bytes_and_nothing_else(copied, prepare_options, capsys):
    files = crop_files(copied)
    whole = {name: path.read_bytes() for name, path in files.items()}
    lost, cut_short, *kept = sorted(files)
    files[lost].unlink()
    files[cut_short].write_bytes(whole[cut_short][:-1000])
    (copied.folder / "crops" / f".{kept[0]}.1.unfinished").write_bytes(b"half")
    written = {path: path.stat().st_mtime_ns for path in copied.folder.rglob("*.safetensors")}
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *prepare_options]) == 0
    assert "0 files computed" in " ".join(capsys.readouterr().out.split())
    assert {name: path.read_bytes() for name, path in crop_files(copied).items()} == whole
    again = {path.name for path in copied.folder.rglob("*.safetensors") if path.stat().st_mtime_ns != written.get(path)}
    assert again == {lost, cut_short}


def test_a_writer_that_fails_leaves_no_file(copied):
    entry = upright(copied)[0]
    crops = read_crops(copied, entry).clone()
    crop_files(copied)[f"{entry.sequence}.safetensors"].unlink()
    with pytest.raises(RuntimeError), crops_in_parts(copied, entry, crops.shape[1]) as append:
        append(crops[:1])
        raise RuntimeError
    assert not holds_crops(copied, entry)
    assert not list((copied.folder / "crops").glob(f"*{entry.sequence}*"))


def test_crops_of_images_that_changed_are_deleted_and_cut_anew(copied, standin, prepare_options, tmp_path):
    root = tmp_path / "ck"
    shutil.copytree(standin, root)
    entry = upright(copied)[0]
    image = sorted((root / "cohn-kanade-images" / entry.subject).rglob("*.png"))[0]
    cv2.imwrite(str(image), 255 - cv2.imread(str(image)) // 8)
    options = [str(root) if option == str(standin) else option for option in prepare_options]
    changed = f"{image.parent.parent.name}_{image.parent.name}.safetensors"
    before = {name: path.read_bytes() for name, path in crop_files(copied).items()}
    assert main(["prepare", "--out", str(copied.folder.parent), *options]) == 0
    assert set(crop_files(copied)) == set(before) - {changed}, "outdated crops must not outlive their maps"
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *options]) == 0
    after = {name: path.read_bytes() for name, path in crop_files(copied).items()}
    assert {name for name in before if before[name] != after[name]} == {changed}


def test_crops_of_other_facts_are_refused(store):
    entry = upright(store)[0]
    assert holds_crops(store, entry)
    for other in (replace(entry, source="0" * 64), replace(entry, frames=entry.frames + 1)):
        assert not holds_crops(store, other)
        with pytest.raises(BadInput, match=f"{entry.sequence}.safetensors: damaged, or of other images"):
            read_crops(store, other)


def test_the_command_says_that_they_show_faces(prepare_options, copied, capsys):
    assert main(["prepare", "--out", str(copied.folder.parent), "--keep-crops", *prepare_options]) == 0
    assert "crops/ there: shows subjects' faces, not to be passed on" in " ".join(capsys.readouterr().out.split())
    with (copied.folder / "index.csv").open() as text:
        assert len(list(csv.DictReader(text))) == len(copied.entries())


def test_finetuning_without_crops_says_what_makes_them(features, vgg_file, tmp_path, capsys):
    options = ["--features", str(features), "--finetune", "all", "--weights", str(vgg_file()), "--folds", "2"]
    assert main(["cv", "--out", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert "holds no face crops of 11 of 11 sequences" in said
    assert not (tmp_path / "run").exists()
    (store,) = (path.parent for path in features.glob("*/store.json"))
    assert command_that_keeps_crops(FeatureStore.open(store)) in " ".join(said.split())


def test_the_command_that_is_named_adds_the_crops_to_that_store_and_no_variants(
    features, standin, vgg_file, tmp_path, capsys
):
    out = tmp_path / "of one"  # a path that needs quoting
    shutil.copytree(features, out)
    store = FeatureStore.open(out)
    before = {path.name: path.read_bytes() for path in store.folder.glob("*.safetensors")}
    program, *arguments = shlex.split(command_that_keeps_crops(store))
    assert program == "face-strnn"
    told = {"DATA": str(standin), store.recipe["weights"]: str(vgg_file())}
    assert main([told.get(argument, argument) for argument in arguments]) == 0
    assert [path.name for path in out.iterdir()] == [store.folder.name]
    assert {path.name: path.read_bytes() for path in store.folder.glob("*.safetensors")} == before
    assert all(holds_crops(store, entry) for entry in store.entries() if entry.variant == ORIGINAL)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop": "eyes", "margin": 0.3}, "--preprocessing imagenet --crop eyes --margin 0.3 --augment"),
        ({"faces": "given"}, "--preprocessing imagenet --faces given --augment"),
    ],
)
def test_the_command_repeats_what_shaped_the_store(vgg_file, tmp_path, settings, said):
    backbone = load_backbone(weights=str(vgg_file()), maps="pool3", grid=14)
    store = FeatureStore.create(tmp_path, "odd", recipe("CK+", backbone, **settings))
    command = command_that_keeps_crops(store)
    assert f"--backbone vgg11 --weights vgg11-0.pth --maps pool3 --grid 14 {said} none --keep-crops" in command
