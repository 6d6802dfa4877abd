"""The figures of a run's projections: by direction, by column, over time."""

from pathlib import Path

from data_prep.faces.crops import MARGIN
from face_strnn.drawing import FigureSource, save_figures
from face_strnn.evaluation.run import Run
from face_strnn.evaluation.summary import Summary
from face_strnn.saliency.drawings import draw_columns, draw_directions, draw_kept_steps
from face_strnn.saliency.projections import TEMPORAL, has_projection, kept_steps, projection_saliency


def write_projection_figures(run: Run) -> list[Path]:
    """Draw the projections in full, beside :func:`face_strnn.report.figures.write_figures`: by direction, by column,
    and over time.

    The figures of a layer that an ablation lacks are omitted.

    Returns:
        The PNG files written.

    Raises:
        BadInput: a file of the run is missing or broken.
    """
    summary = run.summary
    source = FigureSource(summary.data, summary.selection)
    checkpoints = run.checkpoints
    drawn = {}
    if has_projection(checkpoints[0]):
        saliency, margin = projection_saliency(checkpoints), crop_margin(summary)
        drawn["saliency-directions"] = draw_directions(saliency, source, margin)
        drawn["saliency-columns"] = draw_columns(saliency, source, margin)
    if has_projection(checkpoints[0], TEMPORAL):
        drawn["saliency-steps"] = draw_kept_steps(kept_steps(checkpoints), source)
    return save_figures(
        run.folder / "figures", drawn, optional={"saliency-directions", "saliency-columns", "saliency-steps"}
    )


def crop_margin(summary: Summary) -> float:
    """Return the margin of the crops that a run's features were made from; the default where it is not recorded."""
    crop = summary.features.get("crop")
    return float(crop["margin"]) if isinstance(crop, dict) and "margin" in crop else MARGIN
