"""Pretraining on a folder of labelled images: what is taken, what is named and left out, what is held out."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lock_holder import lock_held
from safetensors import safe_open
from safetensors.torch import load_file

from data_prep.backbones.backbone import PIXELS_PER_CELL
from data_prep.backbones.split import split_backbone
from data_prep.errors import BadInput
from data_prep.pretraining.labelled import pretrain_on_images
from data_prep.pretraining.labelled_crops import LabelledCrops
from data_prep.pretraining.labelled_images import LabelledImage, digest_of, find_labelled_images
from data_prep.pretraining.learning import PretrainingOptions
from data_prep.pretraining.synthetic_people import draw_person
from data_prep.synthetic.face import draw_face
from data_prep.synthetic.identity import sample_identity
from data_prep.synthetic.places import BOX_MIDDLE, BOX_SIDE
from face_strnn.cli.program import main

SIDE = 35


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
    return pretrain_on_images(backbone, out, root, PretrainingOptions(8, rate=1e-3, seed=1), "given", progress=progress)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, crops):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PIXELS_PER_CELL, "pool4", SIDE // 7)
        return pretrained(crops, tmp_path_factory.mktemp("pretrained") / "images.safetensors")


def test_spellings_of_emotions_are_understood_and_all_images_are_dealt_to_three_parts(crops):
    images, problems = find_labelled_images(crops)
    assert not problems
    assert {(image.path.parent.name, image.code) for image in images} == {("Happy", 5), ("SA", 6)}
    assert {image.part for image in images} == {"learning", "choosing", "held-out"}


def test_copies_of_an_image_are_on_one_side_whatever_they_are_called(crops, tmp_path):
    root = tmp_path / "copies"
    shutil.copytree(crops, root)
    for path in list(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"zz-{path.name}"))
    part_of: dict[str, set[str]] = {}
    for image in find_labelled_images(root)[0]:
        part_of.setdefault(image.sha256, set()).add(image.part)
    assert len(part_of) == 60
    assert all(len(parts) == 1 for parts in part_of.values())
    originals = {image.path.name: image.part for image in find_labelled_images(crops)[0] if image.code == 5}
    copied = {image.path.name: image.part for image in find_labelled_images(root)[0] if image.code == 5}
    assert {name: copied[f"zz-{name}"] for name in originals} == originals


def test_parts_have_about_their_shares():
    images = [LabelledImage(Path(), 0, digest_of([LabelledImage(Path(), n, "")])) for n in range(4000)]
    shares = {part: np.mean([image.part == part for image in images]) for part in ("held-out", "choosing")}
    assert all(abs(share - 0.1) < 0.02 for share in shares.values())


def test_an_easy_task_is_learned_and_the_held_out_accuracy_says_so(undisturbed):
    assert sum(undisturbed.images.values()) == 60
    assert undisturbed.classes == ["happiness", "sadness"]
    assert undisturbed.accuracy == 1.0
    assert undisturbed.problems_table is None
    with safe_open(undisturbed.path, "pt") as file:
        assert file.metadata()["architecture"] == "vgg16_thin_bn"


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
    before, after = torch.load(start, weights_only=True), load_file(out)
    changed = {int(name.split(".")[1]) for name in after if not torch.equal(before[name], after[name])}
    assert changed == {15, 16, 18, 19}, "the fourth block's convolutions and their scales"
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)


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
        assert "empty.png: is empty" in said.err
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
    images, _ = find_labelled_images(root)
    cut = LabelledCrops(tmp_path / "crops", images, "mtcnn", 112)
    cut.folder.mkdir()
    cut.extract(1, lambda _: None)
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


@pytest.mark.parametrize(
    ("emotions", "said"),
    [([], "holds no image"), (["anger"], "a second class"), (["anger", "fear"], "too few to hold a tenth out")],
)
def test_too_little_to_learn_from_is_refused(emotions, said, tmp_path):
    root = tmp_path / "faces"
    root.mkdir()
    for number, emotion in enumerate(emotions):
        (root / emotion).mkdir()
        cv2.imwrite(str(root / emotion / "0.png"), draw_person(0, "learning", number, 32).images[0])
    with pytest.raises(BadInput, match=said):
        pretrained(root, tmp_path / "never.safetensors")
    assert not (tmp_path / "never.safetensors").exists()
