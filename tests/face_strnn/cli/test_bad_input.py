"""Bad input through the command line: status 2, a line or two that name the file and a remedy, nothing half-written."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from log_lines import without_log
from runs import cross_validated
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main


@pytest.fixture
def refused(capsys):
    """Run the program, make sure that it refuses its input in a line or two, and return what it says."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr().err
        assert status == 2, said
        # A handful of drawn subjects does not show every emotion, which is said beforehand.
        error = [line for line in without_log(said) if ": warning: " not in line]
        assert 1 <= len(error) <= 2, said
        assert "Traceback" not in said
        return said

    return run


@pytest.fixture
def copy(synthetic, tmp_path):
    """A copy of three subjects of the data set, free to be damaged."""
    root = tmp_path / "ck"
    for subject in ("S005", "S010", "S011"):
        for folder in ("cohn-kanade-images", "Emotion"):
            shutil.copytree(synthetic / folder / subject, root / folder / subject)
    shutil.copy(synthetic / "SYNTHETIC.txt", root)
    return root


@pytest.fixture
def prepare_copy(copy, vgg_file, tmp_path):
    options = ["--backbone", "vgg11", "--weights", vgg_file(), "--maps", "pool4", "--rotations", "[]"]
    return ["prepare", "--root", copy, "--out", tmp_path / "features", *options]


@pytest.fixture
def own_run(run, tmp_path):
    return shutil.copytree(run, tmp_path / "own-run")


@pytest.fixture
def own_store(features, tmp_path):
    return FeatureStore.open(shutil.copytree(features, tmp_path / "own-features")).folder


def assert_no_halves(folder):
    assert not [path for path in folder.rglob("*") if "unfinished" in path.name or path.name.endswith(".part")]


def emotion_file(root, subject):
    return sorted((root / "Emotion" / subject).rglob("*_emotion.txt"))[0]


@pytest.mark.parametrize("command", ["check", "prepare"])
def test_a_folder_that_is_no_copy_of_ckplus(refused, tmp_path, command):
    (tmp_path / "photos").mkdir()
    rest = ["--out", tmp_path / "out"] if command == "prepare" else []
    said = refused(command, "--root", tmp_path / "photos", *rest)
    assert "photos: not a copy of CK+" in said and "--root takes the folder that holds" in said
    said = refused(command, "--root", tmp_path / "absent", *rest)
    assert "absent: no such folder" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_an_image_that_cannot_be_decoded(refused, copy, prepare_copy, tmp_path, capsys, synthetic_list, damage):
    image = sorted((copy / "cohn-kanade-images" / "S010").rglob("*.png"))[1]
    data = image.read_bytes()
    image.write_bytes({"text": b"no image", "empty": b"", "cut": data[: len(data) // 3]}[damage])
    said = refused(*prepare_copy, "--strict")
    assert str(image) in said and "restore" in said
    assert_no_halves(tmp_path)
    made = {file.name for file in (tmp_path / "features").rglob("*.safetensors")}
    damaged = f"{image.parent.parent.name}_{image.parent.name}_rot+00.safetensors"
    # Sequences overlap: one that comes after it may be done as well.
    assert "S005_001_rot+00.safetensors" in made and damaged not in made, "what came before it is whole and kept"
    status = main(["check", "--root", str(copy)])
    said = capsys.readouterr()
    assert status == 2 and str(image) in said.out and "1 problems (1 unreadable)" in said.err


def test_frames_of_different_sizes(refused, copy, prepare_copy):
    image = sorted((copy / "cohn-kanade-images" / "S005").rglob("*.png"))[1]
    cv2.imwrite(str(image), cv2.resize(cv2.imread(str(image)), (320, 240)))
    said = refused(*prepare_copy)
    assert "S005/001: its frames differ in size" in said and "320 x 240" in said


@pytest.mark.parametrize("text", ["happy", "   9.0000000e+00\n"])
def test_an_emotion_file_that_holds_no_emotion(refused, copy, prepare_copy, tmp_path, text):
    file = emotion_file(copy, "S010")
    file.write_text(text)
    for command in ([*prepare_copy, "--strict"], ["check", "--root", copy]):
        said = refused(*command)
        assert "ck" in said
        if command[0] == "prepare":
            assert file.name in said and text.strip() in said and "restore" in said
    assert not (tmp_path / "features").exists()


def test_check_lists_every_problem(copy, capsys, synthetic_list):
    for subject in ("S005", "S010"):
        emotion_file(copy, subject).write_text("happy")
    assert main(["check", "--root", str(copy)]) == 2
    said = capsys.readouterr()
    assert "2 problems (2 unreadable), listed above" in said.err
    listed = [line for line in said.out.splitlines() if "unreadable" in line]
    assert len(listed) == 2 and "S005_001" in listed[0] and "S010_002" in listed[1]


def test_a_weights_file_that_is_missing_or_of_another_network(refused, copy, prepare_copy, tmp_path, vgg_file):
    base = ["prepare", "--root", copy, "--out", tmp_path / "features", "--maps", "pool4", "--rotations", "[]"]
    said = refused(*base, "--backbone", "vgg11", "--weights", tmp_path / "absent.pth")
    assert "absent.pth: no such weights file" in said and "--weights imagenet" in said
    said = refused(*base, "--backbone", "vgg13", "--weights", vgg_file())
    assert "vgg11-0.pth" in said and "--backbone" in said
    said = refused(*base, "--backbone", "alexnet", "--weights", vgg_file())
    assert "alexnet" in said and "vgg16" in said
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("rotations", ["[0]", "[7,7]"])
def test_rotations_that_would_be_made_twice_are_refused_or_made_once(prepare_copy, tmp_path, capsys, rotations):
    status = main([str(argument) for argument in [*prepare_copy[:-1], rotations]])
    said = " ".join(capsys.readouterr().out.split())
    made = len(list((tmp_path / "features").rglob("*.safetensors")))
    assert status == 2 or f"{made} files computed, 0 kept" in said


def test_a_margin_that_leaves_no_crop(refused, prepare_copy, tmp_path):
    said = refused(*prepare_copy, "--margin", "-1.5")
    assert "margin" in said
    assert not list(tmp_path.glob("features/*/*.safetensors"))


def test_a_feature_store_that_is_missing_empty_or_renamed(refused, cv_options, own_store, tmp_path):
    options = cv_options[2:]
    out = tmp_path / "run"
    said = refused("cv", "--features", tmp_path / "absent", "--out", out, *options)
    assert "absent: no such folder" in said and "face-strnn prepare" in said
    renamed = own_store.rename(own_store.with_name("features-of-mine"))
    said = refused("cv", "--features", renamed, "--out", out, *options)
    assert "features-of-mine" in said and "prepare" in said
    assert not out.exists()


def test_a_file_of_a_feature_store_of_another_fingerprint(refused, cv_options, own_store, tmp_path):
    file = own_store / "S010_002_rot+00.safetensors"
    with safe_open(file, framework="pt") as content:
        header, maps = {**content.metadata(), "fingerprint": "0123456789ab"}, content.get_tensor("maps")
    save_file({"maps": maps}, file, header)
    said = refused("cv", "--features", own_store, "--out", tmp_path / "run", *cv_options[2:])
    assert file.name in said and "0123456789ab" in said and "prepare" in said
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_a_damaged_file_of_a_feature_store(refused, cv_options, own_store, tmp_path, damage):
    file = own_store / "S010_002_rot+00.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        with safe_open(file, framework="pt") as content:
            header, maps = content.metadata(), content.get_tensor("maps").clone()
        maps[0, 0, 0, 0] = float("nan")
        save_file({"maps": maps}, file, header)
    said = refused("cv", "--features", own_store, "--out", tmp_path / "run", *cv_options[2:])
    assert file.name in said and "prepare" in said
    assert_no_halves(tmp_path / "run")


def test_an_unfinished_feature_store(refused, cv_options, own_store, tmp_path):
    (own_store / "S010_002_rot+07.safetensors").unlink()
    said = refused("cv", "--features", own_store, "--out", tmp_path / "run", *cv_options[2:])
    assert "S010_002_rot+07.safetensors removed from it" in said and "prepare" in said
    FeatureStore.open(own_store).complete()
    said = refused("cv", "--features", own_store, "--out", tmp_path / "run", *cv_options[2:])
    assert "S010_002 lacks the variants +7" in said and "prepare" in said


def test_fewer_subjects_than_folds(refused, cv_options, tmp_path):
    said = refused("cv", *cv_options, "--folds", "7", "--out", tmp_path / "run")
    assert "6 subjects are fewer than 7 folds" in said and "--folds" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--network.input_size", "256", "input_size"),
        ("--network.grid", "[14,14]", "grid"),
        ("--network.n_classes", "6", "n_classes"),
        ("--network.spatial_hidden", "0", "spatial_hidden"),
        ("--training.learning_rate", "-1", "learning_rate"),
        ("--epochs", "0", "epochs"),
        ("--folds", "1", "folds"),
    ],
)
def test_settings_that_cannot_be(refused, cv_options, tmp_path, option, value, named):
    said = refused("cv", *cv_options, option, value, "--out", tmp_path / "run")
    assert named in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["cv", "--features", "f", "--out", "OUT", "--epoch_count", "3"], "--epoch_count"),
        (["train"], "train"),
        ([], "subcommand"),
        (["cv", "--features", "f"], "out"),
        (["report"], "run"),
        (["cv", "--features", "f", "--out", "OUT", "--seed", "first"], "seed"),
        (["cv", "--features", "f", "--out", "OUT", "--protocol", "random"], "protocol"),
        (["cv", "--features", "f", "--out", "OUT", "--network.activation", "tanh"], "activation"),
        (["cv", "--features", "f", "--out", "OUT", "--training.interpolation", "cubic"], "interpolation"),
        (["cv", "--features", "f", "--out", "OUT", "--config", "absent.yaml"], "absent.yaml"),
        (["cv", "--features", "f", "--out", "OUT", "--config", "CONFIG"], "epoch_count"),
        (["prepare", "--root", "r", "--out", "OUT", "--rotations", "[seven]"], "rotations"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else None,
)
def test_what_cannot_be_understood_is_named(refused, tmp_path, arguments, named):
    (tmp_path / "c.yaml").write_text("training: {epoch_count: 3}\n")
    places = {"OUT": tmp_path / "out", "CONFIG": tmp_path / "c.yaml"}
    assert named in refused(*[places.get(argument, argument) for argument in arguments])
    assert not (tmp_path / "out").exists()


def test_a_run_folder_with_other_settings(refused, cv_options, own_run):
    before = {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()}
    said = refused("cv", *cv_options, "--epochs", "4", "--seed", "5", "--out", own_run)
    assert "config.yaml: this run was made with training.epochs 3 (now 4); give another --out" in said
    said = refused("cv", *cv_options, "--epochs", "3", "--seed", "6", "--out", own_run)
    assert "made with seed 5 (now 6)" in said
    assert {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()} == before


def test_an_out_that_is_no_run_folder(refused, cv_options, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("draft")
    said = refused("cv", *cv_options, "--out", tmp_path / "thesis")
    assert "thesis: exists and is no run folder; give another --out" in said
    assert "chapter1.txt" in refused("cv", *cv_options, "--out", tmp_path / "thesis" / "chapter1.txt")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.txt"]


@pytest.mark.parametrize("content", ["{", "- 1\n- 2\n", "", "\x00\x01"], ids=["torn", "list", "empty", "binary"])
def test_a_damaged_configuration_in_a_run_folder(refused, cv_options, own_run, content):
    (own_run / "config.yaml").write_text(content)
    said = refused("cv", *cv_options, "--epochs", "3", "--seed", "5", "--out", own_run)
    assert "config.yaml" in said


def test_a_damaged_training_state(refused, cv_options, run_config, features, own_run):
    def interrupt(*_):
        raise KeyboardInterrupt

    (own_run / "checkpoints" / "fold-01.safetensors").unlink()
    with pytest.raises(KeyboardInterrupt):
        cross_validated(FeatureStore.open(features), own_run, run_config, folds=2, seed=5, progress=interrupt)
    (state,) = (own_run / "checkpoints").glob("*.training")
    state.write_bytes(state.read_bytes()[:-100])
    said = refused("cv", *cv_options, "--epochs", "3", "--seed", "5", "--out", own_run)
    assert state.name in said and "delete" in said


def frames_of(synthetic):
    return synthetic / "cohn-kanade-images" / "S010" / "002"


def test_a_checkpoint_of_other_sizes(refused, own_run, synthetic, vgg_file):
    checkpoint = own_run / "checkpoints" / "fold-02.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(checkpoint)
    save_file({**tensors, "spatial.V": torch.zeros(4, 5, 99)}, checkpoint, header)
    said = refused("predict", "--run", own_run, "--weights-file", vgg_file(), frames_of(synthetic))
    assert "fold-02.safetensors: spatial.V is (4, 5, 99)" in said and "delete it" in said


def test_a_checkpoint_of_other_sizes_stops_a_cross_validation_too(refused, cv_options, own_run):
    checkpoint = own_run / "checkpoints" / "fold-02.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        header = file.metadata()
    save_file({**load_file(checkpoint), "temporal.R": torch.zeros(2, 8, 9)}, checkpoint, header)
    said = refused("cv", *cv_options, "--epochs", "3", "--seed", "5", "--out", own_run)
    assert "fold-02.safetensors: temporal.R" in said


def test_models_of_another_run(refused, own_run, synthetic, vgg_file):
    checkpoint = own_run / "checkpoints" / "fold-01.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        header = {**file.metadata(), "features": "0123456789ab"}
    save_file(load_file(checkpoint), checkpoint, header)
    said = refused("predict", "--run", own_run, "--weights-file", vgg_file(), frames_of(synthetic))
    assert "fold-01.safetensors: learned from other features" in said


@pytest.mark.parametrize("key", ["classes", "interpolation"])
def test_a_model_whose_header_lacks_a_fact(refused, own_run, synthetic, vgg_file, key):
    checkpoint = own_run / "checkpoints" / "fold-01.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        header = {name: value for name, value in file.metadata().items() if name != key}
    save_file(load_file(checkpoint), checkpoint, header)
    said = refused("predict", "--run", own_run, "--weights-file", vgg_file(), frames_of(synthetic))
    assert "fold-01.safetensors" in said


def test_predict_with_the_weights_of_another_backbone(refused, run, synthetic, vgg_file, tmp_path):
    said = refused("predict", "--run", run, "--weights-file", vgg_file(seed=1), frames_of(synthetic))
    assert "made with the vgg11 of vgg11-0.pth" in said and "vgg11-1.pth holds a vgg11" in said
    assert "give the path of that file with --weights-file" in said
    said = refused("predict", "--run", run, "--weights-file", vgg_file("vgg13"), frames_of(synthetic))
    assert "made with the vgg11 of vgg11-0.pth" in said and "vgg13-0.pth holds a vgg13" in said
    said = refused("predict", "--run", run, frames_of(synthetic))
    assert "made with the weights file vgg11-0.pth" in said and "with --weights-file" in said
    said = refused("predict", "--run", run, "--weights-file", tmp_path / "absent.pth", frames_of(synthetic))
    assert "absent.pth: no such weights file" in said


def test_predict_of_something_without_a_face(refused, run, vgg_file, tmp_path):
    blank = tmp_path / "blank"
    blank.mkdir()
    cv2.imwrite(str(blank / "1.png"), np.full((120, 160, 3), 90, np.uint8))
    options = ["predict", "--run", run, "--weights-file", vgg_file()]
    assert "blank: no frame shows a face" in refused(*options, blank)
    (blank / "1.png").write_bytes(b"no image")
    assert "1.png: cannot be decoded" in refused(*options, blank)
    (blank / "1.png").unlink()
    assert "blank: no images in this folder" in refused(*options, blank)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    assert "clip.mp4: no frame of it can be decoded" in refused(*options, tmp_path / "clip.mp4")
    assert "absent.mp4: no such file" in refused(*options, tmp_path / "absent.mp4")


@pytest.mark.parametrize("command", ["report", "saliency", "predict"])
@pytest.mark.parametrize("damage", ["absent", "empty", "no summary", "torn summary"])
def test_a_run_that_is_not_finished(refused, own_run, synthetic, features, tmp_path, command, damage):
    folder = {"absent": tmp_path / "absent", "empty": tmp_path / "empty"}.get(damage, own_run)
    (tmp_path / "empty").mkdir()
    if damage == "no summary":
        (own_run / "summary.json").unlink()
    if damage == "torn summary":
        (own_run / "summary.json").write_text('{"accuracy": 0.')
    options = {
        "predict": ["predict", "--run", folder, frames_of(synthetic)],
        "saliency": ["saliency", folder, "--features", features],
    }.get(command, [command, folder])
    said = refused(*options)
    assert str(folder) in said and "face-strnn cv" in said
    assert not (tmp_path / "absent").exists() and not list((tmp_path / "empty").iterdir())


def test_a_summary_that_is_no_object(refused, own_run, synthetic):
    for text in ("[1]", "3", '{"features": 3}'):
        (own_run / "summary.json").write_text(json.dumps(json.loads(text)))
        assert "not a finished run" in refused("predict", "--run", own_run, frames_of(synthetic))


def test_a_run_without_models(refused, own_run, synthetic, vgg_file):
    shutil.rmtree(own_run / "checkpoints")
    said = refused("predict", "--run", own_run, "--weights-file", vgg_file(), frames_of(synthetic))
    assert "checkpoints: holds no models" in said


def test_a_synthetic_data_set_that_cannot_be_written(refused, tmp_path):
    assert "119" in refused("synth", "--out", tmp_path / "new", "--subjects", "119")
    assert "10" in refused("demo", "--out", tmp_path / "new", "--subjects", "9")
    assert not (tmp_path / "new").exists()


def test_the_program_itself_ends_with_status_2_and_a_line(tmp_path):
    command = [sys.executable, "-m", "face_strnn.cli", "check", "--root", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("face-strnn check: ") and len(without_log(ended.stderr)) <= 2


def test_help_shows_an_example_of_every_command(capsys):
    for command in ("demo", "synth", "check", "prepare", "cv", "saliency", "report", "predict"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"face-strnn {command}" in said.split("example:")[1]
        assert not any(python in said for python in ("class '", "null", "None", "Literal", "False")), "no Python in it"
        assert command != "prepare" or ("problems.csv; the status is then 2" in said and "default: 0.2" in said)
        assert command != "cv" or ("label_smoothing" in said and "default: 0.0" in said)


def test_numbers_that_make_no_sense(refused, cv_options, prepare_copy, tmp_path):
    assert "--seeds 0" in refused("cv", *cv_options, "--seeds", "0", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "--rotations 45: beyond 12 degrees" in refused(*prepare_copy[:-1], "[45]")


def test_one_subject_cannot_be_cross_validated(refused, own_store, cv_options, tmp_path):
    for file in own_store.glob("*.safetensors"):
        if not file.name.startswith("S010"):
            file.unlink()
    FeatureStore.open(own_store).complete()
    options = ["--features", own_store, *cv_options[2:], "--protocol", "leave-one-subject-out"]
    assert "holds one subject" in refused("cv", *options, "--out", tmp_path / "run")


def test_a_run_is_not_taken_up_on_other_samples(refused, own_store, own_run, cv_options):
    """A sequence more or less can deal subjects to other folds: kept models would be tested on subjects they saw."""
    for file in own_store.glob("S010_002_*.safetensors"):
        file.unlink()
    FeatureStore.open(own_store).complete()
    before = {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()}
    options = ["--features", own_store, *cv_options[2:], "--epochs", "3", "--seed", "5"]
    assert "features.samples_sha256" in refused("cv", *options, "--out", own_run)
    assert {path: path.read_bytes() for path in own_run.rglob("*") if path.is_file()} == before


def test_a_shipped_configuration_by_either_form_of_the_option(refused, own_store, tmp_path):
    for option in (["--config", "paper"], ["--config=paper"]):
        said = refused("cv", *option, "--features", own_store, "--folds", "99", "--out", tmp_path / "run")
        assert "fewer than 99 folds" in said


def test_a_sequence_whose_frames_differ_in_size_is_found_by_the_check(refused, copy, synthetic_list):
    image = sorted((copy / "cohn-kanade-images").rglob("*.png"))[0]
    cv2.imwrite(str(image), cv2.imread(str(image))[:-20])
    assert "1 problems" in refused("check", "--root", copy)


def test_nothing_but_the_message_is_said_of_an_image_that_is_cut_short(copy, prepare_copy, capfd):
    image = sorted((copy / "cohn-kanade-images").rglob("*.png"))[0]
    image.write_bytes(image.read_bytes()[:2000])
    assert main([str(argument) for argument in prepare_copy]) == 2
    said = capfd.readouterr().err  # of the process, C libraries too
    assert len(without_log(said)) == 2 and f"{image}: cannot be decoded as an image" in said
