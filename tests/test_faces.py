"""Face crops: the arithmetic by hand, the detector on drawn faces; and the frames that they are cut from."""

import cv2
import numpy as np
import pytest
from facenet_pytorch import MTCNN

from data_prep.ckplus import read_ckplus
from data_prep.errors import BadInput
from data_prep.faces import FaceDetector, SquareCrop, cut, sequence_crop
from data_prep.frames import read_frames
from data_prep.images import decode_image, read_image
from data_prep.pipeline import wide_crops
from data_prep.rotation import ROOM


@pytest.fixture(scope="module")
def frames(standin):
    """A drawn sequence of five frames."""
    sequence = next(one for one in read_ckplus(standin).sequences if len(one.frames) == 5)
    return [read_image(path) for path in sequence.frames]


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_crop_is_the_median_box_and_a_margin():
    boxes = [
        np.array([100.0, 50.0, 200.0, 170.0]),
        None,
        np.array([104.0, 52.0, 206.0, 168.0]),
        np.array([300.0, 10.0, 500.0, 400.0]),  # a wrong detection moves a median little
    ]
    # medians: left 104, top 50, right 206, bottom 170: 102 wide, 120 high, its middle at (155, 110)
    assert sequence_crop(boxes, margin=0.2) == SquareCrop(155.0, 110.0, pytest.approx(144.0))
    assert sequence_crop(boxes, margin=0.0) == SquareCrop(155.0, 110.0, 120.0)
    assert sequence_crop(boxes[:1], margin=0.5) == SquareCrop(150.0, 110.0, 180.0)
    assert sequence_crop([None, None]) is None


def test_a_cut_of_equal_size_is_a_slice():
    frame = noise(90, 120)
    assert np.array_equal(cut(frame, SquareCrop(60, 40, 32), 32), frame[24:56, 44:76])
    assert np.array_equal(cut(frame, SquareCrop(16, 16, 32), 32), frame[:32, :32])


@pytest.mark.parametrize("center", [(0, 0), (119, 89), (5, 45), (60, -3), (118, 2)])
def test_what_lies_beyond_the_frame_repeats_its_border(center):
    frame = noise(90, 120)
    x, y = center
    around = np.pad(frame, ((64, 64), (64, 64), (0, 0)), mode="edge")
    expected = around[64 + y - 16 : 64 + y + 16, 64 + x - 16 : 64 + x + 16]
    assert np.array_equal(cut(frame, SquareCrop(x, y, 32), 32), expected)


def test_shrinking_averages_areas():
    frame = noise(64, 64)
    expected = frame.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(cut(frame, SquareCrop(32, 32, 64), 16) - expected).max() <= 0.5


@pytest.mark.parametrize("pixels", [31, 32, 112, 224])
def test_room_widens_the_cut_around_the_same_middle(pixels):
    frame = noise(600, 700)
    crop = SquareCrop(350, 300, pixels) if pixels % 2 == 0 else SquareCrop(350.5, 300.5, pixels)
    wide = cut(frame, crop, pixels, ROOM)
    extra = (len(wide) - pixels) // 2
    assert (len(wide) - pixels) % 2 == 0 and abs(len(wide) - pixels * ROOM) <= 1
    assert np.array_equal(wide[extra : extra + pixels, extra : extra + pixels], cut(frame, crop, pixels))


def test_drawn_faces_are_found_where_plain_mtcnn_finds_them(frames, detector):
    plain = MTCNN(keep_all=True)
    for frame, box in zip(frames, detector.detect(frames), strict=True):
        boxes, probabilities = plain.detect(frame)
        expected = boxes[int(np.argmax(probabilities))]
        side = expected[2] - expected[0]
        assert np.abs(box - expected).max() < 0.12 * side


def test_one_crop_serves_a_whole_sequence(frames, detector):
    crop = sequence_crop(detector.detect(frames), 0.2)
    found = wide_crops(frames, detector, 112, 0.2)
    assert found.shape == (5, 134, 134, 3) and found.dtype == np.uint8
    assert np.array_equal(found, np.stack([cut(frame, crop, 112, ROOM) for frame in frames]))


def test_the_margin_makes_the_face_smaller(frames, detector):
    boxes = detector.detect(frames)
    assert sequence_crop(boxes, 0.5).side == pytest.approx(1.25 * sequence_crop(boxes, 0.2).side)


def test_a_frame_without_a_face_takes_the_sequences_crop(frames, detector):
    blank = np.full_like(frames[2], 90)
    blank[100:120] = 140
    disturbed = [*frames[:2], blank, *frames[3:]]
    boxes = detector.detect(disturbed)
    assert [box is None for box in boxes] == [False, False, True, False, False]
    left, top, right, bottom = np.median([box for box in boxes if box is not None], axis=0)
    side = 1.2 * max(right - left, bottom - top)
    crop = SquareCrop((left + right) / 2, (top + bottom) / 2, side)
    assert np.array_equal(wide_crops(disturbed, detector, 112, 0.2)[2], cut(blank, crop, 112, ROOM))


def test_a_sequence_without_any_face_has_no_crop(frames, detector):
    blank = np.full((120, 160, 3), 90, np.uint8)
    assert detector.detect([blank, blank]) == [None, None]
    assert wide_crops([blank, blank], detector, 112, 0.2) is None


def test_a_face_too_small_for_the_quick_search_is_found_by_the_thorough_one(frames, detector):
    small = cv2.resize(frames[-1], None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    canvas = np.full((1000, 1000, 3), 128, np.uint8)
    canvas[500 : 500 + small.shape[0], 300 : 300 + small.shape[1]] = small
    (box,) = detector.detect([canvas])
    assert box is not None
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    assert 300 < x < 300 + small.shape[1] and 500 < y < 500 + small.shape[0]


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_that_is_cut_short_is_refused(tmp_path, suffix, kept):
    data = cv2.imencode(suffix, noise(200, 300))[1].tobytes()
    (tmp_path / f"frame{suffix}").write_bytes(data[: round(kept * len(data))])
    with pytest.raises(BadInput, match=rf"frame\{suffix}: cannot be decoded"):
        read_image(tmp_path / f"frame{suffix}")


def write_images(folder, names, size=(20, 30)):
    folder.mkdir()
    for value, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((*size, 3), 10 * value, np.uint8))


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(tmp_path):
    write_images(tmp_path / "a", ["frame1.png", "frame2.png", "frame10.png", "frame11.PNG"])
    (tmp_path / "a" / "notes.txt").write_text("no frame")
    (tmp_path / "a" / ".frame3.png").write_bytes(b"no frame either")
    assert [int(frame[0, 0, 0]) for frame in read_frames(tmp_path / "a")] == [0, 10, 20, 30]


def test_a_video_is_read_frame_by_frame_in_rgb(tmp_path):
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for value in (40, 90, 140):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2] = value  # OpenCV writes BGR, so this is red
        video.write(image)
    video.release()
    frames = read_frames(tmp_path / "v.avi")
    assert len(frames) == 3 and frames[0].shape == (48, 64, 3)
    for frame, value in zip(frames, (40, 90, 140), strict=True):
        assert np.abs(frame.reshape(-1, 3).mean(0) - (value, 0, 0)).max() < 8


def test_grey_and_colour_images_are_decoded_to_rgb(tmp_path):
    colour = noise(20, 30)
    cv2.imwrite(str(tmp_path / "colour.png"), colour[..., ::-1])
    cv2.imwrite(str(tmp_path / "grey.png"), colour[..., 0])
    assert np.array_equal(read_image(tmp_path / "colour.png"), colour)
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(colour[..., :1], 3, 2))


def test_frames_that_cannot_be_used_are_refused_by_name(tmp_path):
    write_images(tmp_path / "mixed", ["a1.png"])
    cv2.imwrite(str(tmp_path / "mixed" / "a2.png"), noise(30, 30))
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    for name, message in [
        ("mixed", "mixed: its frames differ in size"),
        ("empty", "empty: no images"),
        ("clip.mp4", "clip.mp4: no frame of it can be decoded"),
        ("absent", "absent: no such file"),
    ]:
        with pytest.raises(BadInput, match=message):
            read_frames(tmp_path / name)
    with pytest.raises(BadInput, match=r"absent\.png: cannot be read"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(BadInput, match=r"x\.png: cannot be decoded"):
        decode_image(b"", tmp_path / "x.png")
