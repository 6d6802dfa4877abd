"""Names of emotions in any usual spelling."""

import pytest

from data_prep.datasets.emotions import EMOTION_OF_CODE, emotion_named
from data_prep.errors import BadInput


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *[("Angry", "anger"), ("AN", "anger"), ("happy", "happiness"), ("HA", "happiness"), ("Surprised", "surprise")],
        *[(" Sad ", "sadness"), ("FEAR", "fear"), ("afraid", "fear"), ("Disgusted", "disgust"), ("NE", "neutral")],
    ],
)
def test_usual_spellings_of_emotions_are_understood(written, meant):
    assert emotion_named(written) == meant


def test_every_emotion_is_its_own_name_in_any_case():
    for emotion in EMOTION_OF_CODE.values():
        assert emotion_named(emotion) == emotion_named(emotion.upper()) == emotion


def test_an_unknown_emotion_is_refused_with_the_names_that_are_known():
    with pytest.raises(BadInput, match='"bored" is no known emotion; accepted are neutral, anger, contempt'):
        emotion_named("bored")
