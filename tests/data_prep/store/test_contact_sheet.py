"""Contact sheets: every sequence has its place, pages are written as they fill."""

import cv2
import numpy as np
import pytest

from data_prep.media.images import read_image
from data_prep.store.contact_sheet import COLUMNS, GAP, LINE, ROWS, THUMBNAIL, ContactSheet

PER_PAGE = COLUMNS * ROWS


def crops(value):
    return [np.full((150, 150, 3), (value, 255 - value, 40 * k), np.uint8) for k in range(3)]


def fill(folder, n):
    with ContactSheet(folder) as sheet:
        for i in range(n):
            sheet.add(f"S{i:03}_001", "surprise", crops(i))
            assert len(sheet.pages) == (i + 1) // PER_PAGE
    return sheet.pages


def test_each_sequence_stands_at_its_place_in_reading_order(tmp_path):
    pages = fill(tmp_path, PER_PAGE + 3)
    assert [page.name for page in pages] == ["contact-sheet-01.png", "contact-sheet-02.png"]
    images = [read_image(page) for page in pages]
    for i in range(PER_PAGE + 3):
        row, column = divmod(i % PER_PAGE, COLUMNS)
        top = GAP + LINE + row * (LINE + THUMBNAIL + GAP) + LINE
        left = GAP + column * (3 * THUMBNAIL + GAP)
        strip = images[i // PER_PAGE][top : top + THUMBNAIL, left : left + 3 * THUMBNAIL]
        for k in range(3):
            assert (strip[:, k * THUMBNAIL : (k + 1) * THUMBNAIL] == (i, 255 - i, 40 * k)).all()
        label = images[i // PER_PAGE][top - LINE : top, left : left + 3 * THUMBNAIL]
        assert (label < 128).any()
    assert images[1].shape[1] == images[0].shape[1] and images[1].shape[0] == GAP + LINE + LINE + THUMBNAIL + GAP


def test_a_page_says_that_it_shows_faces_and_long_names_stay_in_their_place(tmp_path):
    with ContactSheet(tmp_path) as sheet:
        sheet.add("subject-with-a-name-that-is-far-too-long-é-0001", "happiness", crops(9))
        sheet.add("b", "anger", crops(9))
    page = read_image(tmp_path / "contact-sheet-01.png")
    assert (page[: GAP + LINE - 4] < 128).any()
    between = page[GAP + LINE :, GAP + 3 * THUMBNAIL : 2 * GAP + 3 * THUMBNAIL]
    assert (between == 255).all()


def test_a_shorter_sheet_leaves_no_page_of_a_longer_one(tmp_path):
    fill(tmp_path, PER_PAGE + 1)
    (tmp_path / "index.json").write_text("{}")
    fill(tmp_path, 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["contact-sheet-01.png", "index.json"]


def test_an_interrupted_sheet_leaves_whole_pages_only(tmp_path):
    with pytest.raises(KeyboardInterrupt), ContactSheet(tmp_path) as sheet:
        for i in range(PER_PAGE + 2):
            sheet.add(f"{i}", "fear", crops(i))
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["contact-sheet-01.png"]
    assert cv2.imread(str(tmp_path / "contact-sheet-01.png")) is not None
