"""Video files: every frame once, upright and at its own time; what is broken is named; memory stays flat."""

import hashlib
import resource
import struct
import tracemalloc

import cv2
import numpy as np
import pytest

from data_prep.datasets.catalogue import Clip, LabelledSequence
from data_prep.datasets.sequence_frames import frames_of, source_sha256
from data_prep.errors import BadInput
from data_prep.media.frames import frames_at
from data_prep.media.images import PIXEL_LIMIT
from data_prep.media.videos import count_frames, frame_rate, frames_of_video, promised_frames

LEVELS = range(20, 220, 20)


def write_video(path, levels=LEVELS, rate=10, size=(64, 48), codec="mp4v"):
    """Frames of one grey level each, with a white corner at the top left."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    for level in levels:
        frame = np.full((size[1], size[0], 3), level, np.uint8)
        frame[:16, :16] = 255
        writer.write(frame)
    writer.release()
    return path


def levels_of(frames):
    return [int(frame.image[-8:, -8:].mean()) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.avi", "XVID")]
)
def test_every_frame_comes_once_in_order_with_its_time(tmp_path, name, codec):
    frames = list(frames_of_video(write_video(tmp_path / name, codec=codec)))
    assert np.allclose(levels_of(frames), LEVELS, atol=4)
    assert np.allclose([frame.seconds for frame in frames], np.arange(len(LEVELS)) / 10, atol=2e-3)
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert count_frames(tmp_path / name) == len(LEVELS)


def test_channels_are_red_green_blue(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # OpenCV's order: blue, green, red
    writer.release()
    (frame,) = frames_of_video(tmp_path / "a.avi")
    assert np.abs(frame.image.reshape(-1, 3).mean(0) - (255, 0, 0)).max() < 8


def test_a_range_of_frames_is_what_it_says(tmp_path):
    video = write_video(tmp_path / "a.mp4")
    frames = list(frames_of_video(video, 2, 5))
    assert np.allclose(levels_of(frames), [60, 80, 100, 120], atol=4)
    assert np.allclose([frame.seconds for frame in frames], [0.2, 0.3, 0.4, 0.5], atol=2e-3)
    with pytest.raises(BadInput, match=r"a\.mp4: ends after frame 10, and frame 31 is asked for"):
        list(frames_of_video(video, 0, 30))


def boxes(data, start, end):
    """Start, end and type of each box of an MP4 file between two places."""
    while start < end:
        length, kind = struct.unpack_from(">I4s", data, start)
        yield start, start + length, kind
        start += length


def box(data, *kinds):
    """Starts of the boxes that lead to the innermost of a path of types, and that one's end."""
    start, end, starts = 0, len(data), []
    for kind in kinds:
        start, end = next((first, last) for first, last, found in boxes(data, start, end) if found == kind)
        starts.append(start)
        start += 8
    return starts, end


def with_durations(data, durations):
    """The MP4 file with a duration of its own for each frame, in the track's time units."""
    starts, end = box(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    table = b"".join(struct.pack(">II", 1, duration) for duration in durations)
    stts = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(durations)) + table
    data = bytearray(data)
    grown = len(stts) - (end - starts[-1])
    data[starts[-1] : end] = stts
    for start in starts[:-1]:
        (length,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, length + grown)
    return bytes(data)


def test_a_variable_frame_rate_shows_in_the_times(tmp_path):
    video = write_video(tmp_path / "a.mp4", rate=10)
    data = video.read_bytes()
    _, end = box(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    unit = struct.unpack_from(">I", data, end - 4)[0]  # a tenth of a second
    durations = [unit, unit, 3 * unit, unit, 2 * unit, unit, unit, unit, 5 * unit, unit]
    changed = with_durations(data, durations)
    video.write_bytes(changed.replace(b"edts", b"free"))
    frames = list(frames_of_video(video))
    expected = np.cumsum([0, *durations[:-1]]) / unit / 10
    assert np.allclose([frame.seconds for frame in frames], expected, atol=2e-3)
    assert np.allclose(levels_of(frames), LEVELS, atol=4)
    video.write_bytes(changed)
    edited = list(frames_of_video(video))
    assert 1 < len(edited) < len(LEVELS), "the edit list still ends after the first second: what it keeps is the video"
    assert levels_of(edited) == levels_of(frames)[: len(edited)]


def test_a_rotation_that_the_file_asks_for_is_applied(tmp_path):
    video = write_video(tmp_path / "a.mp4")
    data = bytearray(video.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, place, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # a quarter turn clockwise
    video.write_bytes(data)
    frame = next(frames_of_video(video))
    assert frame.image.shape == (64, 48, 3)
    left, right = frame.image[:12, :12].mean(), frame.image[:12, -12:].mean()
    assert left < 60 and right > 240, "the white corner moves to the right"


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF" + bytes(400), b"\0\0\0\x18ftypisom" + bytes(12)])
def test_a_video_without_frames_is_named(tmp_path, content):
    (tmp_path / "clip.avi").write_bytes(content)
    with pytest.raises(BadInput, match=r"clip\.avi: no frame of it can be decoded; give a video file"):
        list(frames_of_video(tmp_path / "clip.avi"))
    with pytest.raises(BadInput, match=r"clip\.avi: no frame of it can be decoded"):
        count_frames(tmp_path / "clip.avi")


def test_a_video_of_too_many_pixels_is_refused_before_a_frame_is_decoded(tmp_path):
    """8224 x 8200 grey pixels are a JPEG of half a megabyte, and 200 MB when decoded."""
    size = (8224, 8200)
    video = write_video(tmp_path / "a.avi", [90], size=size, codec="MJPG")
    assert size[0] * size[1] > PIXEL_LIMIT and video.stat().st_size < 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = r"a\.avi: its frames of 8224 x 8200 pixels are beyond the 67,108,864 that are read; make the video smaller"
    for read in (frames_of_video, frames_at):
        with pytest.raises(BadInput, match=said):
            next(read(video))
    for ask in (count_frames, promised_frames, frame_rate):
        with pytest.raises(BadInput, match=said):
            ask(video)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16, "in KB"


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_a_video_that_is_cut_short_is_named_and_nothing_else_is_said(tmp_path, capfd, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*"mp4v"), 10, (128, 96))
    for frame in noise:
        writer.write(frame)
    writer.release()
    assert len(list(frames_at(tmp_path / name))) == 30
    capfd.readouterr()
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInput, match=name.replace(".", r"\.") + ": .*(cut short|no frame of it can be decoded)"):
        list(frames_at(tmp_path / name))
    assert capfd.readouterr().err == ""


def test_an_mp4_for_streaming_that_is_cut_short_is_named(tmp_path):
    """Its index comes first, so that the frames that are left can be decoded."""
    data = write_video(tmp_path / "a.mp4", range(20, 220, 4), size=(320, 240)).read_bytes()
    (start,), end = box(data, b"moov")
    moov = bytearray(data[start:end])
    starts, last = box(bytes(moov), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco")
    (mdat,), _ = box(data, b"mdat")
    for place in range(starts[-1] + 16, last, 4):  # where the frames lie, now that the index is before them
        struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + len(moov))
    assert end == len(data), "the index was the last box"
    (tmp_path / "a.mp4").write_bytes(data[:mdat] + moov + data[mdat:start])
    assert len(list(frames_of_video(tmp_path / "a.mp4"))) == 50
    (tmp_path / "a.mp4").write_bytes(data[:mdat] + moov + data[mdat : mdat + (start - mdat) // 2])
    with pytest.raises(BadInput, match=r"a\.mp4: the video is cut short; restore the file"):
        list(frames_of_video(tmp_path / "a.mp4"))


@pytest.mark.parametrize("playlist", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_a_playlist_in_a_videos_place_opens_no_other_file(tmp_path, playlist):
    """FFmpeg would follow one to any file of the machine."""
    write_video(tmp_path / "other.mp4")
    (tmp_path / "clip.mp4").write_text(playlist.format("other.mp4"))
    with pytest.raises(BadInput, match="no frame of it can be decoded"):
        list(frames_of_video(tmp_path / "clip.mp4"))


def test_a_name_like_a_pattern_is_a_name(tmp_path):
    write_video(tmp_path / "clip_%02d.mp4")
    assert len(list(frames_of_video(tmp_path / "clip_%02d.mp4"))) == len(LEVELS)


def test_images_and_clips_are_read_alike(tmp_path):
    video = write_video(tmp_path / "a.mp4")
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames_of_video(video), start=1):
        cv2.imwrite(str(folder / f"{number}.png"), frame.image[..., ::-1])
    files = tuple(folder / f"{number}.png" for number in range(1, 11))
    of_images = LabelledSequence("P1", "P1_1", "anger", files)
    of_video = LabelledSequence("P1", "P1_1", "anger", clip=Clip(video))
    for pair in (map(frames_of, (of_images, of_video)), map(frames_at, (folder, video))):
        for one, other in zip(*pair, strict=True):
            assert np.array_equal(one.image, other.image) and one.seconds is None and other.seconds is not None


def test_frames_of_another_size_are_named(tmp_path):
    for number, width in enumerate((40, 40, 30)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((20, width, 3), np.uint8))
    with pytest.raises(BadInput, match=r"its frames differ in size \(30 x 20 and 40 x 20\)"):
        list(frames_at(tmp_path))


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    files = tuple(tmp_path / f"{number}.bmp" for number in range(60))
    for file in files:
        cv2.imwrite(str(file), np.zeros((200, 300, 3), np.uint8))
    sequence = LabelledSequence("P1", "P1_1", "anger", files)
    tracemalloc.start()
    try:
        for _ in frames_of(sequence):
            pass
        source_sha256(sequence)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 200 * 300 * 3


def test_the_source_changes_with_the_bytes_their_order_and_the_range(tmp_path):
    contents = [b"first", b"second"]
    files = [tmp_path / "1.png", tmp_path / "2.png"]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)

    def of(*paths):
        return source_sha256(LabelledSequence("P1", "P1_1", "anger", paths))

    digests = b"".join(hashlib.sha256(content).digest() for content in contents)
    assert of(*files) == hashlib.sha256(digests).hexdigest(), "stores that are there were made with this one"
    assert of(*files) != of(*files[::-1]) != of(files[0])
    clips = [Clip(files[0]), Clip(files[0], 0, 5), Clip(files[0], 1, 5), Clip(files[1])]
    assert len({source_sha256(LabelledSequence("P1", "P1_1", "anger", clip=clip)) for clip in clips}) == 4
    with pytest.raises(BadInput, match=r"3\.png: cannot be read"):
        of(tmp_path / "3.png")
