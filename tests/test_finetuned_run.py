"""``cv --finetune``: a whole run, its files, its audit, its page, and what it answers."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from data_prep.store import FeatureStore
from face_strnn.cli import main


@pytest.fixture
def audited(finetuned_run, crop_features, vgg_file, capsys):
    def audit(run: Path = finetuned_run) -> tuple[int, dict]:
        capsys.readouterr()
        status = main(["audit", str(run), "--features", str(crop_features), "--weights", str(vgg_file()), "--json"])
        return status, {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return audit


def test_every_check_of_its_audit_is_carried_out_and_passes(audited):
    status, checks = audited()
    assert status == 0
    assert {check["outcome"] for check in checks.values()} == {"passed"}, checks
