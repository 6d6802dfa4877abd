"""Tiny data sets, written in the layouts of Oulu-CASIA, MMI, folders of images, and manifests."""

import cv2
import numpy as np

from data_prep.datasets.sequence_frames import frames_of

OULU_EMOTIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
SESSION = '<session sessionId="{}"><subject id="{}"/><track type="Video" filename="{}" view="{}"/></session>'
METADATA = '<?xml version="1.0"?><Metadata><Metatag Name="Emotion" Value="{}"/></Metadata>'
UNIT = '<ActionUnit Number="{}">{}</ActionUnit>'
HEADER = "subject,sequence,emotion,path\n"


def write_image(path, level=90, size=(6, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((*size, 3), level, np.uint8))[1].tobytes())
    return path


def write_video(path, n_frames=9, rate=10):
    """Frame number n, from 0, is a grey of 20 (n + 1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), codec, rate, (32, 32))
    for number in range(n_frames):
        writer.write(np.full((32, 32, 3), 20 * (number + 1), np.uint8))
    writer.release()
    return path


def levels(sequence):
    return [round(float(frame.image.mean()) / 20) * 20 for frame in frames_of(sequence)]


def write_oulu(root, part="VL/Strong", subjects=(1, 2), n_frames=3):
    for subject in subjects:
        for place, emotion in enumerate(OULU_EMOTIONS):
            for frame in range(n_frames):
                write_image(root / part / f"P{subject:03d}" / emotion / f"{frame:03d}.jpeg", 20 * place + frame)
    return root


def write_session(root, n, video="S001-001.avi", emotion=4, view=0, units=None, subject=1, n_frames=9):
    folder = root / "Sessions" / str(n)
    write_video(folder / video, n_frames)
    (folder / "session.xml").write_text(SESSION.format(n, subject, video, view))
    stem = video.split(".")[0]
    if emotion is not None:
        (folder / f"{stem}.xml").write_text(METADATA.format(emotion))
    if units:
        markers = [
            UNIT.format(au, "".join(f'<Marker Frame="{frame}" Type="{kind}"/>' for frame, kind in marks))
            for au, marks in units.items()
        ]
        (folder / f"{stem}-oao_aucs.xml").write_text(f"<AUs>{''.join(markers)}</AUs>")
    return folder


def write_manifest(root, text, name="manifest.csv"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root / name
