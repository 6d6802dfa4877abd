"""Figures of where and when networks look: projection weights, and attributions, over the outline of a face.

Maps are interpolated bicubically between the grid's nodes, in inferno, whose lightness grows evenly, with contour
lines: they can be read without colour vision and in print. Figures state or show the resolution of the grid.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from data_prep.faces.crops import MARGIN
from face_strnn.drawing import BLUE, GREY, ORANGE, Figure, FigureSource, entitle
from face_strnn.saliency.face_outline import draw_outline
from face_strnn.saliency.projections import DIRECTIONS, WAYS, KeptSteps, Saliency, sample_std

_PIXELS = 280
"""Side of a smooth map: forty pixels for each of seven nodes."""

_MAP = "inferno"

_LINES = ("--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def smooth_map(grid: np.ndarray, pixels: int = _PIXELS) -> np.ndarray:
    """Interpolate bicubically between the nodes of a grid, (h, w) -> (pixels, pixels).

    A node's value is in the middle of its cell; beyond the outermost nodes it is extended to the border.
    """
    return cv2.resize(np.asarray(grid, np.float64), (pixels, pixels), interpolation=cv2.INTER_CUBIC)


def draw_saliency(saliency: Saliency, source: FigureSource, margin: float = MARGIN) -> Figure:
    """Draw the mean map over the outline of a face (the paper's Fig. 6), and each node's standard deviation.

    Args:
        saliency: maps on the h x w grid, which covers the face crop; a network per fold and seed.
        source: for the title.
        margin: the crop's.
    """
    n_networks, height, width = saliency.per_network.shape
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    face, nodes = figure.subplots(1, 2, width_ratios=(1.55, 1))

    image = _draw_map(face, 100 * saliency.mean, _range(100 * saliency.mean), margin)
    face.set_title("mean over networks, on an outline of a face in the crop", fontsize=10.5)
    bar = figure.colorbar(image, ax=face, shrink=0.8, pad=0.02, format=lambda value, _: f"{value:.1f} %")
    bar.set_label(
        f"share of the projection's weight\n(uniform over {height * width} nodes: {100 / (height * width):.1f} %)"
    )

    nodes.imshow(100 * saliency.std, cmap="Greys", vmin=0, vmax=2 * max(100 * saliency.std.max(), 1e-12))
    for (row, column), mean in np.ndenumerate(100 * saliency.mean):
        nodes.text(column, row - 0.16, f"{mean:.1f}", ha="center", va="center", fontsize=8.5, fontweight="bold")
        std = f"±{100 * saliency.std[row, column]:.1f}" if n_networks > 1 else ""
        nodes.text(column, row + 0.22, std, ha="center", va="center", fontsize=7)
    nodes.set(xticks=[], yticks=[])
    nodes.set_title(f"each node, per cent:\nmean ± std over {_networks(n_networks)}", fontsize=10.5)
    entitle(figure, "Where the spatial projection looks: mean |G| over directions and columns", source)
    return figure


def draw_directions(saliency: Saliency, source: FigureSource, margin: float = MARGIN) -> Figure:
    """Draw the mean map of each direction on one scale, and below it its standard deviation over networks.

    Arguments are those of :func:`draw_saliency`.
    """
    n_networks = len(saliency.weights)
    mean, std = 100 * saliency.per_direction.mean(axis=0), 100 * saliency.std_per_direction
    figure = Figure(figsize=(11.5, 6.6), layout="constrained")
    axes = figure.subplots(2, len(mean))
    for direction, (above, below) in enumerate(axes.T):
        image = _draw_map(above, mean[direction], _range(mean), margin)
        share = mean[direction].sum() / mean.sum()
        above.set_title(f"from the {DIRECTIONS[direction]}\n{100 * share:.0f} % of the weight", fontsize=10.5)
        shade = below.imshow(std[direction], cmap="Greys", vmin=0, vmax=max(std.max(), 1e-12))
        below.set(xticks=[], yticks=[])
    percent = {"format": lambda value, _: f"{value:.1f} %"}
    figure.colorbar(image, ax=axes[0], shrink=0.85, pad=0.01, **percent).set_label("mean |G|, share of all")
    figure.colorbar(shade, ax=axes[1], shrink=0.85, pad=0.01, **percent).set_label(
        f"std over {_networks(n_networks)}" if n_networks > 1 else "one network: no std"
    )
    entitle(figure, "Where the spatial projection looks, by direction: mean |G| over columns", source)
    return figure


def draw_columns(saliency: Saliency, source: FigureSource, margin: float = MARGIN) -> Figure:
    """Draw the columns of G of the first network, a row for each direction, each map scaled to its own largest entry.

    The order of columns differs between networks, so there is no mean over networks to draw. Arguments are those
    of :func:`draw_saliency`.
    """
    weights = saliency.weights[0]
    directions, columns = weights.shape[:2]
    figure = Figure(figsize=(1.08 * columns + 1.2, 1.12 * directions + 1.1), layout="constrained")
    axes = figure.subplots(directions, columns, squeeze=False)
    for direction, column in np.ndindex(directions, columns):
        grid, here = weights[direction, column], axes[direction, column]
        _draw_map(here, grid, (0.0, grid.max()), margin, width=0.6, small=True)
        if column == 0:
            here.set_ylabel(DIRECTIONS[direction], fontsize=9.5)
        if direction == 0:
            here.set_title(f"{column + 1}", fontsize=9.5)
    title = "Columns of |G| of the first fold's network, each scaled to its largest entry"
    entitle(figure, title, source)
    return figure


def draw_kept_steps(steps: KeptSteps, source: FigureSource) -> Figure:
    """Draw which time steps the temporal projections keep: |G^f| and |G^b|, mean and std over networks.

    Args:
        steps: weights of the L time steps.
        source: for the title.
    """
    n_networks, _, length = steps.per_network.shape
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    number = np.arange(1, length + 1)
    for way, colour, line, mean, std in zip(
        WAYS, (BLUE, ORANGE), ("-", "--"), 100 * steps.mean, 100 * steps.std, strict=True
    ):
        axes.fill_between(number, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0)
        axes.plot(number, mean, line, color=colour, linewidth=2, label=f"{way}, |G{'ᶠ' if way == 'forward' else 'ᵇ'}|")
    axes.axhline(100 / length, color=GREY, linewidth=1, linestyle=":")
    axes.annotate(
        "uniform", (length, 100 / length), (4, 0), textcoords="offset points", va="center", fontsize=9,
        color=GREY,
    )  # fmt: skip
    axes.set(xlabel="time step: 1 is the first frame, neutral; the last is the apex", ylabel="share of the weight")
    axes.set_xlim(1, length)
    axes.set_ylim(0, 118 * (steps.mean + steps.std).max() or 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1f} %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", frameon=False, ncols=2)
    band = f"mean and, as bands, ± std over {_networks(n_networks)}" if n_networks > 1 else "one network"
    axes.set_title(band, fontsize=10.5)
    entitle(figure, "Which time steps the temporal projections keep: mean |G| over columns", source)
    return figure


def draw_emotions(
    maps: Mapping[str, np.ndarray],
    courses: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray] | None,
    baseline: str,
    source: FigureSource,
    margin: float = MARGIN,
) -> Figure:
    """Draw each emotion's mean attributions: over the face, and below over time.

    Args:
        maps: emotion -> (h, w) what each node adds to the emotion's logit, mean over its held-out sequences.
        courses: emotion -> (sequences, n) what each of n equal parts of a sequence adds to it.
        truth: emotion -> bool (h, w), the nodes that its action units move, marked in the map; None where unknown.
        baseline: what the sequences were compared with, in words.
        source: for the title.
        margin: the crop's.
    """
    columns = 4
    rows = -(-(len(maps) + 1) // columns)
    figure = Figure(figsize=(12, 4.6 * rows + 0.4), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)  # inches, between the time under one face and the title of the next
    axes = figure.subplots(2 * rows, columns, height_ratios=[3.1, 1] * rows, squeeze=False)
    means = {emotion: (course.mean(axis=0), sample_std(course)) for emotion, course in courses.items()}
    lowest = min(float((mean - std).min()) for mean, std in means.values())
    highest = max(float((mean + std).max()) for mean, std in means.values())
    for cell in range(len(maps), rows * columns):
        for each in _pair(axes, cell):
            each.axis("off")
    for cell, (emotion, grid) in enumerate(maps.items()):
        above, below = _pair(axes, cell)
        # Each map is scaled to its own largest value, which differs several times between emotions.
        largest = float(grid.max())
        image = _draw_map(above, grid / max(largest, 1e-12), (0.0, 1.0), margin)
        if truth is not None:
            _mark(above, truth[emotion])
        n = len(courses[emotion])
        above.set_title(f"{emotion}, {n} sequence{'s' * (n != 1)}\nbrightest: {largest:+.2f}", fontsize=11)
        _draw_course(below, *means[emotion])
        below.set_ylim(min(lowest, 0) * 1.05, highest * 1.05)
    _explain(_pair(axes, len(maps))[0], image, truth is not None, baseline)
    entitle(figure, "What speaks for each emotion: integrated gradients of held-out sequences", source)
    return figure


def draw_sequence(
    title: str,
    per_node: np.ndarray,
    courses: Mapping[str, np.ndarray],
    shown: str,
    faces: np.ndarray | None,
    source: FigureSource,
    margin: float = MARGIN,
) -> Figure:
    """Draw one sequence's attributions: over the face frame by frame, and as a curve over time for every emotion.

    Args:
        title: names the sequence, its emotion, the prediction and the fold.
        per_node: (frames, h, w) what each node of each frame adds to the logit of the emotion ``shown``.
        courses: emotion -> (frames,) what each frame adds to that emotion's logit.
        shown: the emotion whose maps are drawn.
        faces: uint8 (frames, n, n, 3), the crops, to lay under the maps; None draws an outline.
        source: for the title.
        margin: the crop's.
    """
    chosen = np.unique(np.linspace(0, len(per_node) - 1, min(len(per_node), 8)).round().astype(int))
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, len(chosen), height_ratios=(1, 1.75))
    largest, image = max(float(abs(per_node[chosen]).max()), 1e-12), None
    above = [figure.add_subplot(grid[0, column]) for column in range(len(chosen))]
    for axes, frame in zip(above, chosen, strict=True):
        face = None if faces is None else faces[frame]
        image = _draw_map(axes, per_node[frame], (0.0, largest), margin, width=0.9, face=face)
        last = ", apex" if frame == len(per_node) - 1 else ", first" if frame == 0 else ""
        axes.set_title(f"frame {frame + 1}{last}", fontsize=10)
    bar = figure.colorbar(image, ax=above, shrink=0.8, pad=0.01)
    bar.set_label(f"added to the logit\nof {shown}")
    below = figure.add_subplot(grid[1, :])
    number = np.arange(1, len(per_node) + 1)
    ends = {}
    for style, (emotion, course) in enumerate(sorted(courses.items(), key=lambda item: -item[1].sum())):
        rise = float(course.sum())
        colour, width = (ORANGE, 2.8) if emotion == shown else (GREY, 1.3)
        line = "-" if emotion == shown else _LINES[style % len(_LINES)]
        below.plot(number, np.cumsum(course), linestyle=line, color=colour, linewidth=width)
        ends[emotion] = rise
    _label_ends(below, ends, number[-1], shown)
    below.axhline(0, color=GREY, linewidth=0.8)
    below.set(xlabel="frame", ylabel="added to the logit so far")
    below.set_xlim(1, number[-1] + max(1.0, 0.13 * (number[-1] - 1)))
    below.xaxis.set_major_locator(MaxNLocator(14, integer=True))
    below.grid(axis="y", color="#e3e7ec", linewidth=0.8)
    below.spines[["top", "right"]].set_visible(False)
    below.set_title(
        "all emotions over time: integrated gradients, summed over the face, up to each frame", fontsize=10.5
    )
    entitle(figure, title, source)
    return figure


def _range(grid: np.ndarray) -> tuple[float, float]:
    """Smallest and largest share: where a projection is hardly sparse, a scale from 0 would show nothing."""
    return float(grid.min()), float(grid.max())


def _draw_map(
    axes: Axes,
    grid: np.ndarray,
    limits: tuple[float, float],
    margin: float,
    width: float = 1.4,
    small: bool = False,
    face: np.ndarray | None = None,
) -> AxesImage:
    """Draw a grid smoothly over an outline, or a face.

    Contour lines are at quarters of the scale; below a scale from 0 dashed ones are at quarters of it downwards.

    Args:
        axes: to draw into.
        grid: (h, w).
        limits: values of the darkest and the brightest colour.
        margin: the crop's.
        width: of the outline, in points.
        small: draws neither contour lines nor halos, for a thumbnail.
        face: uint8 (n, n, 3), drawn in grey under the map instead of the outline.
    """
    low, high = limits[0], max(limits[1], limits[0] + 1e-12)
    fine = smooth_map(grid, _PIXELS // 4 if small else _PIXELS)
    extent = (0, 1, 1, 0)
    alpha = None
    if face is not None:
        axes.imshow(face.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=extent, aspect="equal")
        alpha = np.clip((fine - low) / (high - low), 0, 0.75)
    image = axes.imshow(
        fine, cmap=_MAP, vmin=low, vmax=high, extent=extent, interpolation="bilinear", aspect="equal", alpha=alpha
    )
    if not small:
        at = (np.arange(_PIXELS) + 0.5) / _PIXELS
        quarters = (high - low) * np.array([0.25, 0.5, 0.75])
        signs = ((1, "solid"), (-1, "dashed")) if low == 0 else ((1, "solid"),)
        for sign, line in signs:
            levels = [quarter for quarter in quarters if (sign * (fine - low)).max() > quarter]
            if levels:
                height = sign * (fine - low)
                axes.contour(at, at, height, levels, colors="white", linewidths=0.7, linestyles=line, alpha=0.75)
    if face is None:
        draw_outline(axes, margin, width=width, halo=not small)
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    return image


def _pair(axes: np.ndarray, cell: int) -> tuple[Axes, Axes]:
    """The axes of one emotion: its map, and below it the course over time."""
    row, column = divmod(cell, axes.shape[1])
    return axes[2 * row, column], axes[2 * row + 1, column]


def _draw_course(axes: Axes, mean: np.ndarray, std: np.ndarray) -> None:
    """Draw a mean over sequences and the band of one standard deviation, over relative time."""
    time = (np.arange(len(mean)) + 0.5) / len(mean)
    axes.fill_between(time, mean - std, mean + std, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(time, mean, color=BLUE, linewidth=1.8)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1], ["first frame", "apex"], fontsize=8.5)
    for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(axes: Axes, truth: np.ndarray) -> None:
    """Mark every node that moves with a small square."""
    height, width = truth.shape
    for row, column in np.argwhere(truth):
        side = 0.022
        corner = ((column + 0.5) / width - side / 2, (row + 0.5) / height - side / 2)
        axes.add_patch(Rectangle(corner, side, side, facecolor="#7fe0ff", edgecolor="black", linewidth=0.6))


def _explain(axes: Axes, image: AxesImage, has_truth: bool, baseline: str) -> None:
    lines = [
        "Bright: what the node adds to the",
        "emotion's logit, compared with",
        f"{baseline}, summed",
        "over time; mean over the sequences,",
        "each by networks that never saw its",
        "subject. Dashed: speaks against it.",
        "Curve: added per tenth of the",
        "sequence, mean ± std over sequences.",
    ]
    if has_truth:
        lines += ["Squares: nodes that the emotion's", "action units move, known for", "synthetic faces."]
    axes.text(0.0, 1.0, "\n".join(lines), va="top", fontsize=10, linespacing=1.35, transform=axes.transAxes)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((0.0, 0.1, 0.95, 0.05)), orientation="horizontal")
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    bar.set_label("of the map's brightest node", fontsize=9.5)


def _label_ends(axes: Axes, ends: Mapping[str, float], at: float, shown: str) -> None:
    """Write each curve's name at its end, moved apart where ends are close."""
    low, high = min(*ends.values(), 0.0), max(*ends.values(), 0.0)
    gap = 0.075 * max(high - low, 1e-9)
    heights, below = {}, np.inf
    for emotion, end in sorted(ends.items(), key=lambda item: -item[1]):
        below = min(end, below - gap)
        heights[emotion] = below
    for emotion, y in heights.items():
        weight = "bold" if emotion == shown else "normal"
        axes.annotate(
            f"{emotion} {ends[emotion]:+.1f}",
            (at, ends[emotion]),
            (at + 0.012 * max(at, 8), y),
            va="center",
            fontsize=10,
            fontweight=weight,
            color=ORANGE if emotion == shown else GREY,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5},
        )


def _networks(n: int) -> str:
    return f"{n} network{'s' * (n != 1)}"
