"""`predict` from a recording to its timeline, through the program, on drawn faces: what is written holds together."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from small_network import SMALL_NETWORK

from data_prep.datasets.ckplus import read_ckplus
from data_prep.datasets.emotions import EMOTIONS
from data_prep.media.frames import frames_at
from data_prep.media.images import read_image
from data_prep.store.store import FeatureStore
from face_strnn import STRNN
from face_strnn.cli.program import main
from face_strnn.prediction.ensemble import HOP, WINDOW, Ensemble
from face_strnn.prediction.predict import predict as predict_emotion

PROBABILITIES = [f"p_{emotion}" for emotion in EMOTIONS]
SIZE = (320, 246)


@pytest.fixture(scope="module")
def drawn(synthetic):
    """The frames of one sequence, small."""
    longest = max(read_ckplus(synthetic).sequences, key=lambda sequence: len(sequence.frames))
    return [cv2.resize(read_image(path), SIZE) for path in longest.frames]


@pytest.fixture
def film(drawn, tmp_path):
    """Maker of a video: a letter per frame, ``f`` with the face, ``.`` without."""

    def write(shots, name="clip.mp4", rate=25):
        path = tmp_path / name
        codec = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
        writer = cv2.VideoWriter(str(path), codec, rate, SIZE)
        there_and_back = [*drawn, *drawn[-2:0:-1]]
        for number, shot in enumerate(shots):
            image = there_and_back[number % len(there_and_back)] if shot == "f" else np.full_like(drawn[0], 90)
            writer.write(image[..., ::-1].copy())
        writer.release()
        return path

    return write


@pytest.fixture
def predict(run, vgg_file, capsys):
    """Run `predict --json` and return what it says, its timeline too."""

    def call(source, *options):
        capsys.readouterr()
        arguments = ["predict", "--run", run, "--weights-file", vgg_file(), "--json", *options, source]
        assert main([str(argument) for argument in arguments]) == 0
        said = json.loads(capsys.readouterr().out)
        return said, pd.read_csv(said["timeline"])

    return call


@pytest.fixture
def maps_of(vgg_file, tmp_path):
    """Maker of a video's maps by `prepare`."""

    def make(clip):
        manifest = clip.with_name("manifest.csv")
        manifest.write_text(f"subject,sequence,emotion,path\nS1,1,anger,{clip.name}\n")
        options = ["--backbone", "vgg11", "--weights", str(vgg_file()), "--maps", "pool4", "--rotations", "[]"]
        out = tmp_path / "features"
        assert main(["prepare", "--dataset", "manifest", "--root", str(manifest), "--out", str(out), *options]) == 0
        store = FeatureStore.open(out)
        (entry,) = store.entries()
        return store.maps(entry)

    return make


def answers_of(run, maps):
    models = [STRNN.load(run / "checkpoints" / f"fold-{fold:02d}.safetensors") for fold in (1, 2)]
    return (sum(model.logits_of_sequences([maps]).double().softmax(1)[0] for model in models) / 2).tolist()


def test_a_short_clip_is_answered_as_a_test_sequence_is(predict, run, film, maps_of):
    clip = film("f" * 14)
    said, table = predict(clip)
    expected = answers_of(run, maps_of(clip))
    assert said["basis"] == "whole" and said["segment"] == [0, 13]
    assert [said["probabilities"][emotion] for emotion in EMOTIONS] == pytest.approx(expected, abs=1e-4)
    assert np.allclose(table[PROBABILITIES], np.array(expected), atol=1e-4), "one window: one answer"


def test_the_whole_answer_of_a_clip_longer_than_a_window_is_that_of_all_its_frames(predict, run, film, maps_of):
    clip = film("f" * 20)
    said, table = predict(clip, "--window", "6", "--hop", "3")
    expected = answers_of(run, maps_of(clip))
    assert said["basis"] == "whole"
    assert [said["probabilities"][emotion] for emotion in EMOTIONS] == pytest.approx(expected, abs=1e-4)
    assert table[PROBABILITIES].nunique().min() > 1, "the answers of windows differ"


def test_the_timeline_has_a_row_per_frame_and_gaps_where_no_face_is(predict, film):
    said, table = predict(film("." * 9 + "f" * 12 + "." * 10 + "f" * 5), "--window", "0.2s", "--hop", "3")
    assert table["frame"].tolist() == list(range(36))
    assert np.allclose(table["seconds"], np.arange(36) / 25, atol=2e-3)
    seen = [*range(9, 21), *range(31, 36)]
    answered = table.dropna(subset=["prediction"])
    assert answered["frame"].tolist() == seen and said["frames_with_face"] == len(seen)
    empty = table.drop(index=seen)
    assert empty.drop(columns=["frame", "seconds"]).isna().all(axis=None)
    assert not answered.isna().any(axis=None)
    assert np.allclose(answered[PROBABILITIES].sum(axis=1), 1, atol=1e-5)
    largest = answered[PROBABILITIES].idxmax(axis=1).str.removeprefix("p_")
    assert (largest == answered["prediction"]).all()
    assert set(answered["method"]) == {"strnn"} == {said["method"]}
    assert set(answered["trained_on"]) == {"synthetic"} == {said["data"]}
    width, height = answered["right"] - answered["left"], answered["bottom"] - answered["top"]
    assert width.between(40, SIZE[0]).all() and height.between(40, SIZE[1]).all()
    assert answered["confidence"].between(0.9, 1).all()
    assert said["segment"] == [9, 20] and said["peak"]["frame"] in seen
    assert said["peak"]["probability"] == pytest.approx(answered[PROBABILITIES].max(axis=None), abs=1e-5)


def test_the_probabilities_of_a_long_recording_are_the_mean_of_its_timeline(run, vgg_file, film):
    clip = film("f" * 16 + "." * 8 + "f" * 5)
    ensemble = replace(Ensemble.of_run(run, str(vgg_file()), window="6", hop="3"), whole_frames=15)
    found = predict_emotion(ensemble, clip)
    assert found.basis == "mean" and found.emotion == max(EMOTIONS, key=found.probabilities.get)
    assert found.segment == (0, 15)
    means = pd.read_csv(found.timeline)[PROBABILITIES].mean()
    assert [found.probabilities[emotion] for emotion in EMOTIONS] == pytest.approx(means.tolist(), abs=1e-5)
    assert predict_emotion(replace(ensemble, whole_frames=16), clip).basis == "whole"


def test_files_stand_beside_the_source_under_its_name_or_in_the_folder_asked_for(predict, film, drawn, tmp_path):
    clip = film("fff")
    said, _ = predict(clip)
    assert [said["timeline"], said["figure"]] == [f"{clip}.timeline.csv", f"{clip}.timeline.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clip.mp4", "clip.mp4.timeline.csv", "clip.mp4.timeline.png"
    ]  # fmt: skip
    said, _ = predict(clip, "--out", tmp_path / "new" / "out")
    assert said["timeline"] == str(tmp_path / "new" / "out" / "timeline.csv")
    assert (tmp_path / "new" / "out" / "timeline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name", ["cost $5_$6.mp4", r"a$\frac{1}{2$ 5% <b>{{x}}.mp4", b"caf\xe9.mp4".decode("utf-8", "replace")]
)
def test_a_recordings_name_is_no_markup(predict, film, tmp_path, name):
    said, _ = predict(film("fff", name), "--out", tmp_path / "out")
    assert said["source"].endswith(name) and said["problems"] == []
    assert (tmp_path / "out" / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_is_there_where_a_picture_or_the_video_cannot_be_written(run, vgg_file, film, tmp_path, capsys):
    clip, out = film("f" * 6), tmp_path / "out"
    for name in ("timeline.png", "shown.mp4"):
        (out / name / "in the way").mkdir(parents=True)
    options = ["--out", str(out), "--annotate", str(out / "shown.mp4"), "--json", str(clip)]
    assert main(["predict", "--run", str(run), "--weights-file", str(vgg_file()), *options]) == 2
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["figure"] is None and said["annotated"] is None and len(said["problems"]) == 2
    for name, problem in zip(("shown.mp4", "timeline.png"), said["problems"], strict=True):
        assert f"{out / name}: cannot be written (Is a directory); remove what is in its place" in problem
        assert problem in printed.err
    table = pd.read_csv(out / "timeline.csv")
    assert len(table) == said["frames"] == 6 and not table["prediction"].isna().any()
    assert sorted(path.name for path in out.iterdir()) == ["shown.mp4", "timeline.csv", "timeline.png"]


def test_a_folder_of_frames_has_numbers_and_no_times(predict, drawn, tmp_path):
    (tmp_path / "frames").mkdir()
    for number, image in enumerate(drawn):
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), image[..., ::-1])
    said, table = predict(tmp_path / "frames", "--annotate", tmp_path / "a.mp4")
    assert table["seconds"].isna().all() and table["frame"].tolist() == list(range(len(drawn)))
    assert said["peak"]["seconds"] is None
    assert len(list(frames_at(tmp_path / "a.mp4"))) == len(drawn)


def test_the_annotated_video_has_the_frames_of_the_recording_and_shows_more(predict, film, tmp_path):
    clip = film("f" * 10 + "." * 7 + "fff", rate=24)
    said, _ = predict(clip, "--annotate", tmp_path / "shown.mp4")
    assert said["annotated"] == str(tmp_path / "shown.mp4")
    theirs, ours = list(frames_at(clip)), list(frames_at(tmp_path / "shown.mp4"))
    assert len(ours) == len(theirs) == 20
    assert np.allclose([frame.seconds for frame in ours], [frame.seconds for frame in theirs], atol=5e-3)
    assert ours[0].image.shape[1] > SIZE[0]
    # Encoded once more, a frame without a face is still itself.
    assert np.abs(ours[13].image[: SIZE[1], : SIZE[0]].astype(int) - theirs[13].image).mean() < 4
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


def test_a_recording_that_was_held_sideways_is_seen_upright(predict, film, drawn, tmp_path):
    """A phone stores the frames lying on their side, and in the file's header how to turn them."""
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, SIZE[::-1])
    for image in drawn:
        writer.write(np.rot90(image[..., ::-1]).copy())  # counter-clockwise
    writer.release()
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    said, table = predict(tmp_path / "a.mp4", "--annotate", tmp_path / "b.mp4")
    assert said["frames_with_face"] == len(drawn)
    _, upright = predict(film("f" * len(drawn)))
    edges = ["left", "top", "right", "bottom"]
    assert np.abs(table[edges] - upright[edges]).max(axis=None) < 6
    assert next(frames_at(tmp_path / "b.mp4")).image.shape[0] == SIZE[1]


def test_only_so_many_seconds_are_taken(predict, film):
    said, table = predict(film("f" * 20, rate=10), "--seconds", "0.8")
    assert table["seconds"].tolist() == pytest.approx(np.arange(8) / 10, abs=2e-3)
    assert said["frames"] == 8 and said["stopped"] is False


def test_what_is_printed_names_emotion_peak_and_files(run, vgg_file, film, tmp_path, capsys):
    arguments = ["predict", "--run", run, "--weights-file", vgg_file(), "--out", tmp_path / "out", film("f" * 8)]
    assert main([str(argument) for argument in arguments]) == 0
    said = capsys.readouterr().out
    assert "frames 0 to 7 as one sequence" in said and "surest at 0." in said
    assert "8 frames, 8 with a face; " in said
    assert "STRNN: 2 models averaged; trained on synthetic faces: no evidence about real ones" in said
    assert str(tmp_path / "out" / "timeline.csv") in said and str(tmp_path / "out" / "timeline.png") in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "soon"], "--window soon: give seconds, such as 1.2s, or a number of frames"),
        (["--window", "4", "--hop", "5"], "--hop 5 frames: longer than the window, 4 frames"),
        (["--seconds", "0"], "--seconds 0.0: give a number above 0"),
        (["--annotate", "SOURCE"], "is the recording itself; give another name"),
        (["--annotate", "a.gif"], "--annotate a.gif: the video is written as MP4"),
        (["--out", "SOURCE"], "cannot be made"),
        (["--device", "cuda"], "--device cuda: PyTorch finds no GPU"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_nothing_is_written(
    run, vgg_file, film, tmp_path, capsys, options, said
):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    clip = film("fff")
    before = clip.read_bytes()
    options = [str(clip) if option == "SOURCE" else option for option in options]
    assert main(["predict", "--run", str(run), "--weights-file", str(vgg_file()), *options, str(clip)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and not printed.out
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"] and clip.read_bytes() == before


def test_a_recording_without_a_face_is_refused_and_leaves_nothing(run, vgg_file, film, tmp_path, capsys):
    clip = film("." * 8)
    options = ["--annotate", str(tmp_path / "a.mp4"), str(clip)]
    assert main(["predict", "--run", str(run), "--weights-file", str(vgg_file()), *options]) == 2
    assert "clip.mp4: no frame shows a face" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_help_says_how_long_windows_are_by_default(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "-h"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"24 frames or {WINDOW}, the default" in said and f"to the next, by default {HOP}" in said


def test_an_absent_camera_is_named(run, vgg_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--run", str(run), "--weights-file", str(vgg_file()), "97"]) == 2
    printed = capsys.readouterr()
    assert "camera 97: there is none" in printed.err and not list(tmp_path.iterdir())


def test_models_of_different_sizes_are_refused(run, own_copy, vgg_file, film, capsys):
    other = STRNN(**{**SMALL_NETWORK, "spatial_hidden": 7})
    checkpoint = own_copy / "checkpoints" / "fold-02.safetensors"
    other.save(checkpoint, **STRNN.load(checkpoint).facts)
    assert main(["predict", "--run", str(own_copy), "--weights-file", str(vgg_file()), str(film("fff"))]) == 2
    assert "fold-02.safetensors: has other sizes than fold-01.safetensors" in capsys.readouterr().err


def test_a_run_over_images_that_were_given_as_crops_is_refused(own_copy, vgg_file, film, capsys):
    summary = json.loads((own_copy / "summary.json").read_text())
    summary["features"]["crop"] = {"detector": "given", "pixels": 112}
    (own_copy / "summary.json").write_text(json.dumps(summary))
    assert main(["predict", "--run", str(own_copy), "--weights-file", str(vgg_file()), str(film("fff"))]) == 2
    said = capsys.readouterr().err
    assert "its features are of images that were given as crops" in said and "not a finished run" not in said


@pytest.fixture
def own_copy(run, tmp_path_factory):
    return shutil.copytree(run, tmp_path_factory.mktemp("own") / "run")


def test_ctrl_c_ends_the_recording_and_writes_what_was_seen(run, vgg_file, film, tmp_path):
    clip = film("f" * 600)
    arguments = ["predict", "--run", run, "--weights-file", vgg_file(), "--json", "--out", tmp_path / "out", clip]
    command = [sys.executable, "-m", "face_strnn.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not any(path.stat().st_size > 1000 for path in tmp_path.glob("out/.timeline.csv*")):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    said = json.loads(out)
    table = pd.read_csv(said["timeline"])
    assert said["stopped"] and 0 < said["frames"] == len(table) < 600
    assert table["frame"].tolist() == list(range(len(table))) and not table["prediction"].isna().any()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["timeline.csv", "timeline.png"]
