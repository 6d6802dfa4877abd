"""The stand-in for CK+: drawn faces, moved by facial action units, in CK+'s folder layout. No person is shown."""

from data_prep.standin.dataset import Marker, is_synthetic, read_marker, write_standin
from data_prep.standin.face import Drawing, draw_face, moved_landmarks
from data_prep.standin.identity import Identity, sample_identity

__all__ = [
    "Drawing",
    "Identity",
    "Marker",
    "draw_face",
    "is_synthetic",
    "moved_landmarks",
    "read_marker",
    "sample_identity",
    "write_standin",
]
