"""``cv --finetune`` with ``--test-average`` and ``--ensemble``: means over variants and seeds, and their audit."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from runs import cross_validated
from small_network import SMALL_NETWORK

from data_prep.backbones.backbone import load_backbone
from data_prep.faces.variants import Variant, cut_variant
from data_prep.store.faces import FaceStore
from data_prep.store.store import FeatureStore
from face_strnn.cli.program import main
from face_strnn.config import Config, FinetuningConfig, NetworkConfig, TrainingConfig
from face_strnn.evaluation.checkpoints import backbone_file, checkpoint_name
from face_strnn.models.strnn import STRNN
from face_strnn.training.from_crops.crop_maps import maps_of_crops
from face_strnn.training.from_crops.thawed import load_thawed, split_for_finetuning

CONFIG = Config(NetworkConfig(**SMALL_NETWORK), TrainingConfig(epochs=1, batch_size=8))
VARIANTS = (Variant(-7), Variant(), Variant(7))
SEEDS = (0, 1)

pytestmark = pytest.mark.filterwarnings("ignore::data_prep.errors.DataWarning")


@pytest.fixture(scope="module")
def store(crop_features):
    return FeatureStore.open(crop_features)


@pytest.fixture(scope="module")
def backbone(vgg_file):
    return load_backbone("vgg11", str(vgg_file()), "pool4")


@pytest.fixture(scope="module")
def averaged(store, vgg_file, tmp_path_factory):
    """A run whose predictions are means over three variants and two seeds."""
    out = tmp_path_factory.mktemp("averaged") / "run"
    cross_validated(
        store, out, CONFIG, weights=str(vgg_file()), folds=2, seeds=len(SEEDS), test_average=True, ensemble=True,
        finetune="last-block", finetuning=FinetuningConfig(epochs=1, frames=2, variants=1),
    )  # fmt: skip
    return out


@pytest.fixture
def audited(crop_features, vgg_file, capsys):
    def audit(run, *options):
        capsys.readouterr()
        given = ("--features", str(crop_features), "--weights-file", str(vgg_file()), "--json", *options)
        main(["audit", str(run), *given])
        return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return audit


def test_variants_cut_from_the_crops_give_the_maps_of_the_store_to_the_bit(store, backbone):
    entries = [entry for entry in store.entries() if entry.sequence.startswith("S005")]
    assert {entry.variant for entry in entries} == set(VARIANTS)
    for entry in entries:
        assert torch.equal(maps_of_crops(store, entry, backbone), store.maps(entry)), entry.variant


def test_predictions_are_the_literal_means_over_variants_and_seeds(averaged, store, backbone):
    split = split_for_finetuning(backbone, "last-block")
    columns = [f"p_{name}" for name in json.loads((averaged / "summary.json").read_text())["classes"]]
    members, predictions = pd.read_csv(averaged / "members.csv"), pd.read_csv(averaged / "predictions.csv")
    crops = FaceStore.beside(store).crops(store.recipe)
    originals = {entry.sequence: entry for entry in store.entries() if entry.variant.is_original}
    assert len(members) == 2 * len(predictions) == 2 * len(originals)
    largest = 0.0
    for row in predictions.iloc[::3].itertuples():
        of_seeds = []
        for seed in SEEDS:
            path = averaged / "checkpoints" / checkpoint_name(row.fold, seed, SEEDS[0])
            model, thawed = STRNN.load(path), load_thawed(backbone_file(path), split)
            stored, of_variants = crops.crops(originals[row.sequence]).numpy(), []
            for variant in VARIANTS:
                maps = thawed(torch.from_numpy(cut_variant(stored, variant, 112)))
                of_variants.append(model.logits_of_sequences([maps])[0].detach().double().softmax(0).numpy())
            wanted = np.mean(of_variants, 0)
            found = members.query("sequence == @row.sequence and seed == @seed")[columns].to_numpy()[0]
            np.testing.assert_allclose(found, wanted, atol=1e-5)
            largest = max(largest, np.abs(of_variants[1] - wanted).max())
            of_seeds.append(wanted)
        np.testing.assert_allclose([getattr(row, name) for name in columns], np.mean(of_seeds, 0), atol=1e-5)
    assert largest > 1e-3, "the originals alone give other probabilities"


def test_the_frozen_networks_beside_it_are_averaged_alike(averaged):
    summaries = [json.loads((run / "summary.json").read_text()) for run in (averaged, averaged / "frozen")]
    assert [(one["tested"], one["ensemble"]) for one in summaries] == [("mean over 3 variants", 2)] * 2
    tables = [pd.read_csv(run / "predictions.csv") for run in (averaged, averaged / "frozen")]
    right = [(table["truth"] == table["prediction"]).mean() for table in tables]
    frozen = summaries[0]["frozen"]
    assert (frozen["accuracy"], frozen["difference"]) == pytest.approx((right[1], right[0] - right[1]))
    assert frozen["mcnemar_p"] is not None, "one prediction for each sequence"


def test_every_check_of_its_audit_passes_and_a_fold_repeats_bit_for_bit(averaged, audited):
    checks = audited(averaged, "--repeat-fold", "1")
    assert {
        name: check["findings"] for name, check in checks.items() if check["outcome"] not in ("passed", "declared")
    } == {}
    assert "fold 1 (seed 0), fold 1 (seed 1) trained again, bit-equal" in checks["trained on"]["remarks"]


def test_page_table_and_comparison_name_both_averages(averaged, capsys):
    words = "ensemble of 2, mean over 3 variants"
    assert main(["report", str(averaged)]) == 0
    page = (averaged / "report.html").read_text(encoding="utf-8")
    for networks in ("fine-tuned (last-block)", "frozen backbone"):
        assert f"{networks}, {words}" in page
    capsys.readouterr()
    assert main(["compare", str(averaged / "frozen"), str(averaged)]) == 0
    assert words in " ".join(capsys.readouterr().out.split())


def test_frozen_networks_that_were_not_averaged_alike_are_found(averaged, audited, tmp_path):
    """Else a gain of the average would stand as one of fine-tuning."""
    run = shutil.copytree(averaged, tmp_path / "run")
    path = run / "frozen" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"test_average": False}))
    checks = audited(run)
    assert checks["settings"]["outcome"] == "failed"
    assert "frozen/config.yaml has test_average false, config.yaml true" in checks["settings"]["findings"]
