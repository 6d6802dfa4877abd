"""Features that `prepare` has not finished, or that were changed: refused, or named wherever results are shown."""

import re
import shutil

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from variants_store import CONFIG, write_store

from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main
from face_strnn.evaluation.run import Run

NAMES = [f"S{subject}_{number}" for subject in range(6) for number in range(2)]
SIZES = ("spatial_hidden", "spatial_output", "spatial_projection", "temporal_hidden", "length")
CV = ["--folds", "3", "--epochs", "1", *(f"--network.{name}={getattr(CONFIG.network, name)}" for name in SIZES)]

pytestmark = pytest.mark.filterwarnings("ignore:.*no training sequence shows")


@pytest.fixture
def unfinished(tmp_path):
    """A store of which the last sequence is missing, and another lacks a variant."""
    store = write_store(tmp_path / "features")
    store.begin(NAMES)
    for path in (*store.folder.glob("S5_1_*"), store.folder / "S4_0_rot+00_flip.safetensors"):
        path.unlink()
    return store


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    "command",
    [["cv", "--out", "run", *CV], ["reproduce", "--out", "run", *CV], ["backbones", "--compare", "--folds", "3"]],
    ids=lambda command: command[0],
)
def test_unfinished_features_are_refused_with_what_finishes_them(command, unfinished, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(unfinished.folder, tmp_path / "copy" / unfinished.folder.name)
    features = [str(unfinished.folder), *([str(other)] if command[0] == "backbones" else [])]
    assert main([*command, "--features", *features]) == 2
    error = said(capsys)
    assert "prepare` has not finished it, 11 of 12 sequences are there" in error
    assert "cv, reproduce and backbones --compare take --partial" in error
    assert not (tmp_path / "run").exists()


def test_a_run_on_a_part_of_the_features_says_so_in_its_summary_its_table_its_page_and_its_audit(
    unfinished, tmp_path, capsys
):
    out = tmp_path / "run"
    assert main(["cv", "--features", str(unfinished.folder), "--out", str(out), "--partial", *CV]) == 0
    assert "10 of 12 sequences (--partial)" in said(capsys)
    run = Run.open(out)
    assert run.settings.features["sequences"] == run.summary.features["sequences"] == {"held": 10, "expected": 12}
    assert run.summary.n_sequences == 10 and "S4_0" not in set(run.predictions["sequence"])
    page = " ".join((out / "report.html").read_text(encoding="utf-8").split())
    assert "10 of 12 sequences" in re.sub("<[^>]*>", "", page)
    assert main(["audit", str(out), "--features", str(unfinished.folder)]) == 0
    assert "10 of 12 sequences" in said(capsys)
    assert main(["audit", str(out)]) == 0
    assert "10 of 12 sequences" in said(capsys)
    assert main(["saliency", str(out), "--features", str(unfinished.folder)]) == 0


def test_a_reproduction_on_a_part_of_the_features_says_so_on_its_page_and_under_its_table(unfinished, tmp_path):
    out = tmp_path / "reproduction"
    features = ["--features", str(unfinished.folder), "--partial"]
    assert main(["reproduce", *features, "--out", str(out), "--only", "svm", *CV]) == 0
    for name in ("report.html", "results.tex"):
        assert "Partial features: 10 of 12 sequences." in (out / name).read_text(encoding="utf-8"), name


def test_a_part_is_not_resumed_once_the_features_are_whole(unfinished, tmp_path, capsys):
    out, options = str(tmp_path / "run"), ["--partial", *CV]
    assert main(["cv", "--features", str(unfinished.folder), "--out", out, *options]) == 0
    finished = write_store(tmp_path / "finished")
    assert main(["cv", "--features", str(finished.folder), "--out", out, *options]) == 2
    assert "features.sequences" in said(capsys)


def carry_labels(store):
    """Write every file's label into its maps, and keep its header."""
    for entry in store.entries():
        path = store.path_of(entry)
        with safe_open(path, framework="pt") as file:
            header, maps = file.metadata(), file.get_tensor("maps").clone()
        maps[:] = len(entry.emotion)
        save_file({"maps": maps}, path, header)


def test_maps_that_carry_the_label_are_refused_by_name(tmp_path, capsys):
    store = write_store(tmp_path / "features")
    carry_labels(store)
    assert main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "run"), *CV]) == 2
    assert "S0_0_rot+00.safetensors: not what was written" in said(capsys)
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("hidden", [False, True], ids=["in the file alone", "in all the store's checksums"])
def test_a_training_map_that_was_changed_after_the_run_is_found_by_the_audit(hidden, tmp_path, capsys):
    store = write_store(tmp_path / "features")
    out = tmp_path / "run"
    assert main(["cv", "--features", str(store.folder), "--out", str(out), *CV]) == 0
    entry = store.entries()[0]
    changed = store.maps(entry).clone()
    changed[0, 0, 0, 0] += 1
    if hidden:
        store.write(entry, changed)
        store.complete()
    else:
        with safe_open(store.path_of(entry), framework="pt") as file:
            header = file.metadata()
        save_file({"maps": changed}, store.path_of(entry), header)
    capsys.readouterr()
    assert main(["audit", str(out), "--features", str(FeatureStore.open(store.folder).folder)]) == 2
    assert ("maps_blake2b" if hidden else "not what was written") in said(capsys).replace(" │ ", "")
