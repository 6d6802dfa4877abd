"""What is known of a backbone's weights on real faces: measured on what, by what command."""

import json

from data_prep.backbones.weights import Weights

CKPLUS_FRAMES = (
    "the last three frames of all 327 CK+ sequences at 48 x 48 pixels, enlarged to 112, ten interleaved folds"
)
"""Images that may not be passed on; the figures were measured on a copy elsewhere, and nothing was tuned on it."""

NOTHING = "nothing has been measured"

_PUBLISHED = {
    "faces": (
        "their classifier, frame by frame: 66.2 % (64.6 to 67.7) of the 3,589 images of FER2013's private part, mean "
        "class recall 59.8 (`pretrain --images fer2013 --faces given`); 61.9 % of 13,549 photographs of muxspace's "
        "facial_expressions, mean class recall 45.7 (`backbones faces --images photographs`). On CK+ nothing has been "
        "measured; with maps of an earlier network of this kind, 62.0 % on FER2013, it was, on "
        f"{CKPLUS_FRAMES}: STRNN 93.9 %, mean class recall 91.4; linear SVM on the apex 94.8"
    ),
    "hed": (
        f"{CKPLUS_FRAMES} (`prepare --weights hed --maps pool4 --faces given`, `cv --epochs 5`): STRNN 90.5 %, mean "
        "class recall 85.0; linear SVM on the apex 85.3"
    ),
}


def known_of_real_faces(name: str) -> str:
    """Return what is known of weights with a name."""
    return _PUBLISHED.get(name, NOTHING)


def real_face_evidence(weights: Weights) -> str:
    """Return what is known of loaded weights on real faces, in one line.

    Of a file that `face-strnn pretrain` wrote it is what its header says.
    """
    if weights.path is None:
        return known_of_real_faces(weights.name)
    if weights.facts.get("data") == "synthetic":
        return f"{NOTHING}: they learned from drawn faces"
    try:
        test = json.loads(weights.facts["test"])
        accuracy, n = float(test["accuracy"]), int(test["n"])
    except (KeyError, TypeError, ValueError):
        return NOTHING
    return f"{100 * accuracy:.1f} % of the {n} test images of {weights.facts.get('data', 'its folder')}, frame by frame"
