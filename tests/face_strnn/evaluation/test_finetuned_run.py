"""``cv --finetune``: a whole run, its files, its audit, its page, and its predictions."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from runs import cross_validated
from safetensors import safe_open
from small_network import SMALL_NETWORK

from data_prep.backbones.backbone import load_backbone
from data_prep.faces.crops import SquareCrop, extract_crop
from data_prep.preparation.recipe import recipe
from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn import STRNN
from face_strnn.cli.program import main
from face_strnn.config import Config, FinetuningConfig, NetworkConfig, TrainingConfig
from face_strnn.prediction.ensemble import Ensemble
from face_strnn.training.from_crops.thawed import load_thawed, split_for_finetuning

TABLES = ("predictions.csv", "history.csv", "folds.csv", "config.yaml")


@pytest.fixture
def audited(crop_features, vgg_file, capsys):
    def audit(run, *options):
        capsys.readouterr()
        options = options or ("--features", str(crop_features), "--weights-file", str(vgg_file()))
        status = main(["audit", str(run), "--json", *options])
        return status, {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return audit


@pytest.fixture
def copied(finetuned_run, tmp_path):
    return shutil.copytree(finetuned_run, tmp_path / "copied")


def test_every_check_of_its_audit_is_carried_out_and_passes(audited, finetuned_run):
    status, checks = audited(finetuned_run)
    assert status == 0
    assert {name for name, check in checks.items() if check["outcome"] != "passed"} == {"trained on"}, checks
    assert checks["trained on"]["outcome"] == "declared"


def test_the_summary_holds_the_frozen_networks_beside_the_finetuned_ones(finetuned_run):
    summary = json.loads((finetuned_run / "summary.json").read_text())
    frozen = json.loads((finetuned_run / "frozen" / "summary.json").read_text())
    assert summary["finetune"] == "last-block" and summary["finetuning"]["variants"] == 2
    tables = [pd.read_csv(run / "predictions.csv") for run in (finetuned_run, finetuned_run / "frozen")]
    accuracies = [(table["truth"] == table["prediction"]).mean() for table in tables]
    assert summary["accuracy"] == pytest.approx(accuracies[0])
    assert summary["frozen"]["accuracy"] == frozen["accuracy"] == pytest.approx(accuracies[1])
    assert summary["frozen"]["difference"] == pytest.approx(accuracies[0] - accuracies[1])
    assert 0 < summary["frozen"]["mcnemar_p"] <= 1
    columns = ["sequence", "subject", "fold", "seed", "truth"]
    assert tables[0][columns].equals(tables[1][columns])
    probabilities = [name for name in tables[0] if name.startswith("p_")]
    assert (tables[0][probabilities] - tables[1][probabilities]).abs().to_numpy().max() > 1e-4
    settings = yaml.safe_load((finetuned_run / "config.yaml").read_text())
    assert settings["finetuning"] == summary["finetuning"] and settings["training"]["epochs"] == 2
    history = pd.read_csv(finetuned_run / "history.csv")
    assert history[["fold", "epoch"]].values.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_nothing_of_the_work_is_left_over(finetuned_run):
    assert {path.name for path in finetuned_run.iterdir()} == {
        *TABLES, "summary.json", "audit.json", "report.html", "checkpoints", "figures", "frozen"
    }  # fmt: skip
    assert sorted(path.name for path in (finetuned_run / "checkpoints").iterdir()) == [
        "fold-01.backbone.safetensors", "fold-01.safetensors", "fold-02.backbone.safetensors", "fold-02.safetensors"
    ]  # fmt: skip


def test_its_page_and_table_show_the_frozen_networks(finetuned_run, capsys):
    assert main(["report", str(finetuned_run)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Fine-tuning (last-block) changed the accuracy by" in said
    page = (finetuned_run / "report.html").read_text()
    assert "STRNN, frozen backbone" in page and "STRNN, fine-tuned (last-block), this run" in page
    assert "Fine-tuning (last-block) changed the accuracy by" in page


def test_an_interrupted_run_ends_in_the_same_bytes(finetuned_run, crop_features, vgg_file, tmp_path):
    """Stopped after the first epoch of each fold; the undisturbed one was made by the program."""
    config = Config(NetworkConfig(**SMALL_NETWORK), TrainingConfig(epochs=2, batch_size=8))
    finetuning = FinetuningConfig(2, batch_size=3, variants=2, frames=3)
    again, epochs = tmp_path / "again", []

    def run(stops=()):
        def progress(stage, history, _):
            if stage == "fine-tuning":
                epochs.append((history[-1].fold, history[-1].epoch))
                if epochs[-1] in stops:
                    raise KeyboardInterrupt

        cross_validated(
            FeatureStore.open(crop_features), again, config, progress, str(vgg_file()),
            folds=2, seed=5, finetune="last-block", finetuning=finetuning,
        )  # fmt: skip

    for stop in ((1, 1), (2, 1)):
        with pytest.raises(KeyboardInterrupt):
            run([stop])
    run()
    assert epochs == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for name in (*TABLES, *(f"checkpoints/{path.name}" for path in (again / "checkpoints").iterdir())):
        assert (again / name).read_bytes() == (finetuned_run / name).read_bytes(), name
    written = {path: path.stat().st_mtime_ns for path in again.rglob("*.safetensors")}
    run()
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*.safetensors")} == written


def test_other_settings_and_options_that_do_not_go_with_it_are_refused(
    finetuned_run, finetune_options, cv_options, tmp_path, capsys
):
    assert main(["cv", "--out", str(finetuned_run), *finetune_options, "--finetuning.epochs", "3"]) == 2
    assert "finetuning.epochs 2 (now 3)" in capsys.readouterr().err
    assert main(["cv", "--out", str(finetuned_run), *cv_options]) == 2
    assert "finetune last-block (now None)" in capsys.readouterr().err
    out = ["--out", str(tmp_path / "new")]
    assert main(["cv", *out, *finetune_options, "--selection", "inner"]) == 2
    assert "--finetune: only the last epoch is tested" in capsys.readouterr().err
    assert main(["cv", *out, *cv_options, "--weights-file", "some.pth"]) == 2
    assert "--weights-file: only for --finetune" in capsys.readouterr().err
    at = finetune_options.index("--weights-file")
    assert main(["cv", *out, *finetune_options[:at], *finetune_options[at + 2 :]]) == 2
    assert "give that file's path with --weights-file" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_maps_of_two_layers_are_refused_before_anything_is_trained(vgg_file, tmp_path, capsys):
    backbone = load_backbone(weights=str(vgg_file()), maps="pool4+pool5")
    store = FeatureStore.create(tmp_path / "features", "two", recipe("CK+", backbone))
    for subject in ("S1", "S2"):
        entry = StoredSequence(f"{subject}_1", subject, "anger", 0, 2, "0" * 64, "", False)
        store.write(entry, torch.zeros(2, 7, 7, 1024).half())
        crops = FaceStore.begin(store.folder.parent, store.recipe).begin_crops(store.recipe)
        with crops.write_in_parts(entry, (8, 8, 3)) as append:
            append(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    store.complete()
    options = ["--finetune", "last-block", "--weights-file", str(vgg_file()), "--folds", "2", "--epochs", "1"]
    assert main(["cv", "--features", str(store.folder), "--out", str(tmp_path / "run"), *options]) == 2
    assert "--finetune: maps of two layers, pool4+pool5" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_an_audit_finds_a_backbone_of_another_fold(audited, copied):
    first, second = (copied / "checkpoints" / f"fold-{fold:02d}.backbone.safetensors" for fold in (1, 2))
    shutil.copy(second, first)
    status, checks = audited(copied)
    assert status == 2
    assert "fold-01.backbone.safetensors is of fold 2" in " ".join(checks["trained on"]["findings"])
    assert checks["recomputed"]["outcome"] == "failed"


def test_an_audit_finds_an_edited_figure_and_a_missing_backbone(audited, copied):
    summary = json.loads((copied / "summary.json").read_text())
    summary["frozen"]["accuracy"] += 0.1
    (copied / "summary.json").write_text(json.dumps(summary))
    (copied / "checkpoints" / "fold-02.backbone.safetensors").unlink()
    status, checks = audited(copied)
    assert status == 2
    assert "summary.json has frozen" in " ".join(checks["figures"]["findings"])
    assert "fold-02.backbone.safetensors" in " ".join(checks["trained on"]["findings"])


def test_without_crops_or_weights_an_audit_says_what_it_lacks(audited, finetuned_run, features, crop_features):
    status, checks = audited(finetuned_run, "--features", str(crop_features))
    assert status == 0 and checks["recomputed"]["outcome"] == "not checkable"
    assert "give that file's path with --weights-file" in checks["recomputed"]["findings"][0]
    _, checks = audited(finetuned_run, "--features", str(features))
    assert "holds no face crops" in checks["recomputed"]["findings"][0]


def test_a_weights_file_of_another_network_is_refused_by_both_names(
    audited, finetuned_run, finetune_options, crop_features, vgg_file, tmp_path, capsys
):
    other = str(vgg_file("vgg13"))
    options = [other if option == str(vgg_file()) else option for option in finetune_options]
    assert main(["cv", "--out", str(tmp_path / "run"), *options]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "made with the vgg11 of vgg11-0.pth" in said and "vgg13-0.pth holds a vgg13" in said
    assert "give the path of that file with --weights-file" in said and not (tmp_path / "run").exists()
    _, checks = audited(finetuned_run, "--features", str(crop_features), "--weights-file", other)
    assert checks["recomputed"]["outcome"] == "not checkable"
    assert "vgg13-0.pth holds a vgg13" in checks["recomputed"]["findings"][0]


@pytest.mark.parametrize("instructions", [(), ("avx512_bf16",)])
def test_a_run_records_the_precision_that_auto_was(crop_features, vgg_file, tmp_path, monkeypatch, instructions):
    """So that a machine without these instructions resumes and repeats it as it was begun."""
    monkeypatch.setattr("data_prep.device.bfloat16_instructions", lambda: instructions)
    stop = KeyboardInterrupt()

    def progress(*_):
        raise stop

    config = Config(NetworkConfig(**SMALL_NETWORK), TrainingConfig(epochs=1, batch_size=8))
    with pytest.raises(KeyboardInterrupt):
        cross_validated(
            FeatureStore.open(crop_features), tmp_path / "run", config, progress, str(vgg_file()),
            folds=2, finetune="last-block",
        )  # fmt: skip
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["finetuning"]["precision"] == ("bfloat16" if instructions else "float32")


def test_predictions_are_the_mean_over_folds_each_with_its_own_backbone(finetuned_run, vgg_file):
    generator = np.random.default_rng(0)
    images = list(generator.integers(0, 255, (3, 160, 160, 3), dtype=np.uint8))
    crop = SquareCrop(80.0, 80.0, 112.0)
    ensemble = Ensemble.of_run(finetuned_run, str(vgg_file()))
    found = ensemble.probabilities(ensemble.maps(images, [crop] * 3))
    split = split_for_finetuning(load_backbone("vgg11", str(vgg_file()), "pool4"), "last-block")
    faces = torch.from_numpy(np.stack([extract_crop(image, crop, 112) for image in images]))
    outputs = []
    for fold in (1, 2):
        checkpoint = finetuned_run / "checkpoints" / f"fold-{fold:02d}.safetensors"
        maps = load_thawed(checkpoint.with_suffix(".backbone.safetensors"), split)(faces)
        outputs.append(STRNN.load(checkpoint).logits_of_sequences([maps])[0].double().softmax(0).detach().numpy())
    np.testing.assert_allclose(found, np.mean(outputs, 0), atol=1e-5)
    frozen = Ensemble.of_run(finetuned_run / "frozen", str(vgg_file()))
    assert np.abs(frozen.probabilities(frozen.maps(images, [crop] * 3)) - found).max() > 1e-5


def test_what_explains_maps_as_stored_refuses_it_and_names_the_frozen_networks(finetuned_run, crop_features, capsys):
    for options in ([], ["--sequence", "S005_001"]):
        assert main(["saliency", str(finetuned_run), *options, "--features", str(crop_features)]) == 2
        said = capsys.readouterr().err
        assert "its backbones were fine-tuned" in said and "/frozen" in said


def test_the_frozen_run_is_a_run_of_its_own(finetuned_run, audited):
    status, checks = audited(finetuned_run / "frozen")
    assert status == 0 and {name for name, check in checks.items() if check["outcome"] != "passed"} == {"trained on"}
    with safe_open(finetuned_run / "frozen" / "checkpoints" / "fold-01.safetensors", framework="pt") as file:
        assert "spatial.U" in file.keys()  # noqa: SIM118
