"""What is known of a backbone's weights on real faces: measured on what, by what command."""

import json

from data_prep.backbones.weights import Weights

CKPLUS_FRAMES = (
    "the last three frames of all 327 CK+ sequences at 48 x 48 pixels, enlarged to 112, ten interleaved folds"
)
"""Images that may not be passed on; the figures were measured on a copy elsewhere, and nothing was tuned on it."""

NOTHING = "nothing has been measured"

_PUBLISHED = {
    "faces": "@@faces@@",
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
