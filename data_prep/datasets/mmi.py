"""Reader of the MMI facial expression database's downloads (Pantic et al. 2005)."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import chain
from pathlib import Path

from data_prep.datasets.catalogue import Catalogue, Clip, LabelledSequence, require_name
from data_prep.datasets.data_folder import DataFolder
from data_prep.datasets.emotions import SIX_EMOTIONS, emotion_named
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.media.images import read_bytes
from data_prep.media.videos import count_frames

EMOTION_OF_MMI_CODE = dict(enumerate(SIX_EMOTIONS, start=1))
"""Higher codes are other displays, such as boredom or sleepiness: unlabelled."""

VIDEO_SUFFIXES = (".avi", ".mpg", ".mpeg", ".mp4", ".mov", ".wmv")
PROFILE_VIEW = "1"
DEEPEST = 2
_VIDEO_NAME = re.compile(r"(S\d+)-\d+", re.IGNORECASE)
_APEX_BEGINS, _OFFSET_BEGINS = "2", "3"
_REMEDY = "--root takes the folder that holds Sessions, as MMI's download unpacks it"


def read_mmi(root: Path, whole: bool = False) -> Catalogue:
    """Read MMI's session folders: ``Sessions/1/`` with ``S001-001.avi``, ``session.xml`` and further XML files.

    The emotion is the attribute ``Emotion`` of the XML files; sessions without one of the six, and recordings in
    profile view, are omitted. A recording goes from neutral to the apex and back: a sequence is, as in CK+, the part up
    to the apex. The apex is the first frame at which most action units are at their apex according to the markers in
    ``*-aucs.xml``, or the middle frame if there are none.

    Args:
        root: folder that holds ``Sessions``, or a folder that wraps it.
        whole: use whole recordings instead.

    Returns:
        The catalogue; a sequence is named after its video, ``S001-001``.

    Raises:
        BadInput: no such folder, or no sessions in it.
    """
    data = DataFolder(root, _REMEDY)
    sequences: dict[str, LabelledSequence] = {}
    unlabelled = profiles = 0
    for session in _sessions(data):
        name = ""
        try:
            video = _video(data, session)
            name = require_name(video.stem, "video") if video else ""
            documents = _documents(data, session)
            emotion = _emotion(documents)
            if video is None or emotion is None:
                unlabelled += 1
                continue
            if _is_profile(documents, video):
                profiles += 1
                continue
            subject = _subject(documents, video)
            if name in sequences:
                raise BadInput(f"{session}: holds {video.name}, as {sequences[name].path.parent} does; keep one")
            clip = Clip(video) if whole else _to_the_apex(documents, video)
        except BadInput as error:
            hint = f"download session {session.name} again, and put what it holds in place of {session}"
            data.add(Problem.of(error, session, name, hint))
            continue
        sequences[name] = LabelledSequence(subject, name, emotion, (), clip)
    if profiles:
        data.notes.append(f"{profiles} recordings in profile view are omitted")
    if not whole:
        data.notes.append("recordings are used up to the apex; --whole uses all of them")
    return data.catalogue("MMI-whole" if whole else "MMI", root, sequences, unlabelled)


def _sessions(data: DataFolder) -> list[Path]:
    for folder in chain([data.root], chain.from_iterable(data.levels(DEEPEST))):
        if folder.name.casefold() == "sessions":
            return data.folders(folder)
    raise BadInput(f"{data.root}: not a copy of MMI: no folder Sessions; {_REMEDY}")


def _documents(data: DataFolder, session: Path) -> dict[str, ET.Element]:
    """The session's XML files by name."""
    documents = {}
    for file in data.entries(session):
        if file.suffix.casefold() == ".xml":
            try:
                documents[file.name] = ET.fromstring(read_bytes(file))
            except (ET.ParseError, ValueError, LookupError) as error:
                raise BadInput(f"{session}: {file.name} is no XML ({error}); download it again") from error
    return documents


def _video(data: DataFolder, session: Path) -> Path | None:
    videos = [file for file in data.entries(session) if file.suffix.casefold() in VIDEO_SUFFIXES]
    if len(videos) > 1:
        raise BadInput(f"{session}: holds {len(videos)} videos where MMI has one; keep the right one")
    if videos and not videos[0].is_file():
        raise BadInput(f"{session}: {videos[0].name} is a folder where a video should be; download it again")
    return videos[0] if videos else None


def _elements(documents: dict[str, ET.Element], tag: str) -> list[ET.Element]:
    return [element for document in documents.values() for element in document.iter() if _is_named(element, tag)]


def _is_named(element: ET.Element, tag: str) -> bool:
    """Whether an element has this tag, in any case and namespace."""
    return isinstance(element.tag, str) and element.tag.rpartition("}")[2].casefold() == tag


def _attribute(element: ET.Element, name: str) -> str:
    """An attribute's value, its name in any case; empty if there is none."""
    return next((value.strip() for key, value in element.attrib.items() if key.casefold() == name), "")


def _emotion(documents: dict[str, ET.Element]) -> str | None:
    found = {
        _attribute(element, "value")
        for document in documents.values()
        for element in document.iter()
        if _attribute(element, "name").casefold() == "emotion"
    } - {""}
    if len(found) > 1:
        raise BadInput(f"its XML files name several emotions ({', '.join(sorted(found))}); keep the right one")
    if not found:
        return None
    (value,) = found
    if value.isdecimal():
        return EMOTION_OF_MMI_CODE.get(int(value))
    emotion = emotion_named(value)
    return None if emotion == "neutral" else emotion


def _is_profile(documents: dict[str, ET.Element], video: Path) -> bool:
    tracks = _elements(documents, "track")
    own = [track for track in tracks if _attribute(track, "filename") in ("", video.name)] or tracks
    return bool(own) and all(_attribute(track, "view") == PROFILE_VIEW for track in own)


def _subject(documents: dict[str, ET.Element], video: Path) -> str:
    match = _VIDEO_NAME.match(video.stem)
    if match:
        return match[1].upper()
    named = sorted({_attribute(element, "id") for element in _elements(documents, "subject")} - {""})
    if len(named) != 1:
        raise BadInput(
            f"neither the name of {video.name} nor session.xml says who is seen; name the video S001-001.avi"
        )
    return f"S{int(named[0]):03d}" if named[0].isdecimal() else require_name(named[0], "subject")


def _to_the_apex(documents: dict[str, ET.Element], video: Path) -> Clip:
    apex = _apex(documents)
    if apex is not None and apex < 0:
        raise BadInput(f"its XML puts the apex at frame {apex + 1}, and frames count from 1; download it again")
    return Clip(video, 0, count_frames(video) // 2 if apex is None else apex)


def _apex(documents: dict[str, ET.Element]) -> int | None:
    """The first frame, from 0, at which most action units are at their apex; None if there are no such markers."""
    changes: Counter[int] = Counter()
    for unit in _elements(documents, "actionunit"):
        at_apex = False
        for frame, kind in sorted(_markers(unit)):
            if kind == _APEX_BEGINS and not at_apex:
                changes[frame] += 1
                at_apex = True
            elif kind == _OFFSET_BEGINS and at_apex:
                changes[frame] -= 1
                at_apex = False
    units, most, apex = 0, 0, None
    for frame, change in sorted(changes.items()):
        units += change
        if units > most:
            most, apex = units, frame - 1
    return apex


def _markers(unit: ET.Element) -> list[tuple[int, str]]:
    """Frame, from 1, and type of an action unit's markers: 0 neutral, 1 onset, 2 apex, 3 offset begins there."""
    try:
        markers = [element for element in unit.iter() if _is_named(element, "marker")]
        return [(int(_attribute(marker, "frame")), _attribute(marker, "type")) for marker in markers]
    except ValueError:
        raise BadInput("a marker of its XML is at no frame's number; download the session again") from None
