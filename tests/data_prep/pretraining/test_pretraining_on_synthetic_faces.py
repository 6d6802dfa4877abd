"""Pretraining on synthetic faces: what learns, what stays, and that an interrupted one ends in the same bytes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from data_prep.backbones.backbone import PIXELS_PER_CELL, load_backbone
from data_prep.backbones.split import split_backbone
from data_prep.errors import BadInput
from data_prep.pretraining import synthetic
from data_prep.pretraining.learning import PretrainingOptions, learn
from data_prep.pretraining.synthetic import pretrain_on_synthetic_faces
from data_prep.pretraining.synthetic_people import draw_person
from data_prep.pretraining.synthetic_store import SyntheticStore
from data_prep.pretraining.synthetic_task import SyntheticTask
from face_strnn.cli.program import main

SIDE = 35
SEED = 4


@pytest.fixture
def small(monkeypatch):
    """Crops of 32 pixels, whose maps are 2 x 2, and a probe of two people."""
    monkeypatch.setitem(PIXELS_PER_CELL, "pool4", SIDE // 7)
    monkeypatch.setattr(synthetic, "PROBE_PEOPLE", (2, 2))


@pytest.fixture(scope="session")
def start(vgg_file) -> str:
    return str(vgg_file("vgg11"))


@pytest.fixture(scope="session")
def twelve_people(tmp_path_factory, start) -> SyntheticStore:
    store = SyntheticStore(tmp_path_factory.mktemp("people"), "learning", 12, SEED)
    store.draw(split_backbone("vgg11", start, "pool4", 1), SIDE, 1, lambda _: None)
    return store


def whole_run(start: str, out: Path, progress=lambda *_: None, jobs=1):
    backbone = split_backbone("vgg11", start, "pool4", 1)
    return pretrain_on_synthetic_faces(backbone, out, 64, PretrainingOptions(2, keep=0.5, seed=SEED), jobs, progress)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, start):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PIXELS_PER_CELL, "pool4", SIDE // 7)
        patch.setattr(synthetic, "PROBE_PEOPLE", (2, 2))
        return whole_run(start, tmp_path_factory.mktemp("backbones") / "drawn.safetensors")


def test_every_head_and_every_learning_layer_gets_a_gradient_and_the_lower_blocks_none(start, twelve_people):
    backbone = split_backbone("vgg11", start, "pool4", 1)
    task = SyntheticTask(backbone, twelve_people, 0.5, SEED)
    batch = next(task.batches(0))
    task.loss(batch, heads_only=False).backward()
    learning = {**dict(backbone.trained.named_parameters()), **dict(task.heads.named_parameters())}
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in learning.values())
    assert all(parameter.grad is None for parameter in backbone.frozen.parameters())


def test_while_the_heads_learn_alone_the_backbone_gets_no_gradient(start, twelve_people):
    backbone = split_backbone("vgg11", start, "pool4", 1)
    task = SyntheticTask(backbone, twelve_people, 0.5, SEED)
    task.loss(next(task.batches(0)), heads_only=True).backward()
    assert all(parameter.grad is None for parameter in backbone.trained.parameters())


def test_the_loss_of_a_change_is_that_of_a_literal_loop(start, twelve_people):
    backbone = split_backbone("vgg11", start, "pool4", 1)
    task = SyntheticTask(backbone, twelve_people, 0.0, SEED)
    batch = next(task.batches(0))
    with torch.no_grad():
        losses = task.heads(batch.starting, batch, 4)
        squares = []
        for person in range(0, len(batch.units), 4):
            maps = (batch.starting[person : person + 4] - task.heads.mean) / task.heads.std
            for face in (1, 2, 3):
                told = task.heads.change(task.heads.reduce((maps[face] - maps[0])[None]).flatten())
                true = (batch.units[person + face] - batch.units[person]).flatten() / 0.3
                squares.append((told - true).square().mean())
    assert torch.isclose(losses.change, torch.stack(squares).mean(), rtol=1e-4)


def test_a_batch_holds_what_was_drawn_and_the_maps_of_the_whole_network(start, twelve_people, small):
    batch = twelve_people.batch([9, 2])
    people = [draw_person(SEED, "learning", number, SIDE) for number in (9, 2)]
    images = torch.cat([torch.from_numpy(person.images) for person in people])
    maps = load_backbone("vgg11", start, "pool4")(images).permute(0, 3, 1, 2).float()
    assert torch.allclose(batch.starting, maps, rtol=1e-2, atol=1e-2 * float(maps.abs().max()))
    assert torch.equal(batch.units, torch.cat([torch.from_numpy(person.units) for person in people]))
    assert batch.emotions.tolist() == [int(code) for person in people for code in person.emotions]


def test_keeping_near_the_starting_maps_keeps_near_them(start, twelve_people, tmp_path):
    def moved(keep: float) -> float:
        backbone = split_backbone("vgg11", start, "pool4", 1)
        task = SyntheticTask(backbone, twelve_people, keep, SEED)
        learn(backbone, task, PretrainingOptions(3, rate=1e-3), tmp_path / f"{keep}.pt")
        batch = twelve_people.batch([11])
        with torch.no_grad():
            return float((backbone.maps(batch.below) - batch.starting).square().mean())

    assert moved(100.0) < 0.75 * moved(0.0)


def test_the_file_is_a_whole_feature_part_of_which_the_learned_block_alone_changed(undisturbed, vgg_file):
    before = torch.load(vgg_file("vgg11"), weights_only=True)
    after = load_file(undisturbed.path)
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # vgg11's fourth block: its convolutions at 11 and 13; the fifth, at 16 and 18, lies above the maps
    assert changed == {f"features.{place}.{kind}" for place in (11, 13) for kind in ("weight", "bias")}


def test_the_header_says_how_it_was_made_and_what_the_probe_told(undisturbed):
    with safe_open(undisturbed.path, "pt") as file:
        facts = file.metadata()
    assert facts["face_strnn"] == "backbone"
    assert (facts["architecture"], facts["channels"], facts["data"]) == ("vgg11", "RGB", "synthetic")
    assert json.loads(facts["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(facts["settings"])["synthetic"] == 64
    assert json.loads(facts["probe_before"])["n_tested"] == json.loads(facts["probe_after"])["n_tested"] == 14
    assert 0 <= json.loads(facts["probe_after"])["change_unseen"] <= 1
    assert len(json.loads(facts["history"])) == 4, "two epochs of the heads and two of all"


def test_maps_from_the_file_are_those_of_the_network_that_learned(undisturbed, start, small, tmp_path):
    backbone = split_backbone("vgg11", str(undisturbed.path), "pool4", 1)
    images = torch.randint(0, 256, (3, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = backbone.maps(images).permute(0, 2, 3, 1)
    found = load_backbone("vgg11", str(undisturbed.path), "pool4")(images)
    assert torch.equal(found, expected.half())
    assert not torch.equal(found, load_backbone("vgg11", start, "pool4")(images))


class Killed(BaseException):
    """Ends a run where it stands, as a signal does."""


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(undisturbed, start, small, tmp_path):
    out = tmp_path / undisturbed.path.name
    for stage, at in (("drawing faces", 40), ("drawing faces", 100), ("learning", 3), ("learning", 6)):

        def kill(what, done, *_, stage=stage, at=at):
            if what == stage and done >= at:
                raise Killed

        with pytest.raises(Killed):
            whole_run(start, out, kill)
        assert not out.exists()
    whole_run(start, out, jobs=2)
    assert out.read_bytes() == undisturbed.path.read_bytes()
    assert list(tmp_path.iterdir()) == [out], "what an unfinished run keeps must go"


def test_the_same_command_again_reads_what_is_there(undisturbed, start, small):
    stages = []
    again = whole_run(start, undisturbed.path, lambda *stage: stages.append(stage))
    assert again == undisturbed
    assert not stages


def test_a_thin_network_learns_from_scratch_by_the_program(small, tmp_path, capsys):
    out = tmp_path / "thin.safetensors"
    options = ["--synthetic", "64", "--backbone", "vgg16_thin_bn", "--epochs", "1", "--out", str(out)]
    assert main(["pretrain", *options]) == 0
    printed = capsys.readouterr()
    assert "says nothing about real ones" in printed.out and "epoch 1" not in printed.out
    # The log: 64 faces to learn from and 16 of each probe are drawn, then learning takes one epoch of two batches.
    drawn, learned = (line.split("  ", 1)[1] for line in printed.err.splitlines())
    assert drawn == "drawing faces: 112 of 112"
    assert learned.startswith("learning: 2 of 2 steps, epoch 1 of 1, loss ") and "validation loss" in learned
    tensors = load_file(out)
    drawn_at_first = split_backbone("vgg16_thin_bn", "scratch", "pool4", 4).state()
    counters = {name for name in drawn_at_first if name.endswith("num_batches_tracked")}
    assert set(tensors) == {f"features.{name}" for name in drawn_at_first.keys() - counters}
    assert not torch.equal(tensors["features.0.weight"], drawn_at_first["0.weight"])
    assert not any(name.startswith("features.34.") for name in tensors), "above the maps nothing learns"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "either --images"),
        (["--images", ".", "--synthetic", "64"], "either --images"),
        (["--synthetic", "8"], "too few"),
        (["--synthetic", "64", "--blocks", "9"], "4 blocks"),
        (["--synthetic", "64", "--epochs", "0"], "--epochs 0"),
        (["--synthetic", "64", "--rate", "0"], "--rate 0"),
        (["--synthetic", "64", "--jobs", "0"], "--jobs 0"),
        (["--synthetic", "64", "--faces", "given"], "--faces given: belongs to --images"),
        (["--synthetic", "64", "--out", "here.pth"], ".safetensors"),
    ],
)
def test_bad_input_is_named(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["pretrain", "--out", "new.safetensors", "--backbone", "vgg16_thin_bn"]
    assert main([*common, *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_file_under_that_name_is_left_alone(tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    out.write_text("mine")
    assert main(["pretrain", "--synthetic", "64", "--backbone", "vgg16_thin_bn", "--out", str(out)]) == 2
    assert "mine.safetensors: is there" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_maps_of_drawn_faces_beyond_float16_are_refused_with_the_weights_name(start, tmp_path):
    state = torch.load(start, weights_only=True)
    path = tmp_path / "large.pth"
    torch.save({name: 100 * tensor if name.endswith("weight") else tensor for name, tensor in state.items()}, path)
    store = SyntheticStore(tmp_path / "people", "learning", 1, SEED)
    with pytest.raises(
        BadInput, match=r"weights large\.pth: their maps of drawn faces exceed float16's range, 65504; sc"
    ):
        store.draw(split_backbone("vgg11", str(path), "pool4", 1), SIDE, 1, lambda _: None)
    assert not list((tmp_path / "people").iterdir())


def test_a_file_of_drawn_faces_with_infinity_is_named(twelve_people, tmp_path):
    (file, *_) = sorted(twelve_people.folder.iterdir())
    tensors = load_file(file)
    tensors["starting"][-1, 0, 0, 0] = torch.inf
    save_file(tensors, tmp_path / file.name)
    store = SyntheticStore(tmp_path, "learning", 8, SEED)
    store.batch([0, 6])
    with pytest.raises(BadInput, match=rf"{file.name}: its starting hold NaN or infinity; delete it and run the same"):
        store.batch([0, 7])
