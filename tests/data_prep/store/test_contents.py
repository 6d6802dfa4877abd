"""A store says what it should hold, and that it is complete: what is unfinished or changed is refused."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence

RECIPE = {"data": "synthetic", "maps": "pool4"}
NAMES = ("S1_1", "S1_2", "S2_1", "S3_1")

HOLD = """
import sys, time
from pathlib import Path
from data_prep.store.lock import sole_writer
with sole_writer(Path(sys.argv[1]), "prepare"):
    print("held", flush=True)
    time.sleep(60)
"""


def maps_of(name):
    return torch.randn(3, 2, 2, 4, generator=torch.Generator().manual_seed(NAMES.index(name))).half()


def write(store, names):
    for name in names:
        store.write(StoredSequence(name, name[:2], "anger", 0, 3, "0" * 64), maps_of(name))


@pytest.fixture
def store(tmp_path):
    made = FeatureStore.create(tmp_path, "made", RECIPE)
    made.begin(NAMES)
    write(made, NAMES)
    made.complete()
    return FeatureStore.open(made.folder)


def rewritten(store, name, maps, edit=lambda header: header):
    """Write a file of the store anew, as another program would that keeps its header."""
    path = store.folder / f"{name}_rot+00.safetensors"
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({"maps": maps}, path, edit(header))


def test_a_complete_store_is_accepted_and_names_the_checksum_of_every_file(store):
    assert store.require_complete() == 4
    contents = json.loads((store.folder / "contents.json").read_text())
    assert contents["complete"] is True and contents["sequences"] == list(NAMES)
    assert contents["files"].keys() == {f"{name}_rot+00.safetensors" for name in NAMES}


def test_a_store_that_is_not_finished_is_refused_unless_a_part_is_asked_for(tmp_path):
    store = FeatureStore.create(tmp_path, "made", RECIPE)
    store.begin(NAMES)
    write(store, NAMES[:3])
    with pytest.raises(BadInput, match=r"prepare` has not finished it, 3 of 4 sequences are there; .* --partial"):
        store.require_complete()
    assert store.require_complete(partial=True) == 4


def test_a_finished_store_that_is_begun_again_is_unfinished_until_its_end(store):
    store.begin([*NAMES, "S4_1"])
    with pytest.raises(BadInput, match="has not finished it, 4 of 5 sequences"):
        store.require_complete()


def test_a_sequence_that_was_removed_is_named(store):
    (store.folder / "S2_1_rot+00.safetensors").unlink()
    with pytest.raises(BadInput, match=r"S2_1_rot\+00\.safetensors removed from it, 3 of 4 sequences"):
        store.require_complete()
    assert store.require_complete(partial=True) == 4


def test_a_file_that_was_added_or_written_anew_is_named_even_where_a_part_is_asked_for(store):
    write(store, ["S1_2"])
    assert store.require_complete() == 4, "the same maps"
    store.write(StoredSequence("S1_2", "S1", "anger", 0, 3, "0" * 64), torch.ones(3, 2, 2, 4).half())
    for partial in (False, True):
        with pytest.raises(BadInput, match=r"S1_2_rot\+00\.safetensors changed since .*prepare"):
            store.require_complete(partial)
    write(store, ["S1_2"])
    store.write(StoredSequence("S9_1", "S9", "anger", 0, 3, "0" * 64), torch.ones(3, 2, 2, 4).half())
    with pytest.raises(BadInput, match=r"S9_1_rot\+00\.safetensors changed since"):
        store.require_complete()


def test_maps_that_are_not_those_of_their_checksum_are_refused_when_they_are_read(store):
    label = torch.full((3, 2, 2, 4), 7.0).half()
    rewritten(store, "S2_1", label)
    entry = store.entries()[2]
    store.require_complete()
    for _ in range(2):
        with pytest.raises(BadInput, match=r"S2_1_rot\+00\.safetensors: not what was written.*delete it"):
            store.maps(entry)
    assert torch.equal(store.maps(store.entries()[0]), maps_of("S1_1"))


def test_a_file_without_a_checksum_is_refused(store):
    rewritten(store, "S2_1", maps_of("S2_1"), lambda header: {k: v for k, v in header.items() if k != "blake2b"})
    with pytest.raises(BadInput, match=r"S2_1_rot\+00\.safetensors: damaged .*blake2b"):
        store.require_complete()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"complete": "yes", "sequences": [], "files": {}}',
     '{"complete": true, "sequences": [1], "files": {}}', '{"complete": true, "sequences": 3, "files": {}}',
     '{"complete": true, "sequences": [], "files": {"a": null}}', "[" * 100_000],
)  # fmt: skip
def test_damaged_contents_are_refused_by_name(store, text):
    (store.folder / "contents.json").write_text(text)
    with pytest.raises(BadInput, match=r"contents\.json: damaged .*prepare"):
        store.require_complete()


def test_an_index_with_a_line_longer_than_any_is_remade(store):
    entries = store.entries()
    index = store.folder / "index.csv"
    whole = index.read_bytes()
    index.write_bytes(whole + b"x" * 200_000 + b"\n")
    assert FeatureStore.open(store.folder).entries() == entries
    assert index.read_bytes() == whole


def test_a_store_that_another_process_writes_to_is_refused_until_that_has_ended(store):
    writer = subprocess.Popen([sys.executable, "-c", HOLD, str(store.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "held\n"
        for partial in (False, True):
            with pytest.raises(BadInput, match=rf"prepare` is at work in it \(process {writer.pid} on .*wait"):
                store.require_complete(partial)
    finally:
        writer.kill()
        writer.wait()
    assert (store.folder / ".prepare.lock").is_file(), "killed, it left its lock"
    assert store.require_complete() == 4


def test_the_checksum_over_several_files_depends_on_their_maps_and_names_and_not_on_their_order(store):
    entries = store.entries()
    whole = store.checksum_of(entries)
    assert whole == store.checksum_of(entries[::-1]) != store.checksum_of(entries[:3])
    store.write(entries[0], maps_of("S1_2"))
    assert store.checksum_of(entries) != whole
