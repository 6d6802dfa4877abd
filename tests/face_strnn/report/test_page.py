"""The report and its figures, over a run folder made of random predictions: the numbers mean nothing."""

import html
import io
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from random_run import write_run
from rich.console import Console
from safetensors.numpy import save_file

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from face_strnn.audit.audit import audit_run, write_audit
from face_strnn.cli.report import print_summary
from face_strnn.evaluation.run import Run
from face_strnn.experiments.published import SEVEN_CLASSES, SIX_CLASSES, STRNN_CLASS_RECALLS, published_for
from face_strnn.report.figures import write_figures
from face_strnn.report.page import render_report
from face_strnn.report.tables import group_accuracies

HISTORY = b"fold,seed,epoch,loss,cross_entropy,train_accuracy\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A rendered run on synthetic data; read it, do not change it."""
    folder = write_run(tmp_path_factory.mktemp("run") / "synthetic")
    render_report(Run(folder))
    return folder


def printed(run: Path, width: int = 100) -> str:
    screen = io.StringIO()
    print_summary(Run(run).summary, Console(width=width, file=screen))
    return screen.getvalue()


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


class Resources(HTMLParser):
    """Collects what a page would load, and the tags it opens and does not close."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def test_every_figure_is_drawn_and_no_temporary_file_is_left(run):
    names = ("confusion", "history", "saliency")
    files = sorted(path.name for path in (run / "figures").iterdir())
    assert files == sorted(f"{name}.{ending}" for name in names for ending in ("pdf", "png", "svg"))
    shapes = [imread(run / "figures" / f"{name}.png").shape for name in names]
    assert all(height > 600 and width > 800 for height, width, _ in shapes)
    assert all((run / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF") for name in names)


def test_the_same_run_gives_the_same_page_and_figures_byte_for_byte(run):
    files = [run / "report.html", *(run / "figures").iterdir()]
    before = {file: file.read_bytes() for file in files}
    render_report(Run(run))
    assert {file: file.read_bytes() for file in files} == before


def test_the_page_is_one_file_that_loads_nothing(run):
    page = (run / "report.html").read_text()
    resources = Resources()
    resources.feed(page)
    assert resources.open_tags == []
    images = [address for address in resources.loaded if not address.startswith("#")]
    assert len(images) == 2
    assert all(address.startswith("data:image/png;base64,") for address in images)
    assert not re.search(r"https?://|<script [^>]*src|<link|@import|url\(", page)
    assert {address[1:] for address in resources.loaded if address.startswith("#")} <= set(
        re.findall(r'id="([^"]+)"', page)
    )


def test_the_page_holds_the_numbers_of_the_run_and_its_command(run):
    page = (run / "report.html").read_text()
    summary = summary_of(run)
    for fraction in (summary["accuracy"], *summary["accuracy_interval"], summary["mean_class_recall"]):
        assert f"{100 * fraction:.1f}" in page
    assert summary["command"] in page
    assert summary["features"]["weights_sha256"] in page
    assert "linear SVM on the apex frame" in page
    assert "STM-ExpLet" in page and "95.4" in page


def test_the_page_lists_every_sequence_errors_first_with_its_probabilities(run):
    predictions = pd.read_csv(run / "predictions.csv").set_index("sequence")
    page = (run / "report.html").read_text()
    rows = re.findall(r'<tr><th scope="row">(S\d+_\d+)</th>(.*?)</tr>', page, re.DOTALL)
    assert sorted(name for name, _ in rows) == sorted(predictions.index)
    right = ["✓ right" in cells for _, cells in rows]
    assert right == sorted(right)
    assert sum(right) == (predictions["truth"] == predictions["prediction"]).sum()
    for name, cells in rows:
        expected = [f"{100 * predictions.loc[name, f'p_{emotion}']:.1f}" for emotion in EMOTIONS]
        assert re.findall(r'<td class="p[^>]*>([\d.]+)</td>', cells) == expected


def test_counts_stand_beside_their_per_cent_of_the_true_class(run):
    page = " ".join((run / "report.html").read_text().split())
    for emotion, counts in zip(EMOTIONS, summary_of(run)["confusion_matrix"], strict=True):
        for prediction, count in zip(EMOTIONS, counts, strict=True):
            share = f"{100 * count / sum(counts):.1f} %"
            cell = f'aria-label="{emotion} predicted as {prediction}: {count}">{count}</a><small>{share}</small>'
            assert (cell in page) == (count > 0)


def test_a_fold_has_the_accuracy_of_its_rows_and_an_interval_over_its_subjects(run):
    predictions, summary = Run(run).predictions, Run(run).summary
    for part, (fold, rows) in zip(
        group_accuracies(predictions, "fold", summary), predictions.groupby("fold"), strict=True
    ):
        right = rows["truth"] == rows["prediction"]
        assert (part.name, part.subjects, part.sequences) == (str(fold), rows["subject"].nunique(), len(rows))
        assert (part.right, part.accuracy) == (right.sum(), pytest.approx(right.mean()))
        assert part.training == pytest.approx(0.99)
        assert part.interval[0] <= part.accuracy <= part.interval[1]
    alone = predictions[predictions["subject"] == predictions["subject"].iloc[0]]
    assert group_accuracies(alone, "fold", summary)[0].interval is None


def test_every_saliency_figure_that_a_run_has_is_on_its_page(run, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "figures").mkdir()
    for name in ("saliency-emotions.png", "saliency-of-my-own.png", "other.png"):
        (folder / "figures" / name).write_bytes(name.encode())
    page = render_report(Run(folder)).read_text()
    shown = [name for name in ("saliency-emotions.png", "saliency-of-my-own.png", "other.png")
             if b64encode(name.encode()).decode() in page]  # fmt: skip
    assert shown == ["saliency-emotions.png", "saliency-of-my-own.png"]


def test_files_that_changed_since_the_audit_are_named_on_the_page(tmp_path):
    folder = write_run(tmp_path / "run")
    assert "Changed since" not in render_report(Run(folder)).read_text(), "it was never audited"
    write_audit(Run(folder), audit_run(Run(folder)))
    assert "Changed since" not in render_report(Run(folder)).read_text()
    predictions = pd.read_csv(folder / "predictions.csv")
    predictions.assign(fold=predictions["fold"].iloc[::-1].to_numpy()).to_csv(folder / "predictions.csv", index=False)
    (folder / "folds.csv").unlink()
    page = " ".join(render_report(Run(folder)).read_text().split())
    assert "<strong>Changed since the run was audited:</strong> folds.csv, predictions.csv." in page


ODD = r"$a_b$ 5% <b>{{ 7 * 6 }}</b> $5_$6 \frac & ~^#"


def test_names_are_no_markup_on_the_page(tmp_path):
    folder = write_run(tmp_path / "run", data=ODD)
    summary = summary_of(folder)
    summary |= {"left_out": [f"left {ODD}"], "damaged": [f"damaged {ODD}"], "warnings": [f"warned {ODD}"]}
    (folder / "summary.json").write_text(json.dumps({**summary, "command": f"cv --out '{ODD}'"}))
    predictions = pd.read_csv(folder / "predictions.csv")
    predictions["sequence"] = predictions["sequence"].replace("S005_001", f"shown {ODD}")
    predictions.to_csv(folder / "predictions.csv", index=False)
    page = render_report(Run(folder)).read_text()
    for what in ("left ", "damaged ", "warned ", "shown ", "cv --out &#39;", ""):
        assert what + html.escape(ODD) in page, what
    assert "<b>{{" not in page and "<b>42" not in page
    assert ODD in printed(folder, width=300)


def test_synthetic_data_is_called_synthetic_and_real_data_is_not(run, tmp_path):
    real = render_report(Run(write_run(tmp_path / "real", data="CK+")))
    assert "<strong>Synthetic data.</strong>" in (run / "report.html").read_text()
    assert "ynthetic" not in real.read_text()
    assert "synthetic" in printed(run)
    assert "synthetic" not in printed(tmp_path / "real")


def test_oracle_selection_is_not_comparable_wherever_it_is_printed(run, tmp_path):
    oracle = render_report(Run(write_run(tmp_path / "oracle", data="CK+", selection="oracle")))
    page = oracle.read_text()
    for place in (r"<title>[^<]*not comparable", r"<h1>[^<]*not comparable", r"Accuracy, not comparable"):
        assert re.search(place, page)
    assert "this run (not comparable)" in page
    assert "not comparable" in printed(tmp_path / "oracle")
    assert "not comparable" not in (run / "report.html").read_text()
    assert "not comparable" not in printed(run)


def test_the_terminal_table_shows_interval_baselines_and_published_figures_in_80_columns(run):
    text = printed(run, width=80)
    low, high = summary_of(run)["accuracy_interval"]
    assert f"{100 * low:.1f} – {100 * high:.1f}" in text
    assert "linear SVM" in text
    assert all(f"{result.accuracy:.1f}" in text for result in SEVEN_CLASSES)


def test_the_page_says_what_the_audit_could_not_find_in_order(run):
    page = (run / "report.html").read_text()
    heading = re.search(r"<h2>(Audit: [^<]*)</h2>", page)[1]
    assert "failed: files" in heading, "the checkpoints of this run are none"
    assert "config.yaml: classes, data, ensemble, features, folds, " in page
    assert "No subject is on both sides of a fold." in page


def test_a_network_without_spatial_projection_has_a_page_without_map(tmp_path):
    folder = write_run(tmp_path / "ablation")
    for path in (folder / "checkpoints").iterdir():
        save_file({"temporal.b": np.zeros((2, 150), np.float32)}, path, metadata={"config": "{}"})
    (folder / "figures").mkdir()
    (folder / "figures" / "saliency.png").write_bytes(b"of an earlier run")
    assert "no spatial projection" in render_report(Run(folder)).read_text()
    assert not (folder / "figures" / "saliency.png").exists()


def test_missing_intervals_and_recalls_are_dashes_and_not_zeros(tmp_path):
    folder = write_run(tmp_path / "run")
    summary = summary_of(folder)
    summary.update(accuracy_interval=None, mean_class_recall_interval=None, std_fold_accuracy=None)
    summary["class_recalls"]["contempt"] = None
    (folder / "summary.json").write_text(json.dumps(summary))
    page = render_report(Run(folder)).read_text()
    assert "no interval" in page
    assert not re.search(r"None( %|<)|nan", page.split("base64,")[0])
    assert "None" not in printed(folder)


@pytest.mark.parametrize("name", ["summary.json", "predictions.csv", "history.csv"])
def test_a_missing_file_is_named_with_its_remedy(tmp_path, name):
    folder = write_run(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(BadInput, match=rf"{re.escape(name)}: does not exist; run `face-strnn cv` again"):
        render_report(Run(folder))
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("summary.json", b'{"accuracy": 0.9', "not readable as JSON"),
        ("summary.json", b'{"accuracy": 0.9}', "lacks accuracy_interval"),
        ("summary.json", b"[]", "not a JSON object"),
        ("predictions.csv", b"", "not readable as a table"),
        ("predictions.csv", b"sequence,subject\nS1_1,S1\n", "lacks the column fold, truth"),
        ("history.csv", HISTORY, "has no rows"),
        ("history.csv", HISTORY + b"1,0,1,,,\n", "has empty cells"),
        ("history.csv", b"\x89PNG\xff\xfe", "not readable as a table"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, name, content, complaint):
    folder = write_run(tmp_path / "run")
    (folder / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{re.escape(name)}: .*{complaint}"):
        render_report(Run(folder))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({"accuracy": "high"}, "accuracy not as a run writes it"),
        ({"accuracy": 87.2, "seconds": None}, "accuracy, seconds not as a run writes them"),
        ({"confusion_matrix": [[1]]}, "confusion_matrix not as"),
        ({"class_recalls": {}}, "class_recalls not as"),
        ({"seeds": 0}, "seeds not as"),
        ({"baselines": [{"name": "chance"}]}, "baselines not as"),
        ({"accuracy_interval": [0.5]}, "accuracy_interval not as"),
    ],
)
def test_a_summary_that_was_edited_into_something_else_is_named(tmp_path, edit, complaint):
    folder = write_run(tmp_path / "run")
    (folder / "summary.json").write_text(json.dumps({**summary_of(folder), **edit}))
    with pytest.raises(BadInput, match=rf"summary.json: {complaint}.*the file was edited; delete it"):
        render_report(Run(folder))


@pytest.mark.parametrize(
    ("name", "column", "value", "complaint"),
    [
        ("predictions.csv", "p_fear", "much", "p_fear not a number in every row"),
        ("predictions.csv", "p_fear", 1.5, "probabilities below 0 or above 1"),
        ("predictions.csv", "fold", "first", "fold is not a whole number"),
        ("history.csv", "loss", "low", "loss not a number"),
    ],
)
def test_a_table_that_was_edited_into_something_else_is_named(tmp_path, name, column, value, complaint):
    folder = write_run(tmp_path / "run")
    table = pd.read_csv(folder / name).astype({column: object})
    table.loc[3, column] = value
    table.to_csv(folder / name, index=False)
    with pytest.raises(BadInput, match=rf"{name}: .*{complaint}"):
        render_report(Run(folder))


def test_a_prediction_that_is_no_class_is_refused(tmp_path):
    folder = write_run(tmp_path / "run")
    predictions = pd.read_csv(folder / "predictions.csv")
    predictions.loc[0, "prediction"] = "boredom"
    predictions.to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(BadInput, match=r"predictions.csv: names boredom"):
        render_report(Run(folder))


def test_a_missing_checkpoint_is_counted(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "checkpoints" / "fold-07.safetensors").unlink()
    with pytest.raises(BadInput, match="holds 9 of 10 checkpoints"):
        write_figures(Run(folder))


def test_published_figures_are_those_for_the_same_classes():
    six = [emotion for emotion in EMOTIONS if emotion != "contempt"]
    for data in ("CK+", "synthetic"):
        assert published_for(data, EMOTIONS) == SEVEN_CLASSES
        assert published_for(data, six) == SIX_CLASSES
        assert published_for(data, ["positive", "neutral", "negative"]) == ()
    assert published_for("Oulu-CASIA-VL-Strong", six) == published_for("mine", EMOTIONS) == ()


def test_the_papers_recalls_are_no_whole_numbers_of_the_listed_sequences():
    occurrences = pd.Series([sequence.emotion for sequence in ckplus_sequences()]).value_counts()
    for emotion, recall in STRNN_CLASS_RECALLS.items():
        possible = 100 * np.arange(occurrences[emotion] + 1) / occurrences[emotion]
        assert np.abs(possible - recall).min() > 0.005


def test_sequences_that_were_left_out_are_named_on_the_page_and_in_the_table(run):
    page = render_report(Run(run)).read_text(encoding="utf-8")
    console = Console(record=True, width=100, file=io.StringIO())
    print_summary(Run(run).summary, console)
    printed = console.export_text()
    for name in ("S999_001", "S998_001", "what[.png"):
        assert name in page and name in printed
