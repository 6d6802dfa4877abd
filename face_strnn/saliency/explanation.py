"""Where a run's networks look: their projections, attributions of the sequences they never saw, and, on the stand-in
data, how well each of these finds the places that move.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.atomic_files import write_text_whole
from data_prep.store.store import FeatureStore
from data_prep.synthetic.places import emotion_places
from face_strnn.config import NetworkConfig
from face_strnn.drawing import save_figure
from face_strnn.evaluation.run import Run
from face_strnn.models.strnn import STRNN, initial_parameters
from face_strnn.saliency.attribution import STEPS, Baseline, baseline_of, gradient_times_change, integrated_gradients
from face_strnn.saliency.drawings import draw_emotions
from face_strnn.saliency.held_out import HeldOut, HeldOutSequence
from face_strnn.saliency.localisation import area_under_curve, centre_prior
from face_strnn.saliency.projection_figures import crop_margin, write_projection_figures
from face_strnn.saliency.projections import (
    DIRECTIONS,
    WAYS,
    has_projection,
    has_temporal_projection,
    kept_steps,
    projection_saliency,
    sparsity,
)
from face_strnn.saliency.saliency_file import SALIENCY_FILE
from face_strnn.training.samples import channel_moments
from face_strnn.training.standardisation import Standardisation

PARTS = 10
"""Equal parts of a sequence whose attributions are told apart, whatever its number of frames."""

BASELINES_IN_WORDS = {"first-frame": "the first frame all the time", "zeros": "maps of zeros"}


@dataclass(frozen=True)
class Explained:
    """One held-out sequence, attributed to the logit of its true emotion.

    Attributes:
        sequence, subject, emotion, fold: which one.
        rise, residue: see :class:`face_strnn.saliency.attribution.Attribution`; means over the fold's networks.
        places: (h, w) integrated gradients, summed over time.
        sizes: (h, w) their absolute values, summed over time.
        course: (:data:`PARTS`,) what each part of the sequence adds.
        gradient: (h, w) absolute gradient times change, summed over time.
        untrained: (h, w) as ``sizes``, of the same networks before training.
        change: (h, w) absolute difference of the maps from the baseline's, summed over time and channels: no network.
    """

    sequence: str
    subject: str
    emotion: str
    fold: int
    rise: float
    residue: float
    places: np.ndarray
    sizes: np.ndarray
    course: np.ndarray
    gradient: np.ndarray
    untrained: np.ndarray
    change: np.ndarray


def explain_run(
    run: Run,
    store: FeatureStore,
    baseline: Baseline = "first-frame",
    steps: int = STEPS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write a run's ``saliency.json`` and its figures, attributions of held-out sequences among them.

    Args:
        run: a finished run.
        store: the features that it was made with.
        baseline: see :func:`face_strnn.saliency.attribution.baseline_of`.
        steps: see :func:`face_strnn.saliency.attribution.integrated_gradients`.
        progress: called with the name of each sequence that is done.

    Returns:
        What stands in ``saliency.json``. Maps are lists of rows; ``truth`` and ``localisation`` are null where the
        places that move are not known.

    Raises:
        BadInput: the run is not finished or damaged, or the store is not its store.
    """
    held_out = HeldOut(run, store)
    summary, margin = held_out.summary, crop_margin(held_out.summary)
    before_training = _Untrained(held_out)
    explained = []
    for name in held_out.sequences:
        explained.append(_explain(held_out, held_out.sequence(name), before_training, baseline, steps))
        if progress:
            progress(name)
    emotions = [emotion for emotion in held_out.classes if any(one.emotion == emotion for one in explained)]
    grid = explained[0].places.shape
    synthetic = summary.data == "synthetic"
    truth = {emotion: emotion_places(emotion, grid, margin) for emotion in emotions} if synthetic else None
    checkpoints = run.checkpoints
    found = {
        "data": summary.data,
        "selection": summary.selection,
        "features": store.fingerprint,
        "baseline": baseline,
        "steps": steps,
        **_of_projections(checkpoints),
        "completeness": _completeness(explained),
        "emotions": {emotion: _of_emotion(explained, emotion) for emotion in emotions},
        "truth": truth and {emotion: places.astype(int).tolist() for emotion, places in truth.items()},
        "localisation": truth and localisation(explained, checkpoints, truth),
        "sequences": [
            {
                "sequence": one.sequence,
                "emotion": one.emotion,
                "fold": one.fold,
                "rise": one.rise,
                "residue": one.residue,
                "places": one.places.tolist(),
                "course": one.course.tolist(),
            }
            for one in explained
        ],
    }
    write_text_whole(run.folder / SALIENCY_FILE, json.dumps(_rounded(found)) + "\n")
    write_projection_figures(run)
    of_emotion = {emotion: [one for one in explained if one.emotion == emotion] for emotion in emotions}
    figure = draw_emotions(
        {emotion: _mean(ones, "places") for emotion, ones in of_emotion.items()},
        {emotion: np.stack([one.course for one in ones]) for emotion, ones in of_emotion.items()},
        {emotion: len(ones) for emotion, ones in of_emotion.items()},
        truth,
        data=summary.data,
        selection=summary.selection,
        baseline=BASELINES_IN_WORDS[baseline],
        margin=margin,
    )
    save_figure(figure, run.folder / "figures" / "saliency-emotions")
    return found


def localisation(
    explained: list[Explained], checkpoints: list[Path], truth: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Measure how well each kind of saliency finds the places that each emotion moves.

    Maps of attributions are means over an emotion's held-out sequences; |G|, the same for all emotions, is a mean over
    networks. The rows of kind ``"control"`` know nothing of what was learned, or of the emotion.

    Over all nodes any map that is bright in the middle of the face does well. What tells maps apart is the area among
    the nodes that some emotion moves: whether a map finds this emotion's places and not those of the others.

    Args:
        explained: the sequences.
        checkpoints: all of the run's.
        truth: emotion -> bool (h, w).

    Returns:
        One row per map: ``saliency`` (its name), ``kind`` (``"network"`` or ``"control"``), ``auc`` (emotion -> area
        under the ROC curve over all nodes) and ``mean`` of it over emotions; ``auc_among_moved`` and
        ``mean_among_moved``: the same over the nodes that some emotion moves, emotions left out that move all of them.
    """
    emotions = list(truth)
    somewhere = np.any(list(truth.values()), axis=0)
    by_emotion = {emotion: [one for one in explained if one.emotion == emotion] for emotion in emotions}
    rows = []

    def add(name: str, kind: str, maps: Mapping[str, Sequence[np.ndarray]]) -> None:
        row = {"saliency": name, "kind": kind}
        for suffix, among in (("", np.ones_like(somewhere)), ("_among_moved", somewhere)):
            row[f"auc{suffix}"] = auc = {
                emotion: float(np.mean([area_under_curve(one[among], truth[emotion][among]) for one in maps[emotion]]))
                for emotion in emotions
                if not truth[emotion][among].all()
            }
            row[f"mean{suffix}"] = float(np.mean(list(auc.values()))) if auc else None
        rows.append(row)

    def attributed(field: str) -> dict[str, tuple[np.ndarray]]:
        return {emotion: (_mean(ones, field),) for emotion, ones in by_emotion.items()}

    if has_projection(checkpoints[0]):
        projected = projection_saliency(checkpoints)
        add("|G|, mean over directions", "network", dict.fromkeys(emotions, (projected.mean,)))
        for direction, of_direction in zip(DIRECTIONS, projected.per_direction.mean(axis=0), strict=True):
            add(f"|G| from the {direction}", "network", dict.fromkeys(emotions, (of_direction,)))
    add("integrated gradients", "network", attributed("places"))
    sizes = attributed("sizes")
    add("integrated gradients, absolute", "network", sizes)
    add("gradient x change, absolute", "network", attributed("gradient"))
    if len(emotions) > 1:
        others = {
            emotion: [one for other in emotions if other != emotion for one in sizes[other]] for emotion in emotions
        }
        add("absolute, of the other emotions", "control", others)
    add("absolute, untrained networks", "control", attributed("untrained"))
    add("change of the maps, no network", "control", attributed("change"))
    add("centre prior, no data", "control", dict.fromkeys(emotions, (centre_prior(somewhere.shape),)))
    return rows


def by_parts(places: Tensor) -> np.ndarray:
    """Sum attributions over the face, and over ten equal parts of the time from the first frame to the last.

    A frame stands for the time up to half-way to its neighbours; where a part's edge falls within, its attribution is
    divided in proportion.

    Args:
        places: (frames, h, w).

    Returns:
        (:data:`PARTS`,); it has the sum of ``places``.
    """
    of_frame = places.sum((1, 2)).double().numpy()
    n = len(of_frame)
    if n == 1:
        return np.full(PARTS, of_frame[0] / PARTS)
    edges = np.concatenate([[0], (np.arange(n - 1) + 0.5) / (n - 1), [1]])
    so_far = np.concatenate([[0], np.cumsum(of_frame)])
    return np.diff(np.interp(np.linspace(0, 1, PARTS + 1), edges, so_far))


class _Untrained:
    """Networks like a run's, drawn as training draws them and never taught: a control for attributions."""

    def __init__(self, held_out: HeldOut) -> None:
        self._held_out = held_out
        self._moments = channel_moments(held_out.samples)
        self._of_fold: dict[int, list[STRNN]] = {}

    def of_fold(self, fold: int, config: NetworkConfig) -> list[STRNN]:
        """Draw as many networks as the fold has, standardised on its own training samples."""
        if fold not in self._of_fold:
            taught = torch.zeros(1, len(self._held_out.samples), dtype=torch.bool)
            taught[0, self._held_out.train(fold)] = True
            standardisation = Standardisation.fit(self._moments, taught)
            networks = []
            for seed in range(self._held_out.summary.seeds):
                drawn = initial_parameters(config, torch.Generator().manual_seed(1000 * seed + fold))
                folded = standardisation.fold_in({name: tensor.unsqueeze(0) for name, tensor in drawn.items()})
                network = STRNN(**vars(config))
                network.set_parameters({name: tensor[0] for name, tensor in folded.items()})
                networks.append(network)
            self._of_fold[fold] = networks
        return self._of_fold[fold]


def _explain(
    held_out: HeldOut, sequence: HeldOutSequence, before_training: _Untrained, baseline: Baseline, steps: int
) -> Explained:
    networks, maps = sequence.networks, sequence.maps.float()
    target, how = held_out.classes.index(sequence.emotion), held_out.interpolation
    attribution = integrated_gradients(networks, maps, target, how, baseline, steps)
    untrained = before_training.of_fold(sequence.fold, networks[0].config)
    # The control's map needs no complete sum.
    control = integrated_gradients(untrained, maps, target, how, baseline, max(1, steps // 4))
    gradient = gradient_times_change(networks, maps, target, how, baseline)
    return Explained(
        sequence.name,
        sequence.subject,
        sequence.emotion,
        sequence.fold,
        attribution.rise,
        attribution.residue,
        attribution.places.sum(0).numpy(),
        attribution.places.abs().sum(0).numpy(),
        by_parts(attribution.places),
        gradient.places.abs().sum(0).numpy(),
        control.places.abs().sum(0).numpy(),
        (maps - baseline_of(maps, baseline)).abs().sum((0, 3)).numpy(),
    )


def _of_projections(checkpoints: list[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {"n_networks": len(checkpoints), "projection": None, "time_steps": None}
    if has_projection(checkpoints[0]):
        saliency = projection_saliency(checkpoints)
        found["projection"] = {
            "mean": saliency.mean.tolist(),
            "std": saliency.spread.tolist(),
            "directions": {
                name: {"mean": mean.tolist(), "std": std.tolist()}
                for name, mean, std in zip(
                    DIRECTIONS, saliency.per_direction.mean(axis=0), saliency.spread_per_direction, strict=True
                )
            },
            "networks": saliency.per_fold.tolist(),
        }
    if has_temporal_projection(checkpoints[0]):
        steps = kept_steps(checkpoints)
        found["time_steps"] = {
            way: {"mean": mean.tolist(), "std": std.tolist()}
            for way, mean, std in zip(WAYS, steps.mean, steps.spread, strict=True)
        }
    found["sparsity"] = {
        name: {"mean": float(shares.mean()), "std": float(shares.std(ddof=1)) if len(shares) > 1 else None}
        for name, shares in sparsity(checkpoints).items()
    }
    return found


def _completeness(explained: list[Explained]) -> dict[str, float]:
    """How much of the logits' differences the attributions account for."""
    rises = np.array([one.rise for one in explained])
    residues = np.array([one.residue for one in explained])
    return {
        "mean_absolute_rise": float(np.abs(rises).mean()),
        "mean_absolute_residue": float(np.abs(residues).mean()),
        "largest_absolute_residue": float(np.abs(residues).max()),
    }


def _of_emotion(explained: list[Explained], emotion: str) -> dict[str, Any]:
    ones = [one for one in explained if one.emotion == emotion]
    places, courses = np.stack([one.places for one in ones]), np.stack([one.course for one in ones])
    return {
        "n_sequences": len(ones),
        "mean": places.mean(axis=0).tolist(),
        "std": (places.std(axis=0, ddof=1) if len(ones) > 1 else np.zeros_like(places[0])).tolist(),
        "absolute": _mean(ones, "sizes").tolist(),
        "course": courses.mean(axis=0).tolist(),
    }


def _mean(explained: list[Explained], field: str) -> np.ndarray:
    return np.mean([getattr(one, field) for one in explained], axis=0)


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Six significant digits: what float32 gradients have."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
