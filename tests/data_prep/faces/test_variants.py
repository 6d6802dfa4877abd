"""Variants of a sequence, flipped and rotated, against scipy, OpenCV and numpy; and their names."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from data_prep.backbones.backbone import load_backbone
from data_prep.datasets.ckplus import read_ckplus
from data_prep.errors import BadInput
from data_prep.faces.crops import MARGIN, SquareCrop, crops_of, extract_crop
from data_prep.faces.tracking import FaceFollower
from data_prep.faces.variants import (
    AUGMENTATIONS,
    ORIGINAL,
    ROTATION_BORDER,
    ROTATIONS,
    Variant,
    cut_variant,
    variants_of,
)
from data_prep.media.images import read_image
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.cli.program import main
from face_strnn.training.samples import Samples, names_sha256

PIXELS = 112
WIDE = 134
STC_NLSTM = variants_of(*AUGMENTATIONS["stc-nlstm"])


def smooth_pattern():
    """An asymmetric pattern without sharp edges, (WIDE, WIDE, 3)."""
    y, x = np.mgrid[:WIDE, :WIDE] / WIDE
    bump = np.exp(-((x - 0.7) ** 2 + (y - 0.35) ** 2) / 0.01)
    return np.stack([60 + 150 * bump, 128 + 90 * np.sin(5 * x + 2 * y), 40 + 150 * x * y], -1).round().astype(np.uint8)


def center(image):
    extra = (len(image) - PIXELS) // 2
    return image[extra : extra + PIXELS, extra : extra + PIXELS]


def test_the_papers_angles():
    assert ROTATIONS == (-12, -7, 7, 12)


@pytest.mark.parametrize("degrees", ROTATIONS)
def test_a_rotation_is_counter_clockwise_about_the_middle_as_scipys(degrees):
    pattern = smooth_pattern()
    (found,) = cut_variant(pattern[None], Variant(degrees), PIXELS)
    # scipy.ndimage.rotate turns as numpy.rot90 does: counter-clockwise
    quarter = np.arange(9).reshape(3, 3)
    assert np.array_equal(ndimage.rotate(quarter, 90), np.rot90(quarter))
    expected = center(ndimage.rotate(pattern.astype(float), degrees, reshape=False, order=1))
    assert np.abs(found - expected).max() < 3
    wrong = center(ndimage.rotate(pattern.astype(float), -degrees, reshape=False, order=1))
    assert np.abs(found - wrong).max() > 30


@pytest.mark.parametrize("degrees", [*ROTATIONS, 2.5, -7.5])
def test_a_rotation_equals_opencvs_affine_warp(degrees):
    pattern = smooth_pattern()
    matrix = cv2.getRotationMatrix2D(((WIDE - 1) / 2, (WIDE - 1) / 2), degrees, 1.0)
    expected = center(cv2.warpAffine(pattern, matrix, (WIDE, WIDE), flags=cv2.INTER_LINEAR))
    (found,) = cut_variant(pattern[None], Variant(degrees), PIXELS)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("degrees", [0, *ROTATIONS, 2.5])
def test_every_frame_of_a_sequence_turns_by_the_same_angle(degrees):
    frames = np.random.default_rng(0).integers(0, 256, (5, WIDE, WIDE, 3), dtype=np.uint8)
    together = cut_variant(frames, Variant(degrees), PIXELS)
    assert together.shape == (5, PIXELS, PIXELS, 3) and together.dtype == np.uint8
    for _ in range(2):
        alone = [cut_variant(frame[None], Variant(degrees), PIXELS) for frame in frames]
        assert np.array_equal(together, np.concatenate(alone))
    assert np.array_equal(cut_variant(np.stack([frames[0]] * 5), Variant(degrees), PIXELS)[4], together[0])


def test_no_rotation_is_the_middle_of_the_wide_cut():
    frames = np.random.default_rng(1).integers(0, 256, (2, WIDE, WIDE, 3), dtype=np.uint8)
    assert np.array_equal(cut_variant(frames, ORIGINAL, PIXELS), frames[:, 11:123, 11:123])


@pytest.mark.parametrize("pixels", [112, 224])
@pytest.mark.parametrize("degrees", ROTATIONS)
def test_no_rotation_brings_empty_corners_in(degrees, pixels):
    frame = np.full((600, 600, 3), 201, np.uint8)
    wide = extract_crop(frame, SquareCrop(300, 300, pixels), pixels, ROTATION_BORDER)
    assert (cut_variant(wide[None], Variant(degrees), pixels) == 201).all()


@pytest.mark.parametrize("degrees", [0, -12, 2.5, 7.5])
def test_a_flip_comes_before_the_rotation_as_numpys_and_opencvs(degrees):
    pattern = smooth_pattern()
    matrix = cv2.getRotationMatrix2D(((WIDE - 1) / 2, (WIDE - 1) / 2), degrees, 1.0)
    expected = center(cv2.warpAffine(pattern[:, ::-1], matrix, (WIDE, WIDE), flags=cv2.INTER_LINEAR))
    (found,) = cut_variant(pattern[None], Variant(degrees, flip=True), PIXELS)
    assert np.abs(found.astype(int) - expected).max() <= (2 if degrees else 0)
    (other_order,) = cut_variant(pattern[None], Variant(-degrees), PIXELS)
    assert np.abs(found.astype(int) - other_order[:, ::-1]).max() <= 2, "a flip turns the angle around"


@pytest.mark.parametrize("variant", STC_NLSTM, ids=str)
def test_every_frame_of_a_sequence_has_the_same_variant(variant):
    frames = np.stack([smooth_pattern()] * 3)
    found = cut_variant(frames, variant, PIXELS)
    assert found.shape == (3, PIXELS, PIXELS, 3)
    assert np.array_equal(found[1], found[0]) and np.array_equal(found[2], found[0])


def test_the_named_augmentations_are_those_of_the_papers():
    assert variants_of(*AUGMENTATIONS["paper"]) == tuple(map(Variant, (0, -12, -7, 7, 12)))
    angles = {0, 2.5, 5, 7.5, -2.5, -5, -7.5}
    assert set(STC_NLSTM) == {Variant(angle, flip) for angle in angles for flip in (False, True)}
    assert len(STC_NLSTM) == 14, "a data set 14 times as large as the original one"
    assert variants_of(*AUGMENTATIONS["flip"]) == (ORIGINAL, Variant(0, flip=True))
    assert variants_of(*AUGMENTATIONS["none"]) == (ORIGINAL,)
    assert variants_of([7, 7.0, 0, 7], flip=False) == (ORIGINAL, Variant(7)), "each once"


def write_store(folder, variants, names=("S005_001", "S010_002")):
    """A store of zeros as the program's first version wrote it, where the variants are the paper's."""
    recipe = {
        **{"data": "CK+", "backbone": "vgg11", "weights": "w", "weights_sha256": "0" * 64},
        **{"rotation": {"interpolation": "linear", "room": 1.2}, "format": 1},
    }
    store = FeatureStore.create(folder, "store", recipe)
    for name in names:
        for variant in variants:
            facts = (name, name[:4], "anger", variant.rotation, 2, "ab" * 32, "", variant.flip)
            store.write(StoredSequence(*facts), torch.zeros(2, 2, 2, 3, dtype=torch.float16))
    store.complete()
    return store


def test_names_and_checksums_of_what_is_not_flipped_do_not_mention_flips(tmp_path):
    store = write_store(tmp_path, variants_of(*AUGMENTATIONS["paper"]))
    samples = Samples.of(store)
    assert store.fingerprint == "ddcf17c3f45a"
    assert [entry.file_name.split("_", 2)[2] for entry in samples.entries[:5]] == [
        f"rot{angle}.safetensors" for angle in ("-12", "-07", "+00", "+07", "+12")
    ]
    first = (store.folder / "S005_001_rot-12.safetensors").read_bytes()
    assert json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])["__metadata__"] == {
        **{"sequence": "S005_001", "subject": "S005", "emotion": "anger", "rotation": "-12", "frames": "2"},
        **{"source": "ab" * 32, "fingerprint": "ddcf17c3f45a"},
        "blake2b": hashlib.blake2b(bytes(2 * 2 * 2 * 3 * 2), digest_size=16).hexdigest(),
    }
    index = (store.folder / "index.csv").read_text()
    assert index.startswith(f"sequence,subject,emotion,rotation,frames,source\nS005_001,S005,anger,-12,2,{'ab' * 32}\n")
    assert samples.sha256() == "94257919fd27dbdae30942c73b1206b114bb7ab2131bef2200472fbda8d75c7b"
    names = samples.names()
    assert names_sha256(names) == "800e629848aebfc5528eb88becee79365f7e73ae1caae6299ddb115cf5383b0c"
    as_numbers = [(name, Variant(float(variant.rotation))) for name, variant in names]
    assert names_sha256(as_numbers) == names_sha256(names), "a table's 7.0 is 7"


def test_a_store_of_flips_and_fractions_comes_back_with_and_without_its_index(tmp_path):
    store = write_store(tmp_path, variants_of((2.5, -7), flip=True), names=("P1",))
    entries = FeatureStore.open(store.folder).entries()
    assert [entry.file_name for entry in entries] == [
        *("P1_rot-07.safetensors", "P1_rot-07_flip.safetensors", "P1_rot+00.safetensors"),
        *("P1_rot+00_flip.safetensors", "P1_rot+02.5.safetensors", "P1_rot+02.5_flip.safetensors"),
    ]
    assert all(store.holds(entry) and store.maps(entry).shape == (2, 2, 2, 3) for entry in entries)
    assert store.entries() == store.rebuild_index() == entries, "from the index, and from the headers"
    samples = Samples.of(store)
    assert samples.original_numbers.tolist() == [2] and samples.originals().n_variants == 1 and samples.n_variants == 6
    assert samples.variant_facts() == {"rotations": [-7, 0, 2.5], "flipped": [-7, 0, 2.5]}
    assert store.sequence_names() == {"P1"}
    store.remove_outdated("P1", None)
    assert not list(store.folder.glob("*.safetensors"))


def test_a_sequence_that_lacks_a_flip_that_others_have_is_named(tmp_path):
    store = write_store(tmp_path, variants_of((2.5,), flip=True))
    (store.folder / "S010_002_rot+02.5_flip.safetensors").unlink()
    store.complete()
    with pytest.raises(BadInput, match=r"S010_002 lacks the variants \+2.5 flipped that others have"):
        Samples.of(store)


def test_prepare_makes_flips_beside_what_is_there_and_they_are_the_maps_of_flipped_crops(
    synthetic, vgg_file, prepare_options, features, tmp_path
):
    out = tmp_path / "features"
    shutil.copytree(features, out)
    before = {path.name: path.read_bytes() for path in out.glob("*/S*.safetensors")}
    options = [*prepare_options[: prepare_options.index("--rotations")], "--out", str(out)]
    assert main(["prepare", *options, "--augment", "flip"]) == 0
    store = FeatureStore.open(out)
    assert {path.name: path.read_bytes() for path in store.folder.glob("S*.safetensors")}.items() >= before.items()
    added = {path.name for path in store.folder.glob("S*.safetensors")} - before.keys()
    assert added == {name.replace("+00", "+00_flip") for name in before if "+00" in name}
    assert main(["prepare", *options, "--augment", "none"]) == 0
    assert {path.name for path in store.folder.glob("S*.safetensors")} == before.keys() | added
    sequence = read_ckplus(synthetic).usable().sequences[0]
    frames = [read_image(path) for path in sequence.frames]
    squares = crops_of(FaceFollower().track(frames), margin=MARGIN)
    wide = np.stack(
        [extract_crop(frame, square, 112, ROTATION_BORDER) for frame, square in zip(frames, squares, strict=True)]
    )
    flipped = np.ascontiguousarray(wide[:, 11:123, 11:123][:, :, ::-1])
    expected = load_backbone("vgg11", str(vgg_file()), "pool4")(torch.from_numpy(flipped))
    (entry,) = [one for one in store.entries() if one.sequence == sequence.name and one.flip]
    assert torch.equal(store.maps(entry), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rotations", "[12.5]"], "--rotations 12.5: beyond 12 degrees"),
        (["--rotations", "[.nan]"], "beyond 12 degrees"),
        (["--rotations", "[2.25]"], "finer than a tenth of a degree"),
        (["--augment", "flip", "--rotations", "[7]"], "--augment flip: --rotations says which copies are made"),
        (["--augment", "mirror"], "paper"),
    ],
)
def test_variants_that_cannot_be_made_are_refused_with_the_remedy(synthetic, tmp_path, capsys, options, said):
    arguments = ["prepare", "--root", str(synthetic), "--out", str(tmp_path / "out"), *options]
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr().err
    assert status == 2 and said in printed and "Traceback" not in printed and not (tmp_path / "out").exists()
