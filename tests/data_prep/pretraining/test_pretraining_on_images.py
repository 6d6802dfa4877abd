"""Pretraining on a folder of labelled images: what is taken, what is named and left out, what is held out."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lock_holder import lock_held
from safetensors.torch import load_file

from data_prep.backbones.backbone import PIXELS_PER_CELL, load_backbone
from data_prep.backbones.split import split_backbone
from data_prep.backbones.weights import load_weights
from data_prep.datasets.emotions import EMOTION_OF_CODE
from data_prep.errors import BadInput
from data_prep.pretraining.labelled import pretrain_on_images
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import find_labelled_images
from data_prep.pretraining.labelled_task import LabelledOptions, LabelledTask
from data_prep.pretraining.learning import PretrainingOptions
from data_prep.pretraining.synthetic_people import draw_person
from data_prep.synthetic.face import draw_face
from data_prep.synthetic.identity import sample_identity
from data_prep.synthetic.places import BOX_MIDDLE, BOX_SIDE
from face_strnn.cli.program import main

SIDE = 42


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(PIXELS_PER_CELL, "pool4", SIDE // 7)


@pytest.fixture(scope="session")
def crops(tmp_path_factory) -> Path:
    """Sixty crops of 48 x 48 amid noise: lying stripes are happy, standing ones sad."""
    root = tmp_path_factory.mktemp("labelled") / "faces"
    rng = np.random.default_rng(0)
    for emotion in ("Happy", "SA"):
        (root / emotion).mkdir(parents=True)
        for number in range(30):
            image = rng.integers(0, 80, (48, 48), np.uint8)
            image[number % 5 :: 8] = image[number % 5 + 1 :: 8] = 230
            cv2.imwrite(str(root / emotion / f"{number:02}.png"), image if emotion == "Happy" else image.T)
    return root


def pretrained(root: Path, out: Path, progress=lambda *_: None):
    backbone = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4)
    options, how = PretrainingOptions(8, rate=2e-3, head_rate=2e-3, seed=1), LabelledOptions("given", batch_size=8)
    return pretrain_on_images(backbone, out, root, options, how, progress=progress)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, crops):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PIXELS_PER_CELL, "pool4", SIDE // 7)
        return pretrained(crops, tmp_path_factory.mktemp("pretrained") / "images.safetensors")


def test_an_easy_task_is_learned_and_the_held_out_accuracy_says_so(undisturbed):
    assert undisturbed.n_train + undisturbed.validation.n + undisturbed.test.n == 60
    assert undisturbed.test.recalls == {"happiness": 1.0, "sadness": 1.0}
    assert undisturbed.test.accuracy == undisturbed.test.mean_class_recall == 1.0
    assert undisturbed.problems_table is None
    losses = [epoch.validation_loss for epoch in undisturbed.history]
    assert len(losses) == 8 and losses[-1] < 0.5 * losses[0]


def test_the_file_holds_what_has_learned_in_half_precision_and_its_classifier(undisturbed, small):
    tensors = load_file(undisturbed.path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert max(int(name.split(".")[1]) for name in tensors if name.startswith("features")) < 33, "four blocks of five"
    weights = load_weights(str(undisturbed.path))
    assert (weights.n_blocks, weights.head.classes, weights.head.maps) == (4, ("happiness", "sadness"), "pool4")
    with pytest.raises(BadInput, match=r"images.safetensors: have 4 blocks, .* give --maps pool4"):
        load_backbone(None, str(undisturbed.path), "pool5")


def test_the_scores_are_those_of_the_written_file_computed_image_by_image(undisturbed, crops, small):
    backbone, head = load_backbone(None, str(undisturbed.path), "pool4"), load_weights(str(undisturbed.path)).head
    right = []
    for image in find_labelled_images(crops).images:
        if image.part == "test":
            pixels = cv2.resize(cv2.imread(str(image.path)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            maps = backbone(torch.from_numpy(pixels[None])).double().mean(dim=(1, 2))[0]
            logits = [
                float(row @ maps) + float(bias) for row, bias in zip(head.weight.double(), head.bias, strict=True)
            ]
            right.append(head.classes[int(np.argmax(logits))] == EMOTION_OF_CODE[image.code])
    assert len(right) == undisturbed.test.n
    assert np.mean(right) == undisturbed.test.accuracy


def test_a_network_of_grey_images_takes_a_coloured_one_for_its_grey(undisturbed, small):
    weight = load_file(undisturbed.path)["features.0.weight"].float()
    shares = weight / weight.sum(dim=1, keepdim=True)
    expected = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None].expand_as(weight)
    large = weight.sum(dim=1, keepdim=True).abs().expand_as(weight) > 0.01
    assert torch.allclose(shares[large], expected[large], atol=5e-3)
    backbone = load_backbone(None, str(undisturbed.path), "pool4")
    coloured = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(coloured[0], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)[None]
    maps = [backbone(torch.from_numpy(image)).float() for image in (coloured, grey, coloured[..., ::-1].copy())]
    assert (maps[0] - maps[1]).abs().mean() < 0.1 * (maps[0] - maps[2]).abs().mean()


def test_crops_grow_over_the_epochs_from_scratch_and_are_whole_from_weights(crops, small, vgg_file, tmp_path):
    images = find_labelled_images(crops).images
    cut = LabelledCrops(tmp_path, images, "given", SIDE)
    cut.extract(1)
    places = range(len(images))
    how = LabelledOptions("given", 8)
    scratch = LabelledTask(split_backbone("vgg16_thin_bn", "scratch", "pool4", 4), cut, places, how, 10)
    assert [scratch.pixels(epoch) for epoch in range(10)] == [18] * 6 + [30] * 2 + [42] * 2
    assert {batch.shape[1:] for batch, _ in scratch.batches(0)} == {(18, 18, 3)}
    loaded = LabelledTask(split_backbone("vgg11_bn", str(vgg_file("vgg11_bn")), "pool4", 1), cut, places, how, 10)
    assert {loaded.pixels(epoch) for epoch in range(10)} == {42}


def test_weights_of_classes_in_the_loss_are_inverse_to_their_numbers_or_to_the_root(crops, small, tmp_path):
    images = [image for image in find_labelled_images(crops).images if image.part == "train"]
    happy, sad = ([index for index, image in enumerate(images) if image.code == code] for code in (5, 6))
    cut = LabelledCrops(tmp_path, images, "given", SIDE)
    cut.extract(1)
    backbone = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4)
    few = [*happy[:16], *sad[:4]]
    crops_of_both = cut.batch([happy[0], sad[0]])[0]
    by_hand = {"none": (1, 1), "balanced": (20 / (2 * 16), 20 / (2 * 4))}
    by_hand["sqrt"] = tuple(np.sqrt(by_hand["balanced"]))
    for kind, weights in by_hand.items():
        task = LabelledTask(backbone, cut, few, LabelledOptions("given", 8, 0.0, kind), 10)
        backbone.trained.eval()
        with torch.no_grad():
            maps = backbone.maps(crops_of_both).mean(dim=(2, 3))
            log = torch.log_softmax(task.heads(maps), dim=1)
            expected = -(weights[0] * log[0, 0] + weights[1] * log[1, 1]) / sum(weights)
            assert torch.isclose(task.loss((crops_of_both, torch.tensor([0, 1])), False), expected, rtol=1e-5)


def test_an_epochs_batches_hold_every_training_crop_once_and_depend_on_seed_and_epoch_alone(crops, small, tmp_path):
    images = find_labelled_images(crops).images
    cut = LabelledCrops(tmp_path, images, "given", SIDE)
    cut.extract(1)
    backbone = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4)

    def epoch(number, seed):
        task = LabelledTask(backbone, cut, range(len(images)), LabelledOptions("given", 8), 10, seed=seed)
        batches = list(task.batches(number))
        assert len(batches) == task.steps
        return [torch.cat(parts) for parts in zip(*batches, strict=True)]

    n_of_class = [sum(image.code == code and image.part == "train" for image in images) for code in (5, 6)]
    (first, classes), (again, _), (other, _), (third, _) = epoch(3, 0), epoch(3, 0), epoch(4, 0), epoch(3, 1)
    assert torch.bincount(classes).tolist() == n_of_class
    assert torch.equal(first, again)
    assert not torch.equal(first, other) and not torch.equal(first, third)


def test_a_killed_run_ends_in_the_same_bytes(undisturbed, crops, small, tmp_path):
    class Killed(BaseException):
        pass

    def kill(what, done, whole, *_):
        if what == "learning" and done >= whole // 2:
            raise Killed

    out = tmp_path / undisturbed.path.name
    with pytest.raises(Killed):
        pretrained(crops, out, kill)
    pretrained(crops, out)
    assert out.read_bytes() == undisturbed.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_second_process_is_kept_out_of_the_work_folder(crops, small, tmp_path):
    work = tmp_path / "images.safetensors.unfinished"
    work.mkdir()
    with (
        lock_held(work, "pretrain") as holder,
        pytest.raises(BadInput, match=rf"`face-strnn pretrain` is at work in it \(process {holder.pid} on"),
    ):
        pretrained(crops, tmp_path / "images.safetensors")
    assert not (work / "checkpoint.pt").exists()


def test_frozen_blocks_keep_every_bit_and_batch_norm_its_statistics(crops, small, vgg_file, tmp_path):
    start = vgg_file("vgg11_bn")
    out = tmp_path / "taught.safetensors"
    options = ["--backbone", "vgg11_bn", "--weights", str(start), "--faces", "given", "--epochs", "1", "--blocks", "1"]
    assert main(["pretrain", "--images", str(crops), "--out", str(out), *options]) == 0
    before = torch.load(start, weights_only=True)
    after = {name: tensor.float() for name, tensor in load_file(out).items() if name.startswith("features")}
    changed = {int(name.split(".")[1]) for name in after if not torch.equal(before[name], after[name])}
    assert changed == {15, 16, 18, 19}, "the fourth block's convolutions and their scales"
    statistics = [name for name in before if "running" in name]
    assert statistics
    # Of the block that learns they are rounded as its weights are.
    rounded = {name: before[name].half().float() for name in statistics if ".16." in name or ".19." in name}
    assert all(torch.equal((before | rounded)[name], after[name]) for name in statistics if name in after)


def test_what_cannot_be_used_is_named_and_the_rest_goes_on(crops, small, tmp_path, capsys):
    root = tmp_path / "faces"
    shutil.copytree(crops, root)
    (root / "bored").mkdir()
    (root / "Happy" / "empty.png").touch()
    (root / "Happy" / "cut.png").write_bytes((root / "Happy" / "00.png").read_bytes()[:200])
    out = tmp_path / "new.safetensors"
    options = ["--backbone", "vgg16_thin_bn", "--faces", "given", "--epochs", "1", "--out", str(out)]
    for _ in range(2):  # the second time it reads what is there
        assert main(["pretrain", "--images", str(root), *options]) == 2
        said = capsys.readouterr()
        assert "bored: left out" in said.err
        assert "problems.csv" in said.err
        assert all(name in said.out for name in ("bored", "empty.png", "cut.png"))
    assert out.is_file()
    with (tmp_path / "new.safetensors.problems.csv").open(newline="") as file:
        named = {Path(row["path"]).name for row in csv.DictReader(file)}
    assert named == {"bored", "empty.png", "cut.png"}


def test_mtcnn_cuts_faces_out_of_whole_frames_and_what_shows_none_is_told(tmp_path):
    root = tmp_path / "frames"
    (root / "neutral").mkdir(parents=True)
    (root / "fear").mkdir()
    drawing = draw_face(sample_identity(np.random.default_rng(0)))
    cv2.imwrite(str(root / "neutral" / "face.png"), drawing.image)
    cv2.imwrite(str(root / "fear" / "wall.png"), np.full((200, 200), 120, np.uint8))
    images = find_labelled_images(root).images
    cut = LabelledCrops(tmp_path / "crops", images, "mtcnn", 112)
    cut.folder.mkdir()
    cut.extract(1)
    places, damaged, faceless = cut.outcomes()
    assert [images[place].path.name for place in places] == ["face.png"]
    assert [image.path.name for image in faceless] == ["wall.png"]
    assert not damaged
    crop = cut.batch(places)[0][0].numpy().astype(float)
    (x, y), half = _square(drawing)
    around = drawing.image[round(y - half) : round(y + half), round(x - half) : round(x + half)]
    by_truth = cv2.resize(around, (112, 112), interpolation=cv2.INTER_AREA).astype(float)
    squeezed = cv2.resize(drawing.image, (112, 112), interpolation=cv2.INTER_AREA).astype(float)
    alike, unlike = (
        np.corrcoef(crop[..., 0].ravel(), other.reshape(112, 112, -1)[..., 0].ravel())[0, 1]
        for other in (by_truth, squeezed)
    )
    assert alike > max(0.5, unlike + 0.3), "the crop is not the square around the landmarks"


def _square(drawing) -> tuple[np.ndarray, float]:
    """Middle and half side of the square that MTCNN's boxes give drawn faces, from the landmarks that were drawn."""
    pupils = drawing.landmarks[36:42].mean(axis=0), drawing.landmarks[42:48].mean(axis=0)
    scale = (pupils[1][0] - pupils[0][0]) / 104
    return sum(pupils) / 2 + scale * np.array(BOX_MIDDLE), scale * BOX_SIDE * 1.2 / 2


def test_too_few_images_for_three_parts_are_refused(tmp_path):
    root = tmp_path / "faces"
    for number, emotion in enumerate(("anger", "fear")):
        (root / emotion).mkdir(parents=True)
        cv2.imwrite(str(root / emotion / "0.png"), draw_person(0, "learning", number, 32).images[0])
    with pytest.raises(BadInput, match="of 2 usable images none is in the"):
        pretrained(root, tmp_path / "never.safetensors")
    assert not (tmp_path / "never.safetensors").exists()
