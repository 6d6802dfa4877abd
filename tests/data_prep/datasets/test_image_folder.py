"""The reader of folders of labelled images."""

import pytest
from layouts import write_image

from data_prep.datasets.registry import read_dataset
from data_prep.errors import BadInput


def test_an_image_folder_is_read_by_its_names(tmp_path):
    for name in ("Anger/S010_004_00000017", "Anger/S010_004_00000009", "happy/S010_006_00000001"):
        write_image(tmp_path / "CK 48" / f"{name}.png", size=(48, 48))
    write_image(tmp_path / "CK 48" / "Neutral" / "S010_001_1.png")
    write_image(tmp_path / "CK 48" / "fear" / "the_second_person_2_1.png")
    catalogue = read_dataset("image-folder", tmp_path / "CK 48").usable()
    assert [(one.subject, one.name, one.emotion) for one in catalogue.sequences] == [
        ("S010", "S010_004", "anger"),
        ("S010", "S010_006", "happiness"),
        ("the_second_person", "the_second_person_2", "fear"),
    ]
    assert [file.name[9:17] for file in catalogue.sequences[0].frames] == ["00000009", "00000017"]
    assert catalogue.unlabelled == 1 and catalogue.data == "CK-48"


def test_what_is_wrong_in_an_image_folder_is_named(tmp_path):
    write_image(tmp_path / "anger" / "P1_1_1.png")
    bad = [
        write_image(tmp_path / "anger" / "portrait.png"),
        write_image(tmp_path / "anger" / "P 1_1_1.png"),
        write_image(tmp_path / "anger" / "P1_1_01.png"),
        write_image(tmp_path / "fear" / "P1_1_2.png"),
    ]
    write_image(tmp_path / "rage" / "P1_2_1.png")
    (tmp_path / "fear" / "P9_1_1.png").mkdir()
    (tmp_path / "readme.txt").touch()
    catalogue = read_dataset("image-folder", tmp_path)
    found = {problem.path for problem in catalogue.problems}
    # Of two files for one frame the one that comes later by name is told.
    assert len(found) == 6 and {*bad[:2], bad[3], tmp_path / "rage", tmp_path / "fear" / "P9_1_1.png"} < found
    said = "\n".join(map(str, catalogue.problems))
    assert (
        "portrait.png: is not named <subject>_<sequence>_<frame>.png" in said and '"rage" is no known emotion' in said
    )
    assert "the same frame as" in said and "is in anger too" in said and "a folder where an image" in said
    assert any("readme.txt" in note for note in catalogue.notes)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no images in folders of emotions"):
        read_dataset("image-folder", tmp_path / "empty")
