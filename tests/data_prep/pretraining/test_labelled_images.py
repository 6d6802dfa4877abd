"""A folder of labelled images: which are taken, for which part, and what is left out and named."""

import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.errors import BadInput
from data_prep.pretraining.labelled_images import find_labelled_images


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8))


@pytest.fixture
def flat(tmp_path) -> Path:
    """Two emotions of 200 images each."""
    for number in range(400):
        write(tmp_path / "faces" / ("Happy", "SA")[number % 2] / f"{number}.png", number)
    return tmp_path / "faces"


def parts_of(root: Path) -> dict[str, str]:
    return {str(image.path.relative_to(root)): image.part for image in find_labelled_images(root).images}


def test_spellings_of_emotions_are_understood_and_a_tenth_of_the_images_is_in_either_later_part(flat):
    folder = find_labelled_images(flat)
    assert not folder.problems and not folder.notes and not folder.own_parts
    assert {(image.path.parent.name, image.code) for image in folder.images} == {("Happy", 5), ("SA", 6)}
    counts = Counter(image.part for image in folder.images)
    assert 20 < counts["validation"] < 60 and 20 < counts["test"] < 60 and sum(counts.values()) == 400


def test_copies_of_an_image_are_on_one_side_whatever_they_are_called(flat):
    before = parts_of(flat)
    for path in list(flat.rglob("*.png")):
        shutil.copy(path, path.with_name(f"zz-{path.name}"))
    after = parts_of(flat)
    assert {name: after[name] for name in before} == before
    assert all(after[f"{Path(name).parent}/zz-{Path(name).name}"] == part for name, part in before.items())


@pytest.mark.parametrize(
    "names",
    [("train", "validation", "test"), ("Training", "PublicTest", "PrivateTest"), ("train", "val", "private")],
)
def test_folders_of_parts_are_the_parts(names, tmp_path):
    for place, name in enumerate(names):
        for number, emotion in enumerate(("fear", "anger")):
            write(tmp_path / name / emotion / "1.png", 2 * place + number)
    found = parts_of(tmp_path)
    parts = ("train", "validation", "test")
    expected = {
        f"{name}/{emotion}/1.png": part
        for name, part in zip(names, parts, strict=True)
        for emotion in ("fear", "anger")
    }
    assert found == expected
    assert find_labelled_images(tmp_path / names[0]).name == find_labelled_images(tmp_path).name == tmp_path.name


def test_a_part_that_is_lacking_is_taken_from_the_training_images_alone(tmp_path):
    for number in range(300):
        write(tmp_path / "train" / ("fear", "anger")[number % 2] / f"{number}.png", number)
    for number in range(40):
        write(tmp_path / "test" / ("fear", "anger")[number % 2] / f"{number}.png", 1000 + number)
    found = parts_of(tmp_path)
    assert {part for name, part in found.items() if name.startswith("test")} == {"test"}
    of_train = Counter(part for name, part in found.items() if name.startswith("train"))
    assert of_train.keys() == {"train", "validation"} and 10 < of_train["validation"] < 60


def test_names_of_fer2013_say_the_part_and_its_augmented_copies_are_left_out(tmp_path):
    for number, usage in enumerate(("Training", "PublicTest", "PrivateTest")):
        for of_emotion, emotion in enumerate(("angry", "neutral")):
            write(tmp_path / emotion / f"{usage}_{number}{of_emotion}.jpg", 2 * number + of_emotion)
    write(tmp_path / "angry" / "Training_00.jpg17.jpg", 50)
    folder = find_labelled_images(tmp_path)
    assert {image.path.name.split("_")[0]: image.part for image in folder.images} == {
        "Training": "train", "PublicTest": "validation", "PrivateTest": "test",
    }  # fmt: skip
    assert len(folder.images) == 6 and not folder.problems
    assert folder.notes == ["left out: 1 augmented copies of FER2013's images"]


def test_an_image_of_one_part_of_fer2013_in_the_folder_of_another_is_refused(tmp_path):
    for number, (folder, name) in enumerate({"train": "Training_1.jpg", "test": "PrivateTest_2.jpg"}.items()):
        for of_emotion, emotion in enumerate(("sad", "happy")):
            write(tmp_path / folder / emotion / name, 2 * number + of_emotion)
    assert len(find_labelled_images(tmp_path).images) == 4
    write(tmp_path / "train" / "sad" / "PrivateTest_3.jpg", 9)
    with pytest.raises(
        BadInput, match=r"train/sad/PrivateTest_3.jpg: an image of FER2013's test part in .* the train part"
    ):
        find_labelled_images(tmp_path)


def test_what_is_tested_is_neither_learned_from_nor_chosen_by(tmp_path):
    for number, emotion in enumerate(("fear", "anger")):
        write(tmp_path / "train" / emotion / "own.png", number)
        write(tmp_path / "train" / emotion / "in-both.png", 10)
        write(tmp_path / "validation" / emotion / "own.png", 20 + number)
        write(tmp_path / "validation" / emotion / "in-test.png", 30)
        write(tmp_path / "test" / emotion / "tested.png", 40 + number)
    write(tmp_path / "test" / "fear" / "in-both.png", 10)
    write(tmp_path / "test" / "anger" / "in-test.png", 30)
    folder = find_labelled_images(tmp_path)
    names = sorted(f"{image.part} {image.path.name}" for image in folder.images)
    assert names == ["test in-both.png", "test in-test.png", "test tested.png", "test tested.png",
                     "train own.png", "train own.png", "validation own.png", "validation own.png"]  # fmt: skip
    assert folder.notes == ["left out: 4 images whose content is in the validation or the test part too"]


@pytest.mark.parametrize("names", [("0", "1", "2"), ("glücklich", "traurig")])
def test_folders_of_numbers_or_of_another_language_are_refused_with_the_known_names(names, tmp_path):
    for number, name in enumerate(names):
        write(tmp_path / name / "1.png", number)
    with pytest.raises(
        BadInput, match=f"no folder is named after an emotion, but {names[0]}.*happiness .ha, hap, happy"
    ):
        find_labelled_images(tmp_path)


def test_a_folder_beside_the_parts_or_of_an_unknown_name_is_a_problem_and_the_rest_is_read(tmp_path):
    for number, name in enumerate(("train/fear", "train/anger", "train/bored", "test/fear", "extra")):
        write(tmp_path / name / "1.png", number)
    folder = find_labelled_images(tmp_path)
    assert {str(problem.path.relative_to(tmp_path)) for problem in folder.problems} == {"train/bored", "extra"}
    assert len(folder.images) == 3


@pytest.mark.parametrize(("emotions", "said"), [((), "holds no image"), (("anger",), "a second class")])
def test_too_little_to_learn_from_is_refused(emotions, said, tmp_path):
    for number, emotion in enumerate(emotions):
        write(tmp_path / emotion / "0.png", number)
    with pytest.raises(BadInput, match=said):
        find_labelled_images(tmp_path)
