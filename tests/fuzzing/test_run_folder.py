"""Whatever stands in a file of a run folder: no traceback, and no audit that passes another accuracy."""

import pytest
from edits import with_edits
from program_under_edits import assert_audit_counts, assert_comparison_counts, assert_report_counts, ended_well

FILES = (
    "config.yaml", "summary.json", "predictions.csv", "folds.csv", "history.csv", "audit.json", "saliency.json",
    "report.html", "checkpoints/fold-01.safetensors",
)  # fmt: skip


def audited(run, store, others, options):
    ended = ended_well("audit", run, "--json", names=[run])
    assert_audit_counts(ended, run)


def audited_with_features(run, store, others, options):
    ended = ended_well("audit", run, "--json", "--features", store, names=[run])
    assert_audit_counts(ended, run)


def reported(run, store, others, options):
    assert_report_counts(ended_well("report", run, names=[run]), run)


def compared(run, store, others, options):
    assert_comparison_counts(ended_well("compare", run, *others, "--json", names=[run, *others]), run)


def resumed(run, store, others, options):
    assert_report_counts(ended_well("cv", "--out", run, "--features", store, *options, names=[run, store]), run)


def explained(run, store, others, options):
    ended_well("saliency", run, "--features", store, "--steps", "2", names=[run, store])


COMMANDS = (
    *[audited] * 20, *[reported] * 4, *[compared] * 4, audited_with_features, audited_with_features, resumed, explained,
)  # fmt: skip
"""Those that take longest read the same files: less often."""

FEW, MANY = 2, 500


@pytest.fixture
def check_run(store, other_run, training_options):
    def check(run, command):
        command(run, store, [other_run], training_options)

    return check


@pytest.mark.parametrize("file", FILES)
def test_a_few_edits_of_a_run(small_run, check_run, tmp_path, file):
    with_edits(FEW, small_run, file, COMMANDS, check_run, tmp_path, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_many_edits_of_a_run(small_run, check_run, tmp_path, file):
    with_edits(MANY, small_run, file, COMMANDS, check_run, tmp_path)
