"""The figure of a timeline: curves with holes where no face is, told apart without colour, at any length."""

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from data_prep.datasets.emotions import EMOTIONS
from face_strnn.prediction.recogniser import Method
from face_strnn.prediction.timeline_figure import draw_timeline

RUN = Method("strnn", "CK+", 10)


def table(n, gaps=(), timed=True, classes=EMOTIONS):
    values = np.random.default_rng(0).dirichlet(np.ones(len(classes)), n)
    columns = [f"p_{emotion}" for emotion in classes]
    made = pd.DataFrame(values, columns=columns)
    made.insert(0, "frame", np.arange(n))
    made.insert(1, "seconds", np.arange(n) / 25 if timed else np.nan)
    made["prediction"] = made[columns].idxmax(axis=1).str.removeprefix("p_")
    made.loc[list(gaps), [*columns, "prediction"]] = np.nan
    return made


def curves_of(figure):
    return {line.get_label(): line for line in figure.axes[1].lines if line.get_label() in (*EMOTIONS, "neutral")}


def looks_of(curves):
    return {name: f"{line._unscaled_dash_pattern} {line.get_linewidth()}" for name, line in curves.items()}


def test_each_emotion_has_a_curve_that_is_told_from_the_others_without_colour():
    curves = curves_of(draw_timeline(table(50, classes=("neutral", *EMOTIONS)), "clip.mp4", RUN))
    assert list(curves) == ["neutral", *EMOTIONS]
    assert len(set(looks_of(curves).values())) == 8


def test_an_emotion_looks_the_same_whatever_the_other_classes():
    whole = looks_of(curves_of(draw_timeline(table(5), "clip.mp4", RUN)))
    some = curves_of(draw_timeline(table(5, classes=("neutral", "fear", "surprise")), "clip.mp4", RUN))
    assert {name: looks_of(some)[name] for name in ("fear", "surprise")}.items() <= whole.items()


def test_curves_have_the_values_of_the_table_and_holes_where_it_has():
    made = table(40, gaps=[0, 1, 10, 11, 12, 20, 39])
    for emotion, line in curves_of(draw_timeline(made, "clip.mp4", RUN)).items():
        x, y = line.get_data()
        seen = made.dropna(subset=["prediction"])
        assert np.allclose(x[~np.isnan(x)], seen["seconds"]) and np.allclose(y[~np.isnan(y)], seen[f"p_{emotion}"])
        assert np.isnan(y).sum() == 3, "one hole after each part"


def test_a_stretch_of_one_frame_is_seen():
    made = table(9, gaps=[0, 1, 2, 3, 5, 6, 7, 8])
    figure = draw_timeline(made, "clip.mp4", RUN)
    points = [line for line in figure.axes[1].lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert len(points) == len(EMOTIONS) and {line.get_xdata()[0] for line in points} == {4 / 25}


def test_images_without_times_are_drawn_over_their_numbers_and_method_and_data_are_named():
    figure = draw_timeline(table(5, timed=False), "frames", Method("strnn", "synthetic", 2))
    assert figure.axes[1].get_xlabel() == "frame"
    title = "frames\nSTRNN: 2 models averaged\ntrained on synthetic faces: no evidence about real ones"
    assert figure.get_suptitle() == title
    title = draw_timeline(table(5), "clip", Method("frame-wise", "fer2013")).get_suptitle()
    assert title.startswith("clip\nframe-wise baseline, not the STRNN:") and title.endswith("\ntrained on fer2013")
    assert "hatched" in draw_timeline(table(5, [2]), "clip", RUN).axes[1].get_xlabel()


@pytest.mark.parametrize("n", [1, 2])
def test_the_shortest_recordings_can_be_drawn(n, tmp_path):
    figure = draw_timeline(table(n), "clip.mp4", RUN)
    figure.savefig(tmp_path / "a.png")
    for line in curves_of(figure).values():
        x = line.get_xdata()
        assert np.allclose(x[np.isfinite(line.get_ydata())], np.arange(n) / 25)
    left, right = figure.axes[1].get_xlim()
    assert left <= 0 and (n - 1) / 25 <= right and left < right
    height, width, _ = plt.imread(tmp_path / "a.png").shape
    assert (width, height) == tuple(np.round(figure.get_size_inches() * figure.dpi).astype(int))


def test_a_recording_of_half_an_hour_with_many_gaps_is_averaged_and_drawn_in_seconds(tmp_path):
    gaps = [number for start in range(0, 45_000, 100) for number in range(start, start + 8)]
    made = table(45_000, gaps)
    began = time.perf_counter()
    figure = draw_timeline(made, "clip.mp4", RUN)
    figure.savefig(tmp_path / "a.png")
    assert time.perf_counter() - began < 60
    assert "means over 38 frames" in figure.axes[1].get_xlabel()
    line = curves_of(figure)["anger"]
    assert np.nanmean(line.get_ydata()) == pytest.approx(made["p_anger"].mean(), abs=0.01)
    assert np.isfinite(line.get_ydata()).sum() < 2000
