"""The page in a real browser, as its reader meets it: from disk, wide and narrow, by keyboard, on paper."""

import json

import pandas as pd
import pytest
from browser import browser_page, installed_browser
from random_run import write_run

from data_prep.datasets.emotions import EMOTIONS
from face_strnn.evaluation.metrics import accuracy, summarise
from face_strnn.evaluation.run import Run
from face_strnn.report.page import render_report

pytestmark = pytest.mark.skipif(
    installed_browser() is None, reason="no Chromium is installed (`apt-get install chromium`)"
)

SHOWN = "[...document.querySelectorAll('#sequence-table tbody tr')].filter((row) => row.offsetParent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browser_page(installed_browser(), tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of random predictions under two seeds, with a saliency figure more than usual and scores of the maps."""
    run = write_run(tmp_path_factory.mktemp("run") / "seeds")
    first = pd.read_csv(run / "predictions.csv").assign(seed=0)
    both = pd.concat([first, first.assign(seed=1)])
    both.to_csv(run / "predictions.csv", index=False)
    for checkpoint in list((run / "checkpoints").iterdir()):
        checkpoint.with_name(f"{checkpoint.stem}-seed-1.safetensors").write_bytes(checkpoint.read_bytes())
    summary = json.loads((run / "summary.json").read_text())
    summary |= {**summarise(both, EMOTIONS), "seeds": 2, "seed_accuracies": [accuracy(first)] * 2}
    (run / "summary.json").write_text(json.dumps(summary))
    render_report(Run(run))
    areas = {"auc": dict.fromkeys(EMOTIONS, 0.75), "mean": 0.75, "mean_among_moved": None}
    longest = {"network": "integrated gradients, absolute", "control": "absolute, of the other emotions"}
    scores = [{"saliency": name, "kind": kind, **areas} for kind, name in longest.items()]
    (run / "saliency.json").write_text(json.dumps({"localisation": scores}))
    (run / "figures" / "saliency-emotions.png").write_bytes((run / "figures" / "saliency.png").read_bytes())
    render_report(Run(run))
    return run


@pytest.fixture
def page(browser, folder):
    """The page, freshly opened on a laptop."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.emulate()
    browser.open(folder / "report.html")
    return browser


def choose(page, name, value):
    page.evaluate(
        f"(() => {{ const field = document.querySelector('.filters').elements['{name}'];"
        f"if (field.type === 'checkbox') field.checked = {json.dumps(value)}; else field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def column(page, place):
    """The text of a column in the rows that are shown."""
    return page.evaluate(f"{SHOWN}.map((row) => row.cells[{place}].textContent.trim())")


SEQUENCE, SUBJECT, FOLD, SEED, TRUTH, PREDICTION, RESULT, ANGER = range(8)


def test_it_opens_from_disk_without_a_complaint_and_asks_for_nothing_else(page, folder):
    assert page.requests == [(folder / "report.html").as_uri()]
    assert page.complaints == []
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 300)")
    assert page.evaluate("document.images.length") == 3


def test_what_the_file_does_not_hold_is_refused_by_the_browser_itself(page):
    assert page.evaluate("fetch('https://example.org/').then(() => 'fetched', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_the_window(page, folder, width, colours):
    page.emulate(colours=colours)
    page.open(folder / "report.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.clientWidth") <= width
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert brightness > 200 if colours == "light" else brightness < 50


def test_the_table_of_sequences_needs_no_scrolling_on_a_laptop(page):
    assert page.evaluate("(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)"
                         "(document.querySelector('#sequence-table').parentElement)")  # fmt: skip


def test_the_scores_of_the_maps_need_no_scrolling_on_a_laptop(page):
    table = "document.querySelector('table.localisation')"
    assert page.evaluate(f"{table}.rows.length") == 1 + 2 * 2  # the header; per kind, its name and a map
    assert page.evaluate(f"{table}.parentElement.scrollWidth <= {table}.parentElement.clientWidth")


def test_filters_show_the_rows_that_fit_all_of_them_and_say_how_many(page, folder):
    predictions = pd.read_csv(folder / "predictions.csv")
    assert len(column(page, SEQUENCE)) == len(predictions)
    wrong = predictions[predictions["truth"] != predictions["prediction"]]
    choose(page, "errors", True)
    assert sorted(column(page, SEQUENCE)) == sorted(wrong["sequence"])
    assert set(column(page, RESULT)) == {"✗ wrong"}
    choose(page, "truth", "fear")
    choose(page, "seed", "1")
    expected = wrong[(wrong["truth"] == "fear") & (wrong["seed"] == 1)]
    assert sorted(column(page, SEQUENCE)) == sorted(expected["sequence"])
    said = page.evaluate("document.querySelector('.count').textContent")
    assert said == f"{len(expected)} of {len(predictions)} shown, {len(expected)} of them wrong"
    page.evaluate("document.querySelector('.filters [type=reset]').click()")
    page.evaluate("new Promise((done) => setTimeout(done, 20))")
    assert len(column(page, SEQUENCE)) == len(predictions)


def test_one_subject_or_any_words_can_be_looked_for(page, folder):
    predictions = pd.read_csv(folder / "predictions.csv")
    subject = predictions.loc[predictions["truth"] == "surprise", "subject"].iloc[0]
    choose(page, "subject", subject)
    assert sorted(column(page, SEQUENCE)) == sorted(predictions.loc[predictions["subject"] == subject, "sequence"])
    choose(page, "subject", "")
    choose(page, "text", f"{subject.lower()} Surprise")
    found = list(zip(column(page, SUBJECT), column(page, TRUTH), column(page, PREDICTION), strict=True))
    assert found and all(row[0] == subject and "surprise" in row[1:] for row in found)
    choose(page, "text", "no such words")
    assert column(page, SEQUENCE) == [] and "0 of" in page.evaluate("document.querySelector('.count').textContent")


def test_headers_sort_by_keyboard_and_say_which_way(page):
    page.evaluate(f"document.querySelectorAll('#sequence-table th button')[{ANGER}].focus()")
    header = f"document.querySelectorAll('#sequence-table thead th')[{ANGER}].getAttribute('aria-sort')"
    assert page.evaluate(header) is None
    page.press("Enter")
    values = [float(text) for text in column(page, ANGER)]
    assert values == sorted(values, reverse=True) and page.evaluate(header) == "descending"
    page.press("Enter")
    values = [float(text) for text in column(page, ANGER)]
    assert values == sorted(values) and page.evaluate(header) == "ascending"
    page.evaluate(f"document.querySelectorAll('#sequence-table th button')[{TRUTH}].click()")
    assert column(page, TRUTH) == sorted(column(page, TRUTH)) and page.evaluate(header) is None


def test_a_count_of_the_confusion_matrix_leads_to_its_sequences(page):
    link = "document.querySelector('.confusion a[data-truth=fear][data-prediction=contempt]')"
    count = int(page.evaluate(f"{link}.textContent"))
    choose(page, "truth", "anger")
    page.evaluate(f"{link}.click()")
    page.evaluate("new Promise((done) => setTimeout(done, 20))")
    rows = list(zip(column(page, TRUTH), column(page, PREDICTION), strict=True))
    assert rows == [("fear", "contempt")] * count


def test_the_first_tab_leads_past_the_links_and_what_has_the_focus_is_seen(page):
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_that_scrolls_can_be_reached_by_keyboard_and_has_a_name(page):
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every((box) => box.tabIndex === 0 && box.ariaLabel)"
    )
    assert page.evaluate("[...document.querySelectorAll('.filters :is(input, select)')].every((f) => f.labels.length)")


def test_without_a_script_every_sequence_is_there_and_no_dead_control(page, folder):
    page.open(folder / "report.html", script=False)
    assert len(column(page, SEQUENCE)) == len(pd.read_csv(folder / "predictions.csv"))
    assert page.evaluate("document.querySelector('.filters').offsetParent === null")
    assert page.evaluate("document.querySelectorAll('th button').length") == 0


def test_on_paper_nothing_is_cut_off_and_controls_are_gone(page, folder):
    page.emulate(media="print", colours="dark")
    page.open(folder / "report.html", width=703)  # A4 less its margins, in CSS pixels, and a scroll bar
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1)"
    assert page.evaluate(f"{boxes}.map((box) => box.ariaLabel)") == []
    assert page.evaluate("document.querySelector('.filters').offsetParent === null")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")
