"""Image files as they are found: other depths and colours are read as they look, damage is named, never guessed at."""

import csv
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.datasets.problems import Problem, read_damaged, write_problems
from data_prep.errors import BadInput
from data_prep.media.image_headers import read_header
from data_prep.media.images import PIXEL_LIMIT, decode_image, read_image

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
SMOOTH = np.fromfunction(lambda y, x, c: 3 * y + 2 * x + 20 * c, (30, 40, 3)).astype(np.uint8)


def encoded(picture, format, **options):
    """The picture as Pillow, which the code under test does not use, writes it."""
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_come_back_bit_for_bit_in_rgb(tmp_path, format):
    file = tmp_path / f"face.{format.lower()}"
    file.write_bytes(encoded(PICTURE, format))
    assert np.array_equal(read_image(file), PICTURE)
    header = read_header(file.read_bytes())
    assert (header.format, header.width, header.height) == (format, 40, 30)


def test_a_grey_image_has_three_equal_channels(tmp_path):
    image = decode_image(encoded(PICTURE[..., 0], "PNG"), tmp_path)
    assert image.shape == (30, 40, 3) and (image == PICTURE[..., :1]).all()


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_to_eight_over_the_whole_range(tmp_path, extension):
    values = np.arange(0, 65536, 13, dtype=np.uint16).reshape(1, -1)
    image = decode_image(cv2.imencode(extension, values)[1].tobytes(), tmp_path)
    assert image.dtype == np.uint8 and image[0, 0, 0] == 0
    assert np.abs(image[0, :, 0] - values[0].astype(float) * 255 / 65535).max() <= 0.5
    assert decode_image(cv2.imencode(extension, np.full((2, 2), 65535, np.uint16))[1].tobytes(), tmp_path).min() == 255


@pytest.mark.parametrize("mode", ["P", "1"])
def test_palettes_and_bitmaps_become_rgb(tmp_path, mode):
    image = Image.fromarray(SMOOTH).convert(mode)
    assert np.array_equal(decode_image(encoded(image, "PNG"), tmp_path), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_and_the_colours_under_it_are_used(tmp_path):
    see_through = np.dstack([PICTURE, np.zeros((30, 40), np.uint8)])
    assert np.array_equal(decode_image(encoded(see_through, "PNG"), tmp_path), PICTURE)


def test_a_cmyk_jpeg_looks_as_it_should(tmp_path):
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=100)
    difference = decode_image(data, tmp_path).astype(int) - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_in_exif_is_applied(tmp_path, orientation):
    upright = {
        1: SMOOTH,
        2: SMOOTH[:, ::-1],
        3: SMOOTH[::-1, ::-1],
        4: SMOOTH[::-1],
        5: SMOOTH.transpose(1, 0, 2),
        6: np.rot90(SMOOTH, -1),
        7: SMOOTH[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(SMOOTH),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(SMOOTH, "JPEG", quality=100, exif=exif, subsampling=0), tmp_path)
    assert image.shape == upright.shape and np.abs(image.astype(int) - upright).max() <= 6


def test_what_a_file_is_its_content_says(tmp_path):
    file = tmp_path / "frame.png"
    file.write_bytes(encoded(SMOOTH, "JPEG", quality=100))
    assert np.abs(read_image(file).astype(int) - SMOOTH).max() <= 8
    assert read_header(file.read_bytes()).format == "JPEG"


def test_file_names_of_every_alphabet_are_read(tmp_path):
    for name in ("лицо.png", "顔 01.png", "visage_é.png", "وجه.png"):
        (tmp_path / name).write_bytes(encoded(PICTURE, "PNG"))
        assert np.array_equal(read_image(tmp_path / name), PICTURE)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_file_cut_anywhere_is_refused_and_nothing_else_is_said(tmp_path, format, capfd):
    exif = Image.Exif()
    data = encoded(PICTURE, format, **({"exif": exif} if format == "JPEG" else {}))
    whole = decode_image(data, tmp_path)
    for length in [*range(0, 60, 7), *range(60, len(data), max(len(data) // 25, 1))]:
        try:
            image = decode_image(data[:length], tmp_path / "cut")
        except BadInput as error:
            assert str(error).startswith(f"{tmp_path / 'cut'}: cannot be decoded as an image")
        else:
            assert np.array_equal(image, whole), f"{length} of {len(data)} bytes"
    assert capfd.readouterr().err == ""


def test_a_jpeg_cut_short_is_not_taken_for_whole_by_the_end_of_its_thumbnail(tmp_path):
    data = encoded(SMOOTH, "JPEG")
    thumbnail = b"Exif\0\0" + encoded(SMOOTH[:8, :8], "JPEG")
    data = data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(thumbnail) + 2) + thumbnail + data[2:]
    assert decode_image(data, tmp_path).shape == SMOOTH.shape
    with pytest.raises(BadInput, match="cut short"):
        decode_image(data[:-30], tmp_path)


def test_a_png_whose_content_was_changed_is_refused(tmp_path, capfd):
    data = bytearray(encoded(PICTURE, "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadInput, match="checksums"):
        decode_image(bytes(data), tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"no image", b"GIF89a" + bytes(40), bytes(1000), b"\x89PNG\r\n\x1a\n", b"BM"])
def test_what_is_no_image_is_named_with_a_remedy(tmp_path, content):
    with pytest.raises(BadInput, match=r"face\.png: cannot be decoded as an image: .*restore"):
        decode_image(content, tmp_path / "face.png")


def test_an_image_of_floating_point_numbers_is_refused(tmp_path):
    data = cv2.imencode(".tiff", np.ones((4, 4), np.float32))[1].tobytes()
    with pytest.raises(BadInput, match="8 or 16 bits"):
        decode_image(data, tmp_path)


def huge(format):
    """A small file whose header promises more pixels than are read."""
    if format == "PNG":
        data = bytearray(encoded(PICTURE, "PNG"))
        data[16:24] = struct.pack(">II", 65536, 65536)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif format == "JPEG":
        data = bytearray(encoded(PICTURE, "JPEG"))
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", 65500, 65500)
    elif format == "BMP":
        data = bytearray(encoded(PICTURE, "BMP"))
        data[18:26] = struct.pack("<ii", 65536, -65536)
    else:
        data = bytearray(encoded(PICTURE, "TIFF"))
        for tag in (256, 257):
            place = data.index(struct.pack("<HH", tag, 3 if data.find(struct.pack("<HH", tag, 3)) > 0 else 4))
            data[place : place + 12] = struct.pack("<HHII", tag, 4, 1, 65536)
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_huge_image_is_refused_by_its_header(tmp_path, format):
    with pytest.raises(BadInput, match=rf"face: 65\d{{3}} x 65\d{{3}} pixels are beyond the {PIXEL_LIMIT:,}"):
        decode_image(huge(format), tmp_path / "face")


@given(
    format=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    length=st.integers(0, 10**6),
)
@settings(max_examples=200, deadline=None)
def test_changed_bytes_give_an_image_or_a_refusal_and_nothing_else(format, changes, length):
    data = bytearray(encoded(SMOOTH, format))
    for place, value in changes:
        data[place % min(len(data), 200)] = value
    try:
        image = decode_image(bytes(data[: max(length % (2 * len(data)), 30)]), Path("face"))
    except BadInput as error:
        assert str(error).startswith("face: ")
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_a_folder_where_a_file_should_be_is_named(tmp_path):
    (tmp_path / "face.png").mkdir()
    with pytest.raises(BadInput, match=r"face\.png: cannot be read \(Is a directory\)"):
        read_image(tmp_path / "face.png")


def test_problems_are_written_as_a_table(tmp_path):
    problems = [
        Problem(tmp_path / "a, b.png", 'says "no"', "S1_1"),
        Problem(tmp_path / "顔.png", "is empty\nquite"),
        Problem(tmp_path / "c.png", "is empty", "S1_1"),
    ]
    write_problems(tmp_path / "problems.csv", problems)
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert rows == [
        {"sequence": problem.sequence, "path": str(problem.path), "problem": problem.what} for problem in problems
    ]
    assert read_damaged(tmp_path / "problems.csv") == ["S1_1", "顔.png"]
    write_problems(tmp_path / "problems.csv", [])
    assert (tmp_path / "problems.csv").read_text() == "sequence,path,problem\n"
    assert read_damaged(tmp_path / "problems.csv") == read_damaged(tmp_path / "none.csv") == []
    (tmp_path / "problems.csv").write_text("what\na.png\n")
    with pytest.raises(BadInput, match="no table of problems"):
        read_damaged(tmp_path / "problems.csv")
