"""The command `saliency`, of a run and of one sequence, on the small synthetic run, whose maps mean nothing."""

import base64
import json
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main
from face_strnn.cli.saliency import print_saliency
from face_strnn.evaluation.run import Run
from face_strnn.saliency.held_out import HeldOut
from face_strnn.saliency.saliency_file import read_saliency

FACE_GREYS = 20
"""Different greys along a line: a face has more, both across and down; a map of 7 x 7 nodes in greys, or the strip that
explains its shades, has not.
"""


@pytest.fixture(scope="module")
def explained(tmp_path_factory, run, features) -> Path:
    """A copy of the run, with its saliency.json and figures; read it, do not change it."""
    copy = tmp_path_factory.mktemp("explained") / "run"
    shutil.copytree(run, copy)
    assert main(["saliency", str(copy), "--features", str(features), "--steps", "4"]) == 0
    return copy


def pictures_in(svg: Path) -> list[np.ndarray]:
    """The bitmaps that a figure embeds, each (height, width, 3)."""
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", svg.read_text())
    return [np.asarray(Image.open(BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


def shows_a_face(svg: Path) -> bool:
    for picture in pictures_in(svg):
        grey = np.where(np.ptp(picture, axis=2) == 0, picture[..., 0], 0)
        lines = [max(len(np.unique(line)) for line in lines) for lines in (grey, grey.T)]
        if min(lines) > FACE_GREYS:
            return True
    return False


def test_each_test_sequence_goes_to_the_networks_that_never_saw_its_subject(run, features):
    held_out = HeldOut(Run(run), FeatureStore.open(features))
    predictions = pd.read_csv(run / "predictions.csv").set_index("sequence")
    assert held_out.sequences == sorted(predictions.index)
    roles = pd.read_csv(run / "folds.csv")
    for name in held_out.sequences:
        sequence = held_out.sequence(name)
        train_mask = roles[(roles["fold"] == sequence.fold) & (roles["role"] == "train")]
        assert sequence.entry.subject not in set(train_mask["subject"])
        with torch.no_grad():
            probabilities = sequence.networks[0].logits_of_sequences([sequence.maps])[0].double().softmax(0)
        expected = predictions.loc[name, [f"p_{emotion}" for emotion in held_out.classes]].to_numpy(float)
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_run_whose_fold_was_trained_on_its_test_subject_is_refused(tmp_path, run, features):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    folds = pd.read_csv(copy / "folds.csv")
    leak = folds[folds["role"] == "test"].head(1).assign(role="train")
    pd.concat([folds, leak]).to_csv(copy / "folds.csv", index=False)
    with pytest.raises(BadInput, match=r"folds.csv: fold \d both trains on and tests subject S\d+"):
        HeldOut(Run(copy), FeatureStore.open(features))


def test_other_features_than_the_runs_are_refused(tmp_path, run, features):
    store = FeatureStore.open(features)
    shutil.copytree(store.folder, tmp_path / store.folder.name)
    for file in sorted((tmp_path / store.folder.name).glob("*_rot*.safetensors"))[:3]:
        file.unlink()
    FeatureStore.open(tmp_path).complete()
    with pytest.raises(BadInput, match=r"not the features that .* was made with"):
        HeldOut(Run(run), FeatureStore.open(tmp_path))


def test_the_command_writes_maps_attributions_truth_and_scores(explained):
    found = json.loads((explained / "saliency.json").read_text())
    predictions = pd.read_csv(explained / "predictions.csv")
    assert {row["sequence"] for row in found["sequences"]} == set(predictions["sequence"])
    assert found["data"] == "synthetic" and found["baseline"] == "first-frame"
    assert np.shape(found["projection"]["mean"]) == (7, 7)
    assert np.shape(found["projection"]["networks"]) == (2, 7, 7)
    assert np.sum(found["projection"]["mean"]) == pytest.approx(1, abs=1e-4)
    assert list(found["projection"]["directions"]) == ["top-left", "top-right", "bottom-left", "bottom-right"]
    assert np.sum(found["time_steps"]["backward"]["mean"]) == pytest.approx(1, abs=1e-4)
    assert all(0 <= share["mean"] <= 1 and share["std"] >= 0 for share in found["sparsity"].values())
    assert set(found["truth"]) == set(predictions["truth"]) == set(found["emotions"])
    for emotion, of_emotion in found["emotions"].items():
        ones = [row for row in found["sequences"] if row["emotion"] == emotion]
        assert of_emotion["n_sequences"] == len(ones) == (predictions["truth"] == emotion).sum()
        np.testing.assert_allclose(of_emotion["mean"], np.mean([row["per_node"] for row in ones], axis=0), atol=1e-5)


def test_attributions_in_the_file_sum_to_the_difference_of_each_sequences_own_logit(explained):
    for row in json.loads((explained / "saliency.json").read_text())["sequences"]:
        assert np.sum(row["per_node"]) == pytest.approx(row["logit_difference"] + row["residual"], abs=1e-4)
        assert np.sum(row["course"]) == pytest.approx(np.sum(row["per_node"]), abs=1e-4)


def test_scores_name_every_kind_of_map_and_its_controls(explained):
    rows = json.loads((explained / "saliency.json").read_text())["localisation"]
    kinds = {row["saliency"]: row["kind"] for row in rows}
    assert kinds["|G|, mean over directions"] == kinds["integrated gradients"] == "network"
    assert kinds["centre prior, no data"] == kinds["absolute, untrained networks"] == "control"
    for row in rows:
        assert all(0 <= area <= 1 for area in row["auc"].values())
        assert row["mean"] == pytest.approx(np.mean(list(row["auc"].values())), abs=1e-5)
    # Synthetic faces move where their units say, so that the plain change of the maps must find these nodes.
    change = next(row for row in rows if row["saliency"] == "change of the maps, no network")
    assert change["mean"] > 0.65


def test_the_page_shows_the_figure_of_the_emotions(explained, run):
    shown = "What held-out sequences of each emotion add to its logit"
    assert shown in (explained / "report.html").read_text()
    assert shown not in (run / "report.html").read_text()


def table_of_scores(page: str) -> dict[str, list[str]]:
    """The rows of the page's table of scores: the map's name -> its cells."""
    table = re.search(r'<table class="[^"]*localisation">(.*?)</table>', page, re.DOTALL).group(1)
    rows = re.findall(r'<tr class="(?:network|control)"><th scope="row">(.*?)</th>(.*?)</tr>', table, re.DOTALL)
    return {name: re.findall(r'<td class="num">(.*?)</td>', cells, re.DOTALL) for name, cells in rows}


def test_the_page_shows_how_well_each_map_finds_the_nodes_with_its_controls_apart(explained, run):
    page = (explained / "report.html").read_text()
    rows = json.loads((explained / "saliency.json").read_text())["localisation"]
    shown = table_of_scores(page)
    assert list(shown) == [row["saliency"] for row in rows]
    for row in rows:
        values = [*row["auc"].values(), row["mean"], row["mean_among_moved"]]
        assert shown[row["saliency"]] == ["–" if value is None else f"{value:.2f}" for value in values]
    networks, controls = page.split("Controls: no trained network")
    for row in rows:
        cell = f'<th scope="row">{row["saliency"]}</th>'
        assert (cell in controls, cell in networks) == (row["kind"] == "control", row["kind"] == "network")
    assert 'localisation">' not in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"localisation": [', "not readable as JSON"),
        ("[]", "not as a run writes it"),
        ('{"localisation": "good"}', "not as a run writes it"),
        ('{"localisation": [{"saliency": "|G|", "kind": "network", "auc": {"fear": "1"}, "mean": 1}]}', "not as a run"),
    ],
)
def test_a_damaged_saliency_file_is_named_with_its_remedy(tmp_path, content, complaint):
    (tmp_path / "saliency.json").write_text(content)
    with pytest.raises(BadInput, match=rf"saliency.json: .*{complaint}.*run `face-strnn saliency` again"):
        read_saliency(tmp_path)


def test_the_table_says_synthetic_and_names_the_centre_prior(explained, capsys):
    print_saliency(json.loads((explained / "saliency.json").read_text()))
    said = capsys.readouterr().out
    assert "synthetic" in said and "centre prior" in said and "±" in said


def test_data_whose_moving_nodes_are_unknown_get_maps_and_no_scores(tmp_path, run, features):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "data": "CK+"}))
    assert main(["saliency", str(copy), "--features", str(features), "--steps", "2", "--baseline", "zeros"]) == 0
    found = json.loads((copy / "saliency.json").read_text())
    assert found["truth"] is None and found["localisation"] is None and found["baseline"] == "zeros"
    assert "ynthetic" not in (copy / "figures" / "saliency-emotions.svg").read_text()
    assert 'localisation">' not in (copy / "report.html").read_text()


def test_figures_are_written_in_three_formats_and_name_synthetic_data(explained):
    figures = explained / "figures"
    names = ("saliency", "saliency-directions", "saliency-columns", "saliency-steps", "saliency-emotions")
    for name in names:
        assert all((figures / f"{name}.{ending}").stat().st_size > 5000 for ending in ("png", "pdf", "svg"))
    assert not list(explained.glob("**/*.unfinished"))


def test_no_subjects_face_is_in_a_figure_unless_the_option_asks_for_it(tmp_path, run, features, synthetic):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    name = HeldOut(Run(run), FeatureStore.open(features)).sequences[0]
    one_sequence = ["saliency", str(copy), "--sequence", name, "--features", str(features), "--steps", "2"]
    assert main(one_sequence) == 0
    assert not (copy / "saliency.json").exists(), "one sequence is drawn and nothing else is written"
    assert main(["saliency", str(copy), "--features", str(features), "--steps", "2"]) == 0
    assert (copy / "figures" / f"sequence-{name}.svg").is_file()
    assert not any(map(shows_a_face, (copy / "figures").glob("*.svg")))
    assert not (copy / "shows-faces").exists()

    before = {file: file.read_bytes() for file in (copy / "figures").iterdir()}
    assert main([*one_sequence, "--show-faces", "--root", str(synthetic)]) == 0
    assert shows_a_face(copy / "shows-faces" / f"{name}.svg")
    assert {file: file.read_bytes() for file in (copy / "figures").iterdir()} == before


def test_options_of_one_sequence_that_do_not_go_together_are_named(tmp_path, run, features, synthetic, capsys):
    def refused(*options: str) -> str:
        assert main(["saliency", str(run), "--features", str(features), *options]) == 2
        return capsys.readouterr().err

    root, sequence = ("--root", str(synthetic)), ("--sequence", "S005_001")
    assert "name it with --sequence" in refused("--show-faces", *root)
    assert "name it with --sequence" in refused(*root)
    assert "--show-faces needs --root" in refused(*sequence, "--show-faces")
    assert "--root is only for --show-faces" in refused(*sequence, *root)
    assert "tested no such sequence" in refused("--sequence", "S999_001")


def test_images_that_are_not_those_of_the_features_are_refused(tmp_path, run, features, synthetic, capsys):
    name = HeldOut(Run(run), FeatureStore.open(features)).sequences[0]
    shutil.copytree(synthetic, tmp_path / "data")
    subject, number = name.split("_")
    first = sorted((tmp_path / "data" / "cohn-kanade-images" / subject / number).glob("*.png"))[0]
    Image.fromarray(255 - np.asarray(Image.open(first))).save(first)
    arguments = ["saliency", str(run), "--sequence", name, "--features", str(features), "--show-faces"]
    assert main([*arguments, "--root", str(tmp_path / "data")]) == 2
    assert "not the images that the run's features were made from" in capsys.readouterr().err
