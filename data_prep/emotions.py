"""The emotions of CK+ and the codes that its emotion files use for them."""

EMOTION_OF_CODE = {
    0: "neutral",
    1: "anger",
    2: "contempt",
    3: "disgust",
    4: "fear",
    5: "happiness",
    6: "sadness",
    7: "surprise",
}
"""CK+'s number in an ``_emotion.txt`` file -> its name. Code 0 labels no sequence of the published protocol."""

EMOTIONS = tuple(EMOTION_OF_CODE[code] for code in range(1, 8))
"""The seven classes, in the order of their codes; class ``c`` of a network is ``EMOTIONS[c]``."""

CODE_OF_EMOTION = {emotion: code for code, emotion in EMOTION_OF_CODE.items()}
