"""Pretraining on drawn faces, from the drawing to the file."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data_prep.backbones.own_files import write_backbone
from data_prep.errors import BadInput
from data_prep.pretraining.drawn_people import FACES_OF
from data_prep.pretraining.drawn_store import DrawnStore
from data_prep.pretraining.drawn_task import DrawnTask
from data_prep.pretraining.learning import Epoch, Schedule, learn, total_steps
from data_prep.pretraining.probe import Probed, probe
from data_prep.pretraining.split_backbone import SplitBackbone
from data_prep.pretraining.work_folder import WorkFolder, finished

LEAST = 64
"""Faces: sixteen people, of whom two are set aside."""

PROBE_PEOPLE = (6, 50)
"""Fewest and most people that the probe learns from; as many are tested."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class DrawnResult:
    """What came of it.

    Attributes:
        path: the file.
        before, after: the probe on the starting weights and on the new ones.
        history: of learning, the epochs of the heads alone first.
    """

    path: Path
    before: Probed
    after: Probed
    history: list[Epoch]

    @classmethod
    def of(cls, path: Path, facts: Mapping[str, str]) -> "DrawnResult":
        """Read it from a file's header."""
        before, after, history = (json.loads(facts[name]) for name in ("probe_before", "probe_after", "history"))
        return cls(path, Probed(**before), Probed(**after), [Epoch(**epoch) for epoch in history])


def pretrain_on_drawn_faces(
    backbone: SplitBackbone,
    out: Path,
    faces: int,
    schedule: Schedule,
    keep: float = 0.5,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> DrawnResult:
    """Draw faces, let a backbone learn from them, and write it. An interrupted one is taken up, to the same bytes.

    Args:
        backbone: as it starts.
        out: the file, ``.safetensors``; what is kept meanwhile lies beside it.
        faces: how many are drawn to learn from, four of each person.
        schedule: how long and how fast.
        keep: see :class:`data_prep.pretraining.drawn_task.DrawnTask`.
        seed: of people, heads and order.
        jobs: processes that draw; -1 for one per core.
        progress: told how far it is.

    Raises:
        BadInput: too few faces, or ``out`` is taken.
    """
    if faces < LEAST:
        raise BadInput(f"--synthetic {faces}: too few to learn from and to set some aside; give {LEAST} or more")
    people = faces // FACES_OF["mixed"]
    settings = {**backbone.settings(), "synthetic": faces, "keep": keep, "seed": seed, **asdict(schedule)}
    if (facts := finished(out, settings)) is not None:
        return DrawnResult.of(out, facts)
    fewest, most = PROBE_PEOPLE
    probed = min(max(people // 10, fewest), most)
    pixels = backbone.crop_pixels
    with WorkFolder(out, settings) as work:
        learned = DrawnStore(work.folder, "learning", people, seed)
        probes = [
            DrawnStore(work.folder, "probe", probed, seed, "emotions"),
            DrawnStore(work.folder, "probe-test", probed, seed, "emotions"),
            DrawnStore(work.folder, "probe-test", probed, seed, "emotions", "unseen"),
        ]
        n_faces = sum(store.people * store.faces_each for store in (learned, *probes))
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress("drawing faces", done, n_faces)

        for store in (*probes, learned):
            store.draw(backbone, pixels, jobs, advance)
        before = work.once("probe-before", lambda: asdict(probe(backbone, *probes)))
        task = DrawnTask(backbone, learned, keep, seed)
        n_steps = total_steps(backbone, task, schedule)
        history = learn(
            backbone, task, schedule, work.folder / "checkpoint.safetensors",
            lambda steps: progress("learning", steps, n_steps),
        )  # fmt: skip
        after = probe(backbone, *probes)
        facts = {
            "data": "synthetic",
            "probe_before": json.dumps(before),
            "probe_after": json.dumps(asdict(after)),
            "history": json.dumps([asdict(epoch) for epoch in history]),
            **work.facts,
        }
        write_backbone(out, backbone.architecture, backbone.state(), backbone.preprocessing, facts)
    return DrawnResult.of(out, facts)
