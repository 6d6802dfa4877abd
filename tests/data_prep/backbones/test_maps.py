"""Pooling layers and grids: the maps against torchvision's layers, and the fingerprints that stores have had so far."""

import hashlib
import json

import numpy as np
import pytest
import torch
from runs import cross_validated

from data_prep.backbones.backbone import PIXELS_PER_CELL, grid_of, load_backbone
from data_prep.errors import BadInput
from data_prep.preparation.recipe import recipe, store_name
from data_prep.store.recipe_folder import fingerprint
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.prediction.ensemble import Ensemble

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
POOLS = {"pool3": 10, "pool4": 15, "pool5": 20}
"""Places in torchvision's vgg11."""


def images(side):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, side, side, 3), np.uint8))


def after(features, pool, pixels):
    prepared = ((pixels / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return features[: POOLS[pool] + 1](prepared)[0]


@pytest.mark.parametrize(("maps", "grid", "side"), [("pool3", 7, 56), ("pool3", 14, 112), ("pool4", 14, 224)])
def test_one_pooling_layer_at_either_grid(maps, grid, side, vgg_features, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), maps, grid=grid)
    assert backbone.crop_pixels == side
    found = backbone(images(side))[0].float()
    expected = after(vgg_features("vgg11", 0), maps, images(side)).permute(1, 2, 0)
    assert found.shape == expected.shape == backbone.map_shape == (grid, grid, 256 if maps == "pool3" else 512)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4 * expected.abs().max().item())


def test_two_pooling_layers_are_averaged_to_one_grid_and_stand_side_by_side(vgg_features, vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4+pool5")
    assert backbone.crop_pixels == 224 and backbone.map_shape == (7, 7, 1024)
    found = backbone(images(224))[0].float().numpy()
    fine, coarse = (after(vgg_features("vgg11", 0), pool, images(224)).numpy() for pool in ("pool4", "pool5"))
    assert fine.shape == (512, 14, 14) and coarse.shape == (512, 7, 7)
    expected = np.zeros((7, 7, 1024))
    for row in range(7):
        for column in range(7):
            for i in (0, 1):
                for j in (0, 1):
                    expected[row, column, :512] += fine[:, 2 * row + i, 2 * column + j] / 4
            expected[row, column, 512:] = coarse[:, row, column]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4 * expected.max())


def test_the_grid_follows_from_maps_and_pixels():
    for maps, cell in PIXELS_PER_CELL.items():
        assert [grid_of(maps, cell * grid) for grid in (7, 14)] == [7, 14]
    with pytest.raises(ValueError, match="no grid of pool4"):
        grid_of("pool4", 100)
    with pytest.raises(BadInput, match="--grid 9: must be one of 7, 14"):
        load_backbone(None, "faces", "pool4", grid=9)


@pytest.mark.parametrize(("maps", "pixels"), [("pool4", 112), ("pool5", 224)])
def test_the_fingerprint_is_the_checksum_of_what_shapes_the_maps(maps, pixels, vgg_file):
    backbone = load_backbone(None, str(vgg_file()), maps)
    shaping = {
        "data": "CK+",
        "backbone": "vgg11",
        "weights_sha256": hashlib.sha256(vgg_file().read_bytes()).hexdigest(),
        "maps": maps,
        "preprocessing": ["RGB", 1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
        "crop": {"detector": "mtcnn", "every": 4, "max_gap": 5, "per": "sequence", "margin": 0.2, "pixels": pixels},
        "rotation": {"interpolation": "linear", "room": 1.2},
        "format": 1,
    }
    by_hand = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:12]
    assert fingerprint(recipe("CK+", backbone)) == by_hand
    assert store_name("CK+", backbone) == f"ckplus-vgg11-{vgg_file().stem}-{maps}"
    finer = load_backbone(None, str(vgg_file()), maps, grid=14)
    assert fingerprint(recipe("CK+", finer)) != by_hand and store_name("CK+", finer).endswith(f"{maps}-14x14")


def test_a_run_answers_with_the_maps_and_the_preprocessing_of_its_features(tmp_path, vgg_file):
    made_with = load_backbone(weights=str(vgg_file()), maps="pool3", grid=14, preprocessing="vggface")
    store = FeatureStore.create(tmp_path, "made", recipe("mine", made_with))
    rng = np.random.default_rng(0)
    for number in range(4):
        maps = torch.from_numpy(rng.normal(size=(2, *made_with.map_shape))).half()
        entry = StoredSequence(f"S{number}_1", f"S{number}", ("fear", "anger")[number // 2], 0, 2, "0" * 64)
        store.write(entry, maps)
    store.complete()
    small = NetworkConfig(spatial_hidden=4, spatial_output=3, temporal_hidden=4, length=5)
    cross_validated(store, tmp_path / "run", Config(small, TrainingConfig(epochs=1)), folds=2)
    ensemble = Ensemble.of_run(tmp_path / "run", str(vgg_file()))
    assert ensemble.classes == ("anger", "fear") and ensemble.backbones[0].crop_pixels == 112
    assert torch.equal(ensemble.backbones[0](images(112)), made_with(images(112)))
    assert ensemble.probabilities(made_with(images(112))[:, None]).sum() == pytest.approx(1)
