"""`predict` without a run: every frame by itself, by a classifier of single frames in a weights file, as that says."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from data_prep.backbones.architectures import feature_layers
from data_prep.backbones.backbone import load_backbone
from data_prep.backbones.head import Head
from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.preprocessing import PREPROCESSINGS
from data_prep.datasets.ckplus import read_ckplus
from data_prep.media.frames import frames_at
from data_prep.media.images import read_image
from face_strnn.cli.program import main
from face_strnn.prediction.frame_classifier import FrameClassifier
from face_strnn.prediction.recogniser import Method

CLASSES = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
PROBABILITIES = [f"p_{emotion}" for emotion in CLASSES]
SIZE = (320, 246)
BLANKS = 9


@pytest.fixture(scope="module")
def write_weights(tmp_path_factory):
    """Maker of a file of four blocks of a thin VGG16."""

    def write(head, data="fer2013"):
        path = tmp_path_factory.mktemp("weights") / "faces.safetensors"
        torch.manual_seed(0)
        layers = feature_layers("vgg16_thin_bn")[:34].eval()
        facts = {} if data is None else {"data": data}
        write_backbone(path, "vgg16_thin_bn", layers.state_dict(), PREPROCESSINGS["imagenet"], facts, 4, head)
        return path

    return write


@pytest.fixture(scope="module")
def head(write_weights, images):
    """A classifier that tells the frames of one face apart, though the network was never trained."""
    backbone = load_backbone(weights=str(write_weights(None)), maps="pool4")
    crops = [cv2.resize(image, (112, 112)) for image in images[:5]]
    means = backbone(torch.from_numpy(np.stack(crops))).float().mean((1, 2))
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(len(CLASSES), 256, generator=generator) / (8 * means.std(0) + 1e-4)
    return Head(weight, -weight @ means.mean(0), CLASSES, "pool4")


@pytest.fixture(scope="module")
def weights(write_weights, head):
    return write_weights(head)


@pytest.fixture(scope="module")
def images(synthetic):
    """A face that moves to the right in a changing light, then blank frames, then the face again."""
    paths = max(read_ckplus(synthetic).sequences, key=lambda sequence: len(sequence.frames)).frames
    small = [cv2.resize(read_image(path), SIZE) for path in paths]
    faces = [np.roll(image * (1 - 0.1 * n), 4 * n, 1).astype(np.uint8) for n, image in enumerate(small)]
    return [*faces, *[np.full_like(faces[0], 90)] * BLANKS, faces[-1]]


@pytest.fixture(scope="module")
def frames(images, tmp_path_factory):
    """The same as a folder of images, without loss."""
    folder = tmp_path_factory.mktemp("recording") / "frames"
    folder.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:02}.png"), image[..., ::-1])
    return folder


@pytest.fixture
def predict(weights, capsys, tmp_path):
    """Run `predict --json` without a run and return what it says, and its timeline."""

    def call(source, *options):
        capsys.readouterr()
        arguments = ["predict", "--weights", weights, "--json", "--out", tmp_path / "out", *options, source]
        assert main([str(argument) for argument in arguments]) == 0
        said = json.loads(capsys.readouterr().out)
        return said, pd.read_csv(said["timeline"])

    return call


@pytest.fixture
def refused(tmp_path, capsys):
    """Run `predict`, which must refuse its input in a line and write nothing; return what it says."""

    def call(*arguments):
        arguments = ["predict", "--out", tmp_path / "out", *arguments]
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert not printed.out and not (tmp_path / "out").exists() and printed.err.count("\n") == 1
        return printed.err

    return call


def square_of(image, left, top, right, bottom):
    """The pixels of a box's square with a fifth of margin, 112 x 112."""
    middle, side = np.array([left + right, top + bottom]) / 2, 1.2 * max(right - left, bottom - top)
    x, y = np.round(middle - side / 2).astype(int)
    padded = cv2.copyMakeBorder(image, 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    cut = padded[y + 200 : y + 200 + round(side), x + 200 : x + 200 + round(side)]
    return cv2.resize(cut, (112, 112), interpolation=cv2.INTER_AREA if round(side) > 112 else cv2.INTER_LINEAR)


def test_every_frame_has_the_probabilities_of_its_own_crop_alone(predict, frames, images, weights, head):
    said, table = predict(frames)
    seen = table.dropna(subset=["prediction"])
    n_faces = len(images) - BLANKS
    assert seen["frame"].tolist() == [*range(n_faces - 1), len(images) - 1] and said["frames_with_face"] == n_faces
    backbone = load_backbone(weights=str(weights), maps="pool4")
    for row in seen.to_dict("records"):
        crop = square_of(images[row["frame"]], *(row[edge] for edge in ("left", "top", "right", "bottom")))
        means = backbone(torch.from_numpy(crop[None])).double().mean((1, 2))
        expected = torch.softmax(means @ head.weight.double().T + head.bias.double(), 1)[0]
        # A crop of another margin or kind differs by 0.01 or more.
        np.testing.assert_allclose([row[name] for name in PROBABILITIES], expected, atol=1e-3)
    assert seen[PROBABILITIES].std().max() > 0.05, "frames differ, so that a mean over them would not pass"


def test_neutral_is_a_class_and_the_recording_has_the_mean_over_its_frames(predict, frames):
    said, table = predict(frames)
    assert list(said["probabilities"]) == list(CLASSES) and said["basis"] == "mean"
    seen = table.dropna(subset=["prediction"])
    np.testing.assert_allclose(list(said["probabilities"].values()), seen[PROBABILITIES].mean(), atol=1e-6)
    assert said["emotion"] == max(CLASSES, key=said["probabilities"].get)
    assert said["segment"] == [0, len(seen) - 2]
    best = seen.loc[seen[PROBABILITIES].max(axis=1).idxmax()]
    assert (said["peak"]["frame"], said["peak"]["emotion"]) == (best["frame"], best["prediction"])


def test_a_frame_does_not_depend_on_those_around_it(predict, images, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name, shown in (("one", images[:1]), ("two", [images[0], images[2]])):
        for number, image in enumerate(shown):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image[..., ::-1])
    rows = [predict(tmp_path / name)[1].loc[0, PROBABILITIES].tolist() for name in ("one", "two")]
    assert rows[0] == rows[1]


def test_a_video_has_the_probabilities_of_the_folder_of_its_frames(predict, images, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, SIZE)
    for image in images:
        writer.write(image[..., ::-1].copy())
    writer.release()
    (tmp_path / "decoded").mkdir()
    for number, frame in enumerate(frames_at(tmp_path / "clip.mp4")):
        cv2.imwrite(str(tmp_path / "decoded" / f"{number:02}.png"), frame.image[..., ::-1])
    _, of_video = predict(tmp_path / "clip.mp4")
    _, of_folder = predict(tmp_path / "decoded")
    assert of_video["seconds"].notna().all() and of_folder["seconds"].isna().all()
    pd.testing.assert_frame_equal(of_video.drop(columns="seconds"), of_folder.drop(columns="seconds"))


def test_everything_says_that_it_is_the_baseline_and_what_it_was_trained_on(weights, frames, tmp_path, capsys):
    capsys.readouterr()
    options = ["--weights", weights, "--out", tmp_path / "out", "--annotate", tmp_path / "shown.mp4", frames]
    assert main([str(argument) for argument in ["predict", *options]]) == 0
    said = capsys.readouterr().out
    assert "frame-wise baseline, not the STRNN: every frame is classified by itself; trained on fer2013" in said
    assert "neutral" in said and "mean over" in said
    table = pd.read_csv(tmp_path / "out" / "timeline.csv").dropna(subset=["prediction"])
    assert set(table["method"]) == {"frame-wise"} and set(table["trained_on"]) == {"fer2013"}
    assert (tmp_path / "out" / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert next(frames_at(tmp_path / "shown.mp4")).image.shape[1] > SIZE[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [(None, "faces.safetensors"), (" \n", "faces.safetensors"), ("x" * 99, "x" * 57 + "...")],
)
def test_the_data_is_named_as_the_header_has_it_else_by_the_weights(write_weights, head, data, said):
    classifier = FrameClassifier.of_weights(str(write_weights(head, data)))
    assert classifier.method == Method("frame-wise", said, models=1)


def test_a_name_of_the_data_is_no_markup(write_weights, frames, head, tmp_path, capsys):
    weights = write_weights(head, "[/b]a\n$b_$\0")
    options = ["--weights", weights, "--out", tmp_path, "--annotate", tmp_path / "a.mp4", frames]
    assert main([str(argument) for argument in ["predict", *options]]) == 0
    assert "trained on [/b]a $b_$?" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "timeline.csv")["trained_on"].dropna().unique().tolist() == ["[/b]a $b_$?"]


def test_options_of_one_method_are_refused_with_the_other(refused, weights, frames):
    said = refused("--run", "runs/first", "--weights", weights, frames)
    assert f"--weights {weights}: is for the frame-wise baseline, and --run for a run's models; omit one" in said
    for option, value in (("--window", "24"), ("--hop", "0.2s"), ("--weights-file", str(weights))):
        said = refused(option, value, frames)
        assert f"{option} {value}: needs --run; without it every frame is classified by itself" in said


def test_weights_without_a_classifier_are_refused(refused, write_weights, vgg_file, frames):
    for given in (write_weights(None), vgg_file(), "imagenet"):
        said = refused("--weights", given, frames)
        assert f"weights {given}: hold no classifier of single frames; give --weights faces or a file that" in said
    assert "absent.pth: no such weights file" in refused("--weights", "absent.pth", frames)


def test_a_classifier_whose_values_are_too_large_is_refused(write_weights, frames, tmp_path, capsys):
    edited = write_weights(Head(torch.full((2, 256), 3e38), torch.zeros(2), ("neutral", "fear"), "pool4"))
    assert main(["predict", "--weights", str(edited), "--out", str(tmp_path / "out"), str(frames)]) == 2
    assert f"weights {edited}: their classifier gives no probabilities" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("classes", "maps", "said"),
    [
        (("neutral", "boredom"), "pool4", "their classifier names 'boredom', which is no emotion"),
        (("neutral", "fear"), "pool1", "their classifier names pool1, maps that no backbone gives"),
        (("neutral", "fear"), "pool5", "have 4 blocks"),
        (("neutral", "fear", "anger"), "pool4", "its head does not fit"),
    ],
)
def test_a_classifier_that_cannot_be_used_is_refused(refused, weights, frames, tmp_path, classes, maps, said):
    channels = 32 if maps == "pool1" else 256
    tensors = {**load_file(weights), "head.weight": torch.zeros(2, channels), "head.bias": torch.zeros(2)}
    edited = tmp_path / "edited.safetensors"
    numbers = {"scale": "1.0", "mean": "[0.0, 0.0, 0.0]", "std": "[1.0, 1.0, 1.0]", "channels": "RGB"}
    header = {"face_strnn": "backbone", "architecture": "vgg16_thin_bn", "blocks": "4", **numbers}
    save_file(tensors, edited, {**header, "head": json.dumps({"classes": classes, "maps": maps})})
    found = refused("--weights", edited, frames)
    assert "edited.safetensors" in found and said in found
