"""The demo, smaller: synthetic faces, the package's own weights, all rotations, all folds."""

import json

import pytest

from face_strnn.cli.program import main


@pytest.mark.slow
def test_the_demo_ends_with_a_table_a_page_and_baselines_under_the_same_folds(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), "--subjects", "10", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "synthetic" in said and "linear SVM on the apex" in said and "report.html" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["data"] == "synthetic" and summary["n_subjects"] == 10
    assert summary["n_samples"] == 5 * summary["n_sequences"] and len(summary["fold_accuracies"]) == 10
    before = (tmp_path / "run" / "summary.json").read_bytes()
    assert main(["demo", "--out", str(tmp_path), "--subjects", "10", "--epochs", "1"]) == 0
    assert "0 files computed" in capsys.readouterr().out
    assert (tmp_path / "run" / "summary.json").read_bytes() == before
