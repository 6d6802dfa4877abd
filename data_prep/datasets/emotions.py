"""The emotions of CK+, the codes that its emotion files use for them, and the spellings of other data sets."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from data_prep.errors import BadInput

EMOTION_OF_CODE = dict(
    enumerate(("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"))
)
"""Code in an ``_emotion.txt`` file of CK+ -> emotion. Code 0 labels no sequence of the published protocol."""

EMOTIONS = tuple(EMOTION_OF_CODE[code] for code in range(1, 8))
"""The seven emotions that label sequences, in the order of their codes."""

SIX_EMOTIONS = tuple(emotion for emotion in EMOTIONS if emotion != "contempt")
"""Those of Oulu-CASIA and MMI."""

CLASS_SETS = {"six": SIX_EMOTIONS, "seven": EMOTIONS}
"""Number of classes -> classes: six is CK+ without contempt, the protocol of STC-NLSTM and others."""

CODE_OF_EMOTION = {emotion: code for code, emotion in EMOTION_OF_CODE.items()}

SPELLINGS = {
    "neutral": ("ne", "neu", "neutrality"),
    "anger": ("an", "ang", "angry"),
    "contempt": ("co", "con", "contemptuous"),
    "disgust": ("di", "dis", "disgusted"),
    "fear": ("af", "afraid", "fe", "fea", "fearful", "scared"),
    "happiness": ("ha", "hap", "happy", "joy"),
    "sadness": ("sa", "sad"),
    "surprise": ("su", "sur", "surprised"),
}
"""Other spellings of each emotion in data sets, regardless of case."""

_EMOTION_OF_SPELLING = {
    spelling: emotion for emotion, spellings in SPELLINGS.items() for spelling in (emotion, *spellings)
}


def classes_of(data: str, shown: Collection[str]) -> tuple[str, ...]:
    """Return the classes of a data set, in the order of :data:`EMOTIONS`.

    CK+ and the synthetic data set have all seven emotions, and Oulu-CASIA and MMI six, even if a copy lacks one; any
    other data set has those that occur.

    Args:
        data: the data set's name in catalogues and feature stores.
        shown: the emotions of its sequences.
    """
    known: tuple[str, ...] = ()
    if data in ("CK+", "synthetic"):
        known = EMOTIONS
    elif data.startswith("Oulu-CASIA-") or data in ("MMI", "MMI-whole"):
        known = SIX_EMOTIONS
    return tuple(emotion for emotion in EMOTIONS if emotion in known or emotion in shown)


def chosen_classes(words: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that an option names, in the order of the data's.

    Args:
        words: ``["six"]``, ``["seven"]``, or names of classes in any known spelling.
        classes: classes of the data.

    Raises:
        BadInput: an unknown name, a class that the data do not have, or fewer than two.
    """
    given = CLASS_SETS.get(words[0], ()) if len(words) == 1 else ()
    wanted = set(given or (word if word in classes else emotion_named(word) for word in words))
    if unknown := wanted - set(classes):
        there = ", ".join(classes)
        raise BadInput(f"--classes {' '.join(words)}: the data have no {', '.join(sorted(unknown))}; they have {there}")
    if len(wanted) < 2:
        raise BadInput(f"--classes {' '.join(words)}: a classifier needs two classes or more")
    return tuple(name for name in classes if name in wanted)


def emotion_named(text: str) -> str:
    """Return the emotion of a known spelling: ``"Angry"``, ``"AN"`` and ``"anger"`` are ``"anger"``.

    Raises:
        BadInput: unknown spelling; the message lists the accepted names but names no file.
    """
    emotion = _EMOTION_OF_SPELLING.get(text.strip().casefold())
    if emotion is None:
        accepted = ", ".join(EMOTION_OF_CODE.values())
        raise BadInput(f'"{text[:40]}" is no known emotion; accepted are {accepted} and their usual spellings')
    return emotion


def likely_emotion(text: str) -> str | None:
    """Return the most likely emotion of a misspelt name: ``"suprise"`` is ``"surprise"``; None if there is none."""
    # Abbreviations are too short for fuzzy matching.
    spelled_out = [spelling for spelling in _EMOTION_OF_SPELLING if len(spelling) > 3]
    close = get_close_matches(text.strip().casefold(), spelled_out, 1, 0.75)
    return _EMOTION_OF_SPELLING[close[0]] if close else None
