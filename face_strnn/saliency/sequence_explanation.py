"""Attributions of one held-out sequence in a figure, without the subject's face unless that is requested."""

from pathlib import Path

import numpy as np

from data_prep.datasets.catalogue import Catalogue
from data_prep.datasets.sequence_frames import frames_of, source_sha256
from data_prep.errors import BadInput
from data_prep.faces.crops import crops_of, extract_crop
from data_prep.faces.tracking import FaceFollower
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.drawing import FigureSource, save_figure
from face_strnn.evaluation.run import Run
from face_strnn.saliency.attribution import STEPS, Baseline, integrated_gradients
from face_strnn.saliency.drawings import draw_sequence
from face_strnn.saliency.held_out import HeldOut
from face_strnn.saliency.projection_figures import crop_margin
from face_strnn.training.probabilities import probabilities

FACES_FOLDER = "shows-faces"
"""Folder of a run for figures that show subjects: apart from ``figures/``, which may be published."""

_FACE_PIXELS = 224


def explain_sequence(
    run: Run,
    store: FeatureStore,
    name: str,
    baseline: Baseline = "first-frame",
    steps: int = STEPS,
    faces_from: Catalogue | None = None,
) -> Path:
    """Draw integrated gradients of one test sequence, frame by frame and over time, for every emotion.

    Args:
        run: a finished run.
        store: the features that it was made with.
        name: the sequence's, such as ``"S005_001"``.
        baseline: see :func:`face_strnn.saliency.attribution.baseline_of`.
        steps: see :func:`face_strnn.saliency.attribution.integrated_gradients`.
        faces_from: the data set whose images are laid under the maps; the figure then shows the subject's face and is
            written to ``RUN/shows-faces/``. None, the default, draws an outline of no subject, in ``RUN/figures/``.

    Returns:
        The PNG's path; PDF and SVG lie beside it.

    Raises:
        BadInput: the run is not finished or damaged, the store is not its store, the run tested no such sequence, or
            the data set does not have it, or has other images of it.
    """
    held_out = HeldOut(run, store)
    sequence, summary = held_out.sequence(name), held_out.summary
    emotion, margin = sequence.entry.emotion, crop_margin(summary)
    faces = None if faces_from is None else _faces(faces_from, sequence.entry, margin, len(sequence.maps))
    each = [probabilities(network, [sequence.maps], held_out.interpolation)[0] for network in sequence.networks]
    prediction = held_out.classes[int(np.mean(each, axis=0).argmax())]
    attributions = {
        name_of_class: integrated_gradients(
            sequence.networks, sequence.maps, number, held_out.interpolation, baseline, steps
        ).per_node.numpy()
        for number, name_of_class in enumerate(held_out.classes)
    }
    result = "recognised" if prediction == emotion else f"predicted as {prediction}"
    title = f"{name}: {emotion}, {result} by fold {sequence.fold}, whose networks never saw its subject"
    if faces is not None:
        synthetic = summary.data == "synthetic"
        title += "\nshows a synthetic face" if synthetic else "\nSHOWS THE SUBJECT'S FACE: not to be passed on"
    figure = draw_sequence(
        title,
        attributions[emotion],
        {name_of_class: per_node.sum((1, 2)) for name_of_class, per_node in attributions.items()},
        emotion,
        faces,
        FigureSource(summary.data, summary.selection),
        margin,
    )
    folder, file = (run.folder / "figures", f"sequence-{name}") if faces is None else (run.folder / FACES_FOLDER, name)
    folder.mkdir(exist_ok=True)
    return save_figure(figure, folder / file)


def _faces(catalogue: Catalogue, entry: StoredSequence, margin: float, n_frames: int) -> np.ndarray:
    """Extract a sequence's crops from its images again: uint8 (frames, n, n, 3)."""
    sequence = next((one for one in catalogue.sequences if one.name == entry.sequence), None)
    if sequence is None:
        raise BadInput(f"{catalogue.root}: has no sequence {entry.sequence}; give --root the data of this run")
    if source_sha256(sequence) != entry.source:
        raise BadInput(
            f"{sequence.path}: these are not the images that the run's features were made from; "
            "give --root the data of this run"
        )
    frames = [frame.image for frame in frames_of(sequence)]
    crops = crops_of(FaceFollower().track(frames), "per-sequence", margin)
    if len(frames) != n_frames or not crops:
        raise BadInput(f"{sequence.path}: its crops cannot be extracted again; omit --show-faces")
    return np.stack([extract_crop(frame, crops[0], _FACE_PIXELS) for frame in frames])
