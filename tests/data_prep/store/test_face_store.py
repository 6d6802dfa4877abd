"""The faces store: tracks come back bit for bit, and only those of the images they were made from."""

import numpy as np
import pytest
import torch

from data_prep.errors import BadInput
from data_prep.faces.detection import Face
from data_prep.faces.tracking import FaceTrack
from data_prep.store.faces import FaceStore
from data_prep.store.sequence_store import StoredSequence
from data_prep.store.store import FeatureStore
from data_prep.store.tracks import SequenceTrack

CROP = {"detector": "mtcnn", "every": 4, "max_gap": 5, "per": "sequence", "margin": 0.2, "pixels": 16}
RECIPE = {"data": "CK+", "crop": CROP, "backbone": "vgg11", "weights": "w.pth", "weights_sha256": "ab12"}
ENTRY = StoredSequence("S005_001", "S005", "disgust", 0, 2, "0" * 64)


def face(how, seed):
    random = np.random.default_rng(seed)
    return Face(random.uniform(-20, 600, 4), random.uniform(0.9, 1), random.uniform(0, 600, (5, 2)), how)


@pytest.fixture
def store(tmp_path):
    return FaceStore.begin(tmp_path, RECIPE)


def test_a_track_comes_back_bit_for_bit(store):
    faces = FaceTrack((None, face("detected", 1), face("refined", 2), face("interpolated", 3), None))
    store.write_track(SequenceTrack("S005_001", "0" * 64, 5, faces))
    track = FaceStore.open(store.folder).track("S005_001", "0" * 64)
    assert (track.sequence, track.source, track.n_frames, track.usable) == ("S005_001", "0" * 64, 5, range(1, 4))
    assert track.faces.faces[0] is track.faces.faces[4] is None
    for one, other in zip(faces.usable_faces, track.faces.usable_faces, strict=True):
        assert one.how == other.how and one.probability == other.probability
        assert np.array_equal(one.box, other.box) and np.array_equal(one.landmarks, other.landmarks)
    assert store.sequence_names() == {"S005_001"}


def test_a_track_without_faces_is_one_of_images_that_are_crops(store, tmp_path):
    given = FaceStore.begin(tmp_path, {"data": "CK+", "crop": {"detector": "given"}})
    for one in (store, given):
        one.write_track(SequenceTrack("given", "1" * 64, 3, None))
    assert given.track("given").faces is None and given.track("given").usable == range(3)
    assert store.track("given") is None


def test_a_track_of_other_images_or_cut_short_is_not_taken_and_removed_as_outdated(store):
    for name in ("a", "b", "c"):
        store.write_track(SequenceTrack(name, "0" * 64, 2, FaceTrack((face("detected", 1), None))))
    path = store.folder / "tracks" / "b.track"
    path.write_bytes(path.read_bytes()[:-3])
    assert store.track("a", "1" * 64) is None and store.track("b") is None and store.track("absent") is None
    for name, source in (("a", "1" * 64), ("b", "0" * 64), ("c", "0" * 64)):
        store.remove_outdated(name, source)
    assert store.sequence_names() == {"c"}
    store.remove_outdated("c", None)
    assert store.sequence_names() == set()


def test_it_depends_on_data_and_detector_alone(store, tmp_path):
    same = {"backbone": "vgg16", "weights_sha256": "cd", "maps": "pool5"}
    other_crop = {**CROP, "per": "eyes", "margin": 0.4, "pixels": 224}
    for recipe in (RECIPE | same, RECIPE | {"crop": other_crop}, {"data": "CK+", "crop": CROP}):
        assert FaceStore.begin(tmp_path, recipe).folder == store.folder
    others = [RECIPE | {"data": "MMI"}, *(RECIPE | {"crop": CROP | {name: 9}} for name in ("every", "max_gap"))]
    others.append(RECIPE | {"crop": {"detector": "given", "pixels": 16}})
    assert len({FaceStore.begin(tmp_path, recipe).folder for recipe in others} | {store.folder}) == 5


def test_a_folder_of_stores_is_searched_for_feature_stores_alone(store, tmp_path):
    with pytest.raises(BadInput, match="holds no feature store"):
        FeatureStore.open(tmp_path)
    maps = FeatureStore.create(tmp_path, "ckplus-vgg11", RECIPE)
    assert FeatureStore.open(tmp_path).folder == maps.folder
    assert FaceStore.beside(maps).folder == store.folder.resolve() and FaceStore.open(tmp_path).folder == store.folder


def test_crops_of_every_kind_margin_and_size_have_a_folder_of_their_own(store):
    kinds = [CROP, CROP | {"per": "eyes"}, CROP | {"margin": 0.3}, CROP | {"pixels": 24}]
    for number, crop in enumerate(kinds):
        crops = store.begin_crops({"data": "CK+", "crop": crop})
        with crops.write_in_parts(ENTRY, (crops.side, crops.side, 3)) as append:
            append(torch.full((2, crops.side, crops.side, 3), number, dtype=torch.uint8))
    assert sorted(crops.folder.name.rsplit("-", 1)[0] for crops in store.crop_stores()) == [
        "eyes-0.2-16", "sequence-0.2-16", "sequence-0.2-24", "sequence-0.3-16"
    ]  # fmt: skip
    for number, crop in enumerate(kinds):
        crops = store.crops(RECIPE | {"crop": crop})
        assert crops.entries() == [ENTRY] and (crops.crops(ENTRY) == number).all()
