"""Whatever stands in a file of a store: no traceback, and never silently fewer sequences, or maps of no numbers."""

import csv
import json
import shutil

import numpy as np
import pytest
from edits import with_edits
from program_under_edits import assert_audit_counts, ended_well, works_or_refuses
from safetensors.numpy import load_file

from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore

FEW, SOME, MANY = 2, 100, 500
FEATURE_FILES = ("store.json", "contents.json", "index.csv", "left_out.txt", "problems.csv", "*_rot+00.safetensors")
TABLES = ("contents.json", "index.csv", "problems.csv", "left_out.txt")
MAPS, FACES, CROPS = "*-pool3-*", "*-faces-*", "*-faces-*/crops/*"
IMAGE_FILES = (
    *(f"{folder}/{table}" for folder in (MAPS, CROPS) for table in TABLES),
    *(f"{MAPS}/{file}" for file in ("store.json", "*.safetensors")),
    *(f"{FACES}/{file}" for file in ("faces.json", "faces.csv", "tracks/*.track")),
    *(f"{CROPS}/{file}" for file in ("crops.json", "*.safetensors", "thumbnails/*")),
)


def assert_all_are_used(run, store, sequences):
    """A run over a store has tested all sequences that were in it, and their maps are numbers."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    named = {*summary["left_out"], *summary["damaged"]}
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        tested = {row["sequence"] for row in csv.DictReader(file)}
    assert tested | named >= sequences, f"{sorted(sequences - tested - named)} are silently left out"
    for path in store.glob("*.safetensors"):
        assert np.isfinite(load_file(path)["maps"]).all(), f"{path.name} is not of finite numbers"


def test_no_file_of_a_store_is_forgotten(image_features):
    known = {path for pattern in IMAGE_FILES for path in image_features.glob(pattern)}
    kinds = {(path.parent, path.suffix) for path in known}
    forgotten = {
        path.relative_to(image_features)
        for path in image_features.rglob("*")
        if path.is_file() and path not in known and (path.parent, path.suffix) not in kinds
    }
    assert not {path for path in forgotten if path.suffix not in (".lock", ".png")}, "pictures and locks hold nothing"


@pytest.fixture
def check_features(small_run, training_options, sequences, tmp_path):
    def cross_validated(store):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        ended = ended_well("cv", "--features", store, "--out", run, *training_options, names=[store, run])
        if ended.status == 0:
            assert_all_are_used(run, store, sequences)

    def audited(store):
        own = tmp_path / "audited"
        if not own.exists():
            shutil.copytree(small_run, own)
        assert_audit_counts(ended_well("audit", own, "--features", store, "--json", names=[own, store]), own)

    def read(store):
        works_or_refuses(lambda: read_all(FeatureStore.open(store)), names=[store])

    commands = {"cv": cross_validated, "audit": audited, "read": read}
    return lambda store, command: commands[command](store)


def read_all(store):
    """Read everything in a store of maps or crops."""
    for entry in store.entries():
        assert len(store.maps(entry) if isinstance(store, FeatureStore) else store.crops(entry)) == entry.frames
    store.left_out()


COMMANDS = ("cv", *["audit"] * 3, *["read"] * 12)
"""Those that take longest read the same files: less often."""


@pytest.mark.parametrize("file", FEATURE_FILES)
def test_a_few_edits_of_a_feature_store(store, check_features, tmp_path, file):
    with_edits(FEW, store, file, COMMANDS, check_features, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", FEATURE_FILES)
def test_many_edits_of_a_feature_store(store, check_features, tmp_path, file):
    with_edits(MANY, store, file, COMMANDS, check_features, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["contents.json", "index.csv", "*.safetensors"])
def test_some_edits_of_a_store_of_one_file_for_each_sequence(store_of_originals, check_features, tmp_path, file):
    with_edits(SOME, store_of_originals, file, ("cv",), check_features, tmp_path)


@pytest.fixture
def check_images(prepare_small, sequences):
    def read(features):
        faces = FaceStore.open(features)
        for name in faces.sequence_names():
            track = faces.track(name)
            assert track is None or len(track.usable) <= track.n_frames
        for store in [*faces.crop_stores(), FeatureStore.open(features)]:
            read_all(store)

    def check(features, command):
        if command == "read":
            works_or_refuses(lambda: read(features), names=[features])
            return
        ended = ended_well(command, "--out", features, *prepare_small, "--rotations", "[]", names=[features])
        if ended.status == 0:
            (folder,) = features.glob("*-pool3-*")
            listed = (folder / "index.csv").read_text(encoding="utf-8") + ended.out
            missing = {name for name in sequences if name not in listed}
            assert not missing, f"{sorted(missing)} are silently left out"

    return check


@pytest.mark.parametrize("file", IMAGE_FILES)
def test_a_few_edits_below_prepare(image_features, check_images, tmp_path, file):
    with_edits(FEW, image_features, file, ("prepare",), check_images, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", IMAGE_FILES)
def test_many_edits_below_prepare(image_features, check_images, tmp_path, file):
    with_edits(MANY, image_features, file, ("prepare", "read", "read"), check_images, tmp_path)
