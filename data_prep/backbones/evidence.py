"""What is known of a backbone's weights on real faces: measured on what, by what command."""

import json

from data_prep.backbones.weights import Weights

NOTHING = "nothing has been measured"

_PEAK_FRAMES = (
    "the last three frames of all 327 CK+ sequences at 48 x 48 pixels, enlarged to 112, ten interleaved folds, images "
    "that may not be passed on"
)

_FOUND = {
    "faces": "66.2 % of FER2013's private part, frame by frame; nothing has been measured on CK+",
    "hed": "STRNN 90.5 % on peak frames of CK+",
}
"""The weights' name -> what was found, in a few words."""

_HOW = {
    "faces": (
        "`pretrain --images fer2013 --faces given`: 66.2 % (64.6 to 67.7) of 3,589 images, mean class recall 59.8. "
        "`backbones faces --images photographs`: 61.9 % of 13,549 photographs of muxspace's facial_expressions, mean "
        f"class recall 45.7. An earlier network of this kind, 62.0 % on FER2013, on {_PEAK_FRAMES}: STRNN 93.9 %, "
        "mean class recall 91.4; linear SVM on the apex 94.8"
    ),
    "hed": (
        f"`prepare --weights hed --maps pool4 --faces given`, `cv --epochs 5` on {_PEAK_FRAMES}: mean class recall "
        "85.0; linear SVM on the apex 85.3"
    ),
}
"""The weights' name -> how it was found, and what else was."""


def known_of_real_faces(name: str) -> str:
    """Return what is known of weights with a name, and how it was measured."""
    return f"{_FOUND[name]}. {_HOW[name]}" if name in _FOUND else NOTHING


def real_face_evidence(weights: Weights) -> str:
    """Return what is known of loaded weights on real faces, in one line.

    Of a file that `face-strnn pretrain` wrote it is what its header says.
    """
    if weights.path is None:
        return _FOUND.get(weights.name, NOTHING)
    if weights.facts.get("data") == "synthetic":
        return f"{NOTHING}: they learned from drawn faces"
    try:
        test = json.loads(weights.facts["test"])
        accuracy, n = float(test["accuracy"]), int(test["n"])
    except (KeyError, TypeError, ValueError):
        return NOTHING
    return f"{100 * accuracy:.1f} % of the {n} test images of {weights.facts.get('data', 'its folder')}, frame by frame"
