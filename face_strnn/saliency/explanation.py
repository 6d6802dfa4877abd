"""Where a run's networks look: their projections, attributions of held-out sequences, and, on synthetic data, how
well each of these finds the nodes that move.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.atomic_files import write_text_whole
from data_prep.store.store import FeatureStore
from data_prep.synthetic.places import emotion_cells
from face_strnn.drawing import FigureSource, save_figure
from face_strnn.evaluation.run import Run
from face_strnn.saliency.attribution import STEPS, Baseline
from face_strnn.saliency.drawings import draw_emotions
from face_strnn.saliency.explained import Explained, UntrainedNetworks, explain, mean_map
from face_strnn.saliency.held_out import HeldOut
from face_strnn.saliency.localisation import localisation
from face_strnn.saliency.projection_figures import crop_margin, write_projection_figures
from face_strnn.saliency.projections import (
    DIRECTIONS,
    TEMPORAL,
    WAYS,
    has_projection,
    kept_steps,
    projection_saliency,
    sample_std,
    sparsity,
)
from face_strnn.saliency.saliency_file import SALIENCY_FILE

BASELINES_IN_WORDS = {"first-frame": "the first frame, repeated", "zeros": "maps of zeros"}


def explain_run(
    run: Run,
    store: FeatureStore,
    baseline: Baseline = "first-frame",
    steps: int = STEPS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write a run's ``saliency.json`` and its figures, which include attributions of held-out sequences.

    Args:
        run: a finished run.
        store: the features that it was made with.
        baseline: see :func:`face_strnn.saliency.attribution.baseline_of`.
        steps: see :func:`face_strnn.saliency.attribution.integrated_gradients`.
        progress: called with the name of each sequence that is done.

    Returns:
        The contents of ``saliency.json``. Maps are lists of rows; ``truth`` and ``localisation`` are null where the
        nodes that move are not known.

    Raises:
        BadInput: the run is not finished or damaged, or the store is not its store.
    """
    held_out = HeldOut(run, store)
    summary, margin = held_out.summary, crop_margin(held_out.summary)
    before_training, explained = UntrainedNetworks(held_out), []
    for name in held_out.sequences:
        explained.append(explain(held_out, held_out.sequence(name), before_training, baseline, steps))
        if progress:
            progress(name)
    by_emotion = {emotion: [one for one in explained if one.emotion == emotion] for emotion in held_out.classes}
    by_emotion = {emotion: sequences for emotion, sequences in by_emotion.items() if sequences}
    truth = None
    if summary.data == "synthetic":
        truth = {emotion: emotion_cells(emotion, explained[0].per_node.shape, margin) for emotion in by_emotion}
    checkpoints = run.checkpoints
    explanation = {
        "data": summary.data,
        "selection": summary.selection,
        "features": store.fingerprint,
        "baseline": baseline,
        "steps": steps,
        **_projections_as_json(checkpoints),
        "completeness": _completeness(explained),
        "emotions": {emotion: _emotion_as_json(sequences) for emotion, sequences in by_emotion.items()},
        "truth": truth and {emotion: moved.astype(int).tolist() for emotion, moved in truth.items()},
        "localisation": truth and localisation(explained, checkpoints, truth),
        "sequences": [_sequence_as_json(one) for one in explained],
    }
    write_text_whole(run.folder / SALIENCY_FILE, json.dumps(_rounded(explanation)) + "\n")
    write_projection_figures(run)
    figure = draw_emotions(
        {emotion: mean_map(sequences, "per_node") for emotion, sequences in by_emotion.items()},
        {emotion: np.stack([one.course for one in sequences]) for emotion, sequences in by_emotion.items()},
        truth,
        BASELINES_IN_WORDS[baseline],
        FigureSource(summary.data, summary.selection),
        margin,
    )
    save_figure(figure, run.folder / "figures" / "saliency-emotions")
    return explanation


def _projections_as_json(checkpoints: list[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {"n_networks": len(checkpoints), "projection": None, "time_steps": None}
    if has_projection(checkpoints[0]):
        saliency = projection_saliency(checkpoints)
        directions = zip(DIRECTIONS, saliency.per_direction.swapaxes(0, 1), strict=True)
        found["projection"] = {
            **_mean_and_std(saliency.per_network),
            "directions": {name: _mean_and_std(maps) for name, maps in directions},
            "networks": saliency.per_network.tolist(),
        }
    if has_projection(checkpoints[0], TEMPORAL):
        steps = zip(WAYS, kept_steps(checkpoints).per_network.swapaxes(0, 1), strict=True)
        found["time_steps"] = {way: _mean_and_std(weights) for way, weights in steps}
    found["sparsity"] = {
        name: {"mean": float(shares.mean()), "std": float(shares.std(ddof=1)) if len(shares) > 1 else None}
        for name, shares in sparsity(checkpoints).items()
    }
    return found


def _mean_and_std(values: np.ndarray) -> dict[str, list]:
    """Over the first dimension: networks, or sequences."""
    return {"mean": values.mean(axis=0).tolist(), "std": sample_std(values).tolist()}


def _completeness(explained: list[Explained]) -> dict[str, float]:
    """How far the attributions sum to the logits' differences."""
    differences = np.abs([one.logit_difference for one in explained])
    residuals = np.abs([one.residual for one in explained])
    return {
        "mean_absolute_logit_difference": float(differences.mean()),
        "mean_absolute_residual": float(residuals.mean()),
        "largest_absolute_residual": float(residuals.max()),
    }


def _sequence_as_json(one: Explained) -> dict[str, Any]:
    written = ("sequence", "emotion", "fold", "logit_difference", "residual")
    maps = {"per_node": one.per_node.tolist(), "course": one.course.tolist()}
    return {name: getattr(one, name) for name in written} | maps


def _emotion_as_json(sequences: list[Explained]) -> dict[str, Any]:
    return {
        "n_sequences": len(sequences),
        **_mean_and_std(np.stack([one.per_node for one in sequences])),
        "absolute": mean_map(sequences, "absolute").tolist(),
        "course": mean_map(sequences, "course").tolist(),
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Six significant digits: what float32 gradients have."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
