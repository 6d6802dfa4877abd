"""The feature store: whole files or none, and no file of another making."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data_prep.atomic_files import write_text_whole, written_whole
from data_prep.errors import BadInput
from data_prep.store.recipe_folder import fingerprint
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.training.samples import Samples, channel_moments

RECIPE = {"data": "CK+", "backbone": "vgg11", "weights": "w.pth", "weights_sha256": "ab12", "maps": "pool4"}
SEQUENCES = [("S005", "001", "disgust", 3), ("S010", "002", "surprise", 4), ("S010", "004", "anger", 2)]


def entries(rotations=(-7, 0, 7)):
    return [
        StoredSequence(f"{subject}_{number}", subject, emotion, rotation, frames, f"{frames:064x}")
        for subject, number, emotion, frames in SEQUENCES
        for rotation in rotations
    ]


def maps_of(entry):
    generator = torch.Generator().manual_seed(entry.rotation + 100 * entry.frames)
    return torch.randn(entry.frames, 2, 3, 4, generator=generator).half()


def filled(parent, recipe=RECIPE):
    store = FeatureStore.create(parent, "ckplus-vgg11", recipe)
    for entry in entries():
        store.write(entry, maps_of(entry))
    store.rebuild_index()
    store.complete()
    return store


@pytest.fixture
def store(tmp_path):
    return filled(tmp_path / "features")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_maps_come_back_bit_for_bit_with_their_facts(store):
    opened = FeatureStore.open(store.folder)
    assert opened.entries() == entries() and opened.recipe == RECIPE
    for entry in entries():
        assert torch.equal(opened.maps(entry), maps_of(entry)) and opened.maps(entry).dtype == torch.float16
        assert opened.holds(entry)
    with safe_open(store.folder / "S010_002_rot-07.safetensors", framework="pt") as file:
        assert file.metadata() == {
            "sequence": "S010_002",
            "subject": "S010",
            "emotion": "surprise",
            "rotation": "-7",
            "frames": "4",
            "source": f"{4:064x}",
            "fingerprint": fingerprint(RECIPE),
            "blake2b": hashlib.blake2b(maps_of(entries()[3]).numpy().tobytes(), digest_size=16).hexdigest(),
        }


def test_a_fold_that_the_data_set_gives_is_kept_and_one_that_it_does_not_give_leaves_no_trace(tmp_path):
    store = FeatureStore.create(tmp_path, "clips", RECIPE)
    folded = [replace(entry, fold=str(1 + place // 3)) for place, entry in enumerate(entries())]
    for entry in folded:
        store.write(entry, maps_of(entry))
    assert store.rebuild_index() == store.entries() == folded
    store.complete()
    assert store.holds(folded[0]) and not store.holds(replace(folded[0], fold="2"))
    assert Samples.of(store).predefined_folds.tolist() == ["1"] * 3 + ["2"] * 3 + ["3"] * 3
    plain = Samples.of(filled(tmp_path / "plain"))
    names = ("sequence", "subject", "emotion", "rotation", "frames", "source")
    facts = [{name: getattr(entry, name) for name in names} for entry in plain.entries]
    assert plain.sha256() == hashlib.sha256(json.dumps(facts).encode()).hexdigest(), "runs that were begun go on"
    assert plain.sha256() != Samples.of(store).sha256()


def test_outdated_files_of_a_sequence_are_not_mistaken_for_those_of_one_with_a_longer_name(tmp_path):
    store = FeatureStore.create(tmp_path, "clips", RECIPE)
    one, other = (StoredSequence(name, "P1", "anger", 0, 2, "0" * 64) for name in ("P1", "P1_rotated"))
    for entry in (one, other):
        store.write(entry, maps_of(entry))
    store.remove_outdated("P1", None)
    assert not store.holds(one) and store.holds(other)


def test_the_folders_name_carries_the_fingerprint(store):
    assert store.folder.name == f"ckplus-vgg11-{fingerprint(RECIPE)}"
    assert fingerprint({**RECIPE, "weights": "renamed.pth"}) == fingerprint(RECIPE)
    assert len({fingerprint({**RECIPE, key: "other"}) for key in RECIPE if key != "weights"}) == 4
    assert fingerprint(dict(reversed(RECIPE.items()))) == fingerprint(RECIPE)


def test_one_store_in_a_folder_is_found_there(store):
    assert FeatureStore.open(store.folder.parent).folder == store.folder


def test_files_and_index_are_listed_in_order(store):
    maps = [entry.file_name for entry in entries()]
    assert names_in(store.folder) == sorted(["contents.json", "index.csv", "store.json", *maps])
    lines = (store.folder / "index.csv").read_text().splitlines()
    assert lines[0] == "sequence,subject,emotion,rotation,frames,source" and len(lines) == 10


@pytest.mark.parametrize("damage", ["deleted", "empty", "half", "binary", "columns", "a row less", "a row more"])
def test_a_missing_or_damaged_index_is_made_anew_from_the_files(store, damage):
    index = store.folder / "index.csv"
    whole = index.read_bytes()
    lines = whole.splitlines(keepends=True)
    content = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "binary": b"\xff\xfe\x00" * 50,
        "columns": whole.replace(b"rotation", b"turn"),
        "a row less": b"".join(lines[:-1]),
        "a row more": whole + lines[-1].replace(b"S010_004", b"S999_001"),
    }
    if damage == "deleted":
        index.unlink()
    else:
        index.write_bytes(content[damage])
    assert FeatureStore.open(store.folder).entries() == entries()
    assert index.read_bytes() == whole


def test_the_index_follows_files_that_are_added_or_removed(store):
    extra = StoredSequence("S011_001", "S011", "fear", 0, 2, "0" * 64)
    store.write(extra, maps_of(extra))
    assert store.entries() == [*entries(), extra]
    store.path_of(extra).unlink()
    assert store.entries() == entries()


def test_an_index_that_contradicts_the_files_is_not_believed(store):
    index = store.folder / "index.csv"
    index.write_text(index.read_text().replace("surprise", "sadness"))
    samples = Samples.of(FeatureStore.open(store.folder))
    with pytest.raises(BadInput, match=r"S010_002_rot-07\.safetensors: not what index\.csv says.*delete"):
        list(samples)


def test_what_is_not_exactly_the_wanted_file_is_not_held(store):
    entry = entries()[0]
    assert not store.holds(StoredSequence(**{**vars(entry), "source": "f" * 64})), "made from other image files"
    assert not store.holds(StoredSequence(**{**vars(entry), "emotion": "anger"}))
    assert not store.holds(StoredSequence(**{**vars(entry), "frames": entry.frames + 1}))
    assert not store.holds(StoredSequence(**{**vars(entry), "rotation": 12}))
    path = store.path_of(entry)
    path.write_bytes(path.read_bytes()[:-10])
    assert not store.holds(entry)


@pytest.mark.parametrize("length", [0, 5, 200, -7])
def test_a_file_that_is_cut_short_is_refused_by_name(store, length):
    path = store.folder / "S010_002_rot+00.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BadInput, match=r"S010_002_rot\+00\.safetensors: damaged .*prepare"):
        list(Samples.of(FeatureStore.open(store.folder)))
    (store.folder / "index.csv").unlink()
    with pytest.raises(BadInput, match=r"S010_002_rot\+00\.safetensors: damaged .*prepare"):
        FeatureStore.open(store.folder).entries()


def test_a_file_of_another_fingerprint_is_refused_by_name(store, tmp_path):
    other = filled(tmp_path / "other", {**RECIPE, "maps": "pool5"})
    name = "S005_001_rot+07.safetensors"
    (store.folder / name).write_bytes((other.folder / name).read_bytes())
    with pytest.raises(BadInput, match=rf"S005_001_rot\+07\.safetensors: .*{other.fingerprint}.*{store.fingerprint}"):
        list(Samples.of(store))
    (store.folder / "index.csv").unlink()
    with pytest.raises(BadInput, match=r"S005_001_rot\+07\.safetensors: made by another recipe"):
        store.entries()


def test_a_renamed_file_is_refused_by_name(store):
    (store.folder / "S005_001_rot+07.safetensors").rename(store.folder / "S005_001_rot+12.safetensors")
    with pytest.raises(BadInput, match=r"S005_001_rot\+12\.safetensors: not what its header says"):
        store.entries()


def test_a_file_without_maps_is_refused_by_name(store):
    path = store.folder / "S005_001_rot+07.safetensors"
    save_file({"weights": torch.zeros(3)}, path)
    (store.folder / "index.csv").unlink()
    with pytest.raises(BadInput, match=r"S005_001_rot\+07\.safetensors: damaged"):
        store.entries()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_maps_that_are_not_finite_are_refused_by_name(store, value):
    entry = entries()[4]
    maps = maps_of(entry)
    maps[1, 1, 2, 3] = value
    store.write(entry, maps)
    store.complete()
    samples = Samples.of(store)
    with pytest.raises(BadInput, match=r"S010_002_rot\+00\.safetensors: holds NaN or infinity; delete it"):
        channel_moments(samples)


def test_a_renamed_store_is_refused(store):
    moved = store.folder.rename(store.folder.with_name("my-features"))
    with pytest.raises(BadInput, match=f"my-features: .*{store.fingerprint}.*name back"):
        FeatureStore.open(moved)


def test_an_edited_recipe_is_refused(store):
    file = store.folder / "store.json"
    file.write_text(file.read_text().replace("pool4", "pool5"))
    with pytest.raises(BadInput, match="fingerprint"):
        FeatureStore.open(store.folder)


@pytest.mark.parametrize("text", ["", "{", "3", "[1]", "null"])
def test_a_damaged_recipe_is_refused_by_name(store, text):
    (store.folder / "store.json").write_text(text)
    with pytest.raises(BadInput, match=r"store\.json"):
        FeatureStore.open(store.folder)


def test_where_no_single_store_is_the_folder_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match=r"absent: no such folder.*prepare --out"):
        FeatureStore.open(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: holds no feature store"):
        FeatureStore.open(tmp_path / "empty")
    other = filled(store.folder.parent, {**RECIPE, "maps": "pool5"})
    with pytest.raises(BadInput, match="several feature stores") as refused:
        FeatureStore.open(store.folder.parent)
    assert store.folder.name in str(refused.value) and other.folder.name in str(refused.value)


def test_a_store_is_taken_up_and_its_files_kept(store):
    again = FeatureStore.create(store.folder.parent, "ckplus-vgg11", RECIPE)
    assert again.folder == store.folder and again.entries() == entries()
    assert json.loads((store.folder / "store.json").read_text()) == RECIPE


def test_a_store_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BadInput, match="cannot be made"):
        FeatureStore.create(tmp_path / "file", "ckplus", RECIPE)


def test_an_error_while_writing_leaves_no_file_and_keeps_the_old_one(store):
    before = names_in(store.folder)
    entry = entries()[0]
    whole = store.path_of(entry).read_bytes()
    with pytest.raises(Exception):  # noqa: B017
        store.write(entry, "no tensor")
    new = StoredSequence("S011_001", "S011", "fear", 0, 2, "0" * 64)
    with pytest.raises(Exception):  # noqa: B017
        store.write(new, [[1.0]])
    assert names_in(store.folder) == before and store.path_of(entry).read_bytes() == whole


@pytest.mark.parametrize("parts", [[4], [1, 3], [2, 1, 1]])
def test_a_file_that_is_written_in_parts_has_the_bytes_of_one_written_at_once(store, tmp_path, parts):
    entry = entries()[4]
    maps = maps_of(entry)
    other = FeatureStore.create(tmp_path / "other", "ckplus-vgg11", RECIPE)
    with other.write_in_parts(entry, maps.shape[1:]) as append:
        for part in maps.split(parts):
            append(part)
        assert not other.path_of(entry).exists()
    assert other.path_of(entry).read_bytes() == store.path_of(entry).read_bytes()


def test_parts_that_are_too_few_or_of_another_shape_leave_no_file(store):
    new = StoredSequence("S011_001", "S011", "fear", 0, 4, "0" * 64)
    before = names_in(store.folder)
    for parts in ([(3, 2, 3, 4)], [(5, 2, 3, 4)], [(4, 3, 2, 4)]):
        with pytest.raises(ValueError, match="S011_001"), store.write_in_parts(new, (2, 3, 4)) as append:
            for shape in parts:
                append(torch.zeros(shape).half())
    with pytest.raises(ValueError, match="float32"), store.write_in_parts(new, (2, 3, 4)) as append:
        append(torch.zeros(4, 2, 3, 4))
    assert names_in(store.folder) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    path = tmp_path / "summary.json"
    with pytest.raises(error), written_whole(path) as unfinished:
        unfinished.write_text("{half")
        assert not path.exists()
        raise error
    assert names_in(tmp_path) == []
    write_text_whole(path, "första\n")
    assert path.read_bytes() == "första\n".encode()
    with pytest.raises(error), written_whole(path) as unfinished:
        unfinished.write_text("{half")
        raise error
    assert names_in(tmp_path) == ["summary.json"] and path.read_text(encoding="utf-8") == "första\n"


def test_what_a_killed_writer_left_is_not_taken_for_a_file(store):
    (store.folder / ".S005_001_rot+00.safetensors.4711.unfinished").write_bytes(b"half")
    assert store.entries() == entries()


def test_samples_are_labelled_and_the_unrotated_ones_known(store):
    samples = Samples.of(store)
    assert len(samples) == 9
    assert samples.labels.tolist() == [2, 2, 2, 6, 6, 6, 0, 0, 0]
    assert samples.subjects.tolist() == ["S005"] * 3 + ["S010"] * 6
    assert samples.original_numbers.tolist() == [1, 4, 7]


def test_channel_moments_are_those_of_each_sample(store):
    samples = Samples.of(store)
    moments = channel_moments(samples)
    assert moments.shape == (9, 3, 4)
    for entry, found in zip(entries(), moments, strict=True):
        values = maps_of(entry).double().view(-1, 4)
        assert (found[0] == entry.frames * 6).all()
        torch.testing.assert_close(found[1], values.sum(0), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(found[2], values.square().sum(0), rtol=1e-5, atol=1e-4)


def test_an_unfinished_store_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match=r"has no contents\.json.*prepare"):
        Samples.of(FeatureStore.create(tmp_path / "new", "ckplus", RECIPE))
    (store.folder / "S010_004_rot+07.safetensors").unlink()
    store.complete()
    with pytest.raises(BadInput, match=r"S010_004 lacks the variants \+7"):
        Samples.of(store)


def test_an_emotion_that_is_no_class_is_refused_by_name(tmp_path):
    store = FeatureStore.create(tmp_path, "ckplus", RECIPE)
    entry = StoredSequence("S005_001", "S005", "boredom", 0, 2, "0" * 64)
    store.write(entry, maps_of(entry))
    store.complete()
    with pytest.raises(BadInput, match=r"S005_001_rot\+00\.safetensors: its emotion boredom"):
        Samples.of(store)
