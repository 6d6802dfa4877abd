"""``audit --repeat-fold``: networks are trained again, and their checkpoints come out."""

import json
import shutil

import numpy as np
import pytest
from planted import CONFIG, EPOCHS, FOLDS, checkpoints, edit_header
from runs import cross_validated

from face_strnn.audit import network_checks, repetition
from face_strnn.audit.audit import audit_run, standing_audit, write_audit
from face_strnn.audit.findings import Remark
from face_strnn.audit.run_files import Declared, Repetition, RunFiles
from face_strnn.cli.program import main
from face_strnn.evaluation.learners import stacked_on_maps
from face_strnn.evaluation.run import Run
from face_strnn.models.kernels import build
from face_strnn.training import machine

ALL = Repetition(tuple(range(1, FOLDS + 1)))


@pytest.fixture
def check(store):
    """Check what networks were trained on by training folds again: the findings and the remarks."""

    def trained_on(run, folds=ALL.folds):
        texts = []
        try:
            for text in network_checks.trained_on(RunFiles(Run(run), store, repetition=Repetition(folds))):
                texts.append(text)  # what came before the exception counts
        except Declared as declared:
            texts.append(Remark(declared))
        return [[text for text in texts if isinstance(text, Remark) == remarks] for remarks in (False, True)]

    return trained_on


@pytest.mark.parametrize("options", [("last",), ("inner",), ("last", "interleaved", 2)])
def test_the_same_machine_gives_the_same_bits(made, check, options):
    findings, remarks = check(made(*options))
    seeds = "folds 1 to 4" if len(options) < 3 else "folds 1 to 4 (seed 3), folds 1 to 4 (seed 4)"
    assert (findings, remarks) == ([], [f"{seeds} trained again, bit-equal"])


def test_only_the_stacks_of_the_folds_are_trained_again_and_the_check_names_them(store, check, tmp_path, monkeypatch):
    monkeypatch.setattr(stacked_on_maps, "NETWORKS_PER_STACK", 2)
    cross_validated(store, tmp_path / "run", CONFIG, folds=FOLDS)
    assert [network.stack for network in Run(tmp_path / "run").networks][1:3] == [[(1, 0), (2, 0)], [(3, 0), (4, 0)]]
    monkeypatch.undo()
    _, remarks = check(tmp_path / "run", (4,))
    assert remarks == ["folds 3 to 4 trained again, bit-equal", "folds 1 to 2 as their checkpoints declare"]


def test_the_run_folder_is_not_changed_but_for_its_audit(run, store):
    out = run()
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    audit_run(Run(out), store, repetition=ALL)
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before


@pytest.mark.parametrize("epoch", [1, EPOCHS - 1])
def test_an_interrupted_and_resumed_training_comes_out_too(store, check, tmp_path, epoch):
    def interrupt(_, history, __):
        if history[-1].epoch == epoch:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        cross_validated(store, out, CONFIG, interrupt, folds=FOLDS)
    cross_validated(store, out, CONFIG, folds=FOLDS)
    assert check(out, (1,)) == [[], ["folds 1 to 4 trained again, bit-equal"]]


def test_portable_operations_give_the_compiled_kernels_training_within_the_tolerance(made, check, monkeypatch):
    monkeypatch.setenv("FACE_STRNN_PORTABLE", "1")
    build._kernel_or_reason.cache_clear()
    try:
        findings, remarks = check(made())
    finally:
        monkeypatch.undo()
        build._kernel_or_reason.cache_clear()
    assert not findings and "on another kind of machine" in remarks[0]
    assert "here PyTorch's operations, because FACE_STRNN_PORTABLE is set" in remarks[0]
    assert remarks[1] == "only the machine that a checkpoint names can show it bit for bit"


def test_a_header_that_names_another_machine_is_never_more_than_declared(run, store):
    out = run()
    for path in checkpoints(out):
        other = json.dumps([Run(out).networks[0].machines[0] | {"device": "cpu: another processor"}])
        edit_header(path, lambda header, other=other: header | {"machines": other})
    found = audit_run(Run(out), store, repetition=ALL).check("trained on")
    assert found.outcome == "declared" and "within the tolerance" in found.remarks[0]


def test_a_training_that_was_resumed_on_another_machine_names_both(store, tmp_path, check, monkeypatch):
    def interrupt(_, history, __):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(machine, "_processor", lambda: "another processor")
        with pytest.raises(KeyboardInterrupt):
            cross_validated(store, out, CONFIG, interrupt, folds=FOLDS)
    cross_validated(store, out, CONFIG, folds=FOLDS)
    first, second = Run(out).networks[0].machines
    assert first["device"] == "cpu: another processor" != second["device"]
    assert "it was resumed on another" in check(out, (1,))[1][0]


@pytest.mark.parametrize("stack", [[[1, 3], [99, 3]], [[1, 3], [1, 3]], [[2, 3], [3, 3]], []])
def test_a_stack_that_the_run_does_not_have_is_a_finding(run, check, stack):
    out = run()
    edit_header(checkpoints(out)[0], lambda header: header | {"stack": json.dumps(stack)})
    (finding,), _ = check(out, (1,))
    assert "fold-01.safetensors: the networks named as trained together are not this one" in finding
    assert audit_run(Run(out)).check("trained on").findings == (finding,), "whether or not a fold is repeated"


@pytest.mark.parametrize("machines", [[], [{}], [{"device": "cpu"}]])
def test_a_checkpoint_that_does_not_say_what_trained_it_is_damaged(run, machines):
    # It would not have to come out bit for bit.
    out = run()
    edit_header(checkpoints(out)[0], lambda header: header | {"machines": json.dumps(machines)})
    audit = audit_run(Run(out))
    assert audit.check("trained on").outcome == "failed"
    assert "fold-01.safetensors: its header has no history, classes, stack or machines" in str(audit.check("files"))


def random_probabilities(rng, n, sharp=6.0):
    scores = sharp * rng.normal(size=(n, 7))
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def judged(was, now, labels):
    one = repetition._Elsewhere(networks={(1, 0)})
    one.compare(was, now, labels)
    return one.judged("fold 1")


def test_another_network_and_one_that_knew_its_test_subjects_are_beyond_the_tolerance_of_rounding():
    rng = np.random.default_rng(0)
    was = random_probabilities(rng, 60)
    labels = was.argmax(1)
    assert judged(was, was, labels).endswith("within the tolerance")
    assert judged(was, random_probabilities(rng, 60), labels).endswith("more than rounding explains")
    # A tenth of 300 predictions differ: as rounding has it, half of them right before and half after; or only before.
    was = random_probabilities(rng, 300)
    now, truth = was.copy(), was.argmax(1)
    now[:30] = np.roll(now[:30], 1, axis=1)
    assert judged(was, now, truth).endswith("more than rounding explains")
    truth[:15] = now[:15].argmax(1)
    assert judged(was, now, truth).endswith("within the tolerance")


def test_what_was_shown_by_training_again_is_declared_when_it_is_read_back(run, store):
    out = run()
    write_audit(Run(out), audit_run(Run(out), store, repetition=ALL))
    standing = standing_audit(Run(out)).check("trained on")
    assert standing.outcome == "declared"
    assert standing.remarks == ("as audit.json says: folds 1 to 4 trained again, bit-equal",)


def test_the_program_trains_folds_again(run, store, capsys):
    out, features = run(), ["--features", str(store.folder)]
    assert main(["audit", str(out), *features, "--repeat-fold", "1", "3", "--repeat-fold", "2"]) == 0
    said = capsys.readouterr().out
    assert "14 of 14 checks passed" in said and "folds 1 to 4 trained again, bit-equal" in said
    assert main(["audit", str(out), *features, "--json", "--repeat-fold", "all"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    for given, complaint in (("5", "has the folds 1 to 4"), ("first", "--repeat-fold first")):
        assert main(["audit", str(out), *features, "--repeat-fold", given]) == 2
        assert complaint in capsys.readouterr().err
    assert main(["audit", str(out), "--repeat-fold", "1"]) == 2
    assert "give --features" in capsys.readouterr().err


def test_finetuned_folds_are_repeated_one_by_one_from_the_frozen_networks(
    finetuned_run, crop_features, vgg_file, tmp_path, capsys
):
    out = shutil.copytree(finetuned_run, tmp_path / "run")
    given = ["--features", str(crop_features), "--weights-file", str(vgg_file()), "--json"]

    def trained_on(run, *options):
        status = main(["audit", str(run), *given, *options])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return status, next(check for check in checks if check["name"] == "trained on")

    status, check = trained_on(out, "--repeat-fold", "2")
    assert status == 0 and check["outcome"] == "declared"
    equal, start, declared = check["remarks"]
    assert equal == "fold 2 trained again, bit-equal" and declared == "fold 1 as their checkpoints declare"
    assert "frozen/" in start
    status, check = trained_on(out / "frozen", "--repeat-fold", "all")
    assert status == 0 and check["remarks"] == ["folds 1 to 2 trained again, bit-equal"]
