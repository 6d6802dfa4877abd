"""Text in figures: names of files, data sets and classes are drawn as they stand, whatever they look like."""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import face_strnn
from data_prep.datasets.emotions import EMOTIONS
from face_strnn.drawing import FORMATS, Figure, FigureSource, entitle, save_figure
from face_strnn.report.figures import draw_confusion, draw_history
from face_strnn.report.reproduction_page import draw_dots
from face_strnn.saliency.drawings import draw_emotions, draw_sequence

FORMULA, DOLLARS = "$a_b$", "cost $5_$6"
HISTORY = pd.DataFrame({"fold": [1, 1], "epoch": [1, 2], "loss": [1.0, 0.5], "train_accuracy": [0.2, 0.4]})
RESULTS = {"method": "svm", "group": "baseline", "seed": "mean", "seeds": 1, "accuracy": 0.8, "accuracy_low": 0.7}


def sequence(name):
    attributions = np.random.default_rng(0).random((3, 7, 7))
    courses = {name: attributions.sum((1, 2)), "fear": np.zeros(3)}
    return draw_sequence(name, attributions, courses, name, None, FigureSource(name, "last"))


FIGURES = {
    "confusion": lambda name: draw_confusion(np.eye(2, dtype=int), [name, "fear"], FigureSource(name, "last")),
    "history": lambda name: draw_history(HISTORY, FigureSource(name, "last")),
    "dots": lambda name: draw_dots(pd.DataFrame([{**RESULTS, "label": name, "accuracy_high": 0.9}]), name),
    "emotions": lambda name: draw_emotions(
        {name: np.eye(7)}, {name: np.ones((2, 5))}, None, name, FigureSource(name, "last")
    ),
    "sequence": sequence,
}


@pytest.mark.parametrize("drawn", FIGURES)
def test_every_figure_is_written_whatever_the_names_in_it(drawn, tmp_path):
    save_figure(FIGURES[drawn](DOLLARS), tmp_path / "a")
    assert sorted(path.suffix[1:] for path in tmp_path.iterdir()) == sorted(FORMATS)


def test_a_name_that_looks_like_a_formula_is_drawn_letter_by_letter(tmp_path):
    """As matplotlib itself draws it where every dollar is escaped."""

    def written(title, kind, name):
        figure = kind(figsize=(3, 2))
        figure.add_subplot().set_xticks([0, 1], [title, "b"])
        figure.suptitle(title)
        figure.savefig(tmp_path / name, dpi=100)
        return imread(tmp_path / name)

    plain = written(FORMULA, Figure, "plain.png")
    escaped = written(FORMULA.replace("$", r"\$"), matplotlib.figure.Figure, "escaped.png")
    formula = written(FORMULA, matplotlib.figure.Figure, "formula.png")
    assert np.array_equal(plain, escaped) and not np.array_equal(plain, formula)


def test_a_file_name_that_is_no_unicode_is_drawn_with_question_marks(tmp_path):
    for name, title in (("a", b"caf\xe9\x1b".decode("utf-8", "surrogateescape")), ("b", "caf??")):
        figure = Figure()
        figure.suptitle(title)
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_users_setting_to_draw_text_by_latex_is_not_taken(tmp_path):
    with matplotlib.rc_context({"text.usetex": True}):
        figure = Figure()
        entitle(figure, DOLLARS, FigureSource("CK+", "last"))
        assert save_figure(figure, tmp_path / "a").is_file()


def test_the_settings_of_a_users_own_figures_stay(tmp_path):
    before = dict(matplotlib.rcParams)
    save_figure(FIGURES["confusion"](EMOTIONS[0]), tmp_path / "a")
    assert dict(matplotlib.rcParams) == before


def test_all_figures_are_of_the_one_kind():
    package = Path(face_strnn.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        assert path.name == "drawing.py" or not modules & {"matplotlib.figure", "matplotlib.pyplot"}, path
