"""Frames from image files, folders and videos."""

import cv2
import numpy as np
import pytest

from data_prep.errors import BadInput
from data_prep.media.frames import frames_at
from data_prep.media.images import decode_image, read_image


def read_frames(path):
    return [frame.image for frame in frames_at(path)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


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
