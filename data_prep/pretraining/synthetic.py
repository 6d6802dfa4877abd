"""Pretraining on synthetic faces, from the drawing to the weights file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data_prep.backbones.own_files import write_backbone
from data_prep.backbones.split import SplitBackbone
from data_prep.errors import BadInput
from data_prep.pretraining.learning import Epoch, PretrainingOptions, Progress, learn
from data_prep.pretraining.probe import Probed, probe
from data_prep.pretraining.synthetic_people import FACES_OF
from data_prep.pretraining.synthetic_store import SyntheticStore
from data_prep.pretraining.synthetic_task import SyntheticTask
from data_prep.pretraining.work_folder import finished, read_facts, work_folder

LEAST = 64
"""Least number of faces: sixteen people, of whom two are for validation."""

PROBE_PEOPLE = (6, 50)
"""Fewest and most people that the probe is trained on; it is tested on as many."""


@dataclass(frozen=True)
class SyntheticResult:
    """Result of pretraining on synthetic faces.

    Attributes:
        path: the file.
        before, after: the probe on the starting weights and on the new ones.
        history: of the training, the epochs of only the heads first.
    """

    path: Path
    before: Probed
    after: Probed
    history: list[Epoch]

    @classmethod
    def of(cls, path: Path, facts: Mapping[str, str]) -> "SyntheticResult":
        """Read it from a file's header.

        Raises:
            BadInput: the header was edited.
        """
        read = read_facts(path, facts, {"probe_before": Probed, "probe_after": Probed, "history": list[Epoch]})
        return cls(path, read["probe_before"], read["probe_after"], read["history"])


def pretrain_on_synthetic_faces(
    backbone: SplitBackbone,
    out: Path,
    faces: int,
    options: PretrainingOptions,
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> SyntheticResult:
    """Draw faces, train a backbone on them, and write it. An interrupted training resumes, to the same bytes.

    Args:
        backbone: as it starts.
        out: the file, ``.safetensors``; what is kept meanwhile lies beside it.
        faces: number of faces to train on, four of each person.
        options: how; the people are drawn from the seed too.
        jobs: processes that draw; -1 for one per core.
        progress: told how far it is.

    Raises:
        BadInput: too few faces, ``out`` is taken, another process is making it, or training diverges.
    """
    if faces < LEAST:
        raise BadInput(f"--synthetic {faces}: too few for training and validation; give {LEAST} or more")
    people = faces // FACES_OF["mixed"]
    settings = {**backbone.settings(), "synthetic": faces, **asdict(options)}
    if (facts := finished(out, settings)) is not None:
        return SyntheticResult.of(out, facts)
    fewest, most = PROBE_PEOPLE
    probed = min(max(people // 10, fewest), most)
    pixels, seed = backbone.whole.crop_pixels, options.seed
    with work_folder(out, settings) as work:
        learned = SyntheticStore(work.folder, "learning", people, seed)
        probes = [
            SyntheticStore(work.folder, "probe", probed, seed, "emotions"),
            SyntheticStore(work.folder, "probe-test", probed, seed, "emotions"),
            SyntheticStore(work.folder, "probe-test", probed, seed, "emotions", "unseen"),
        ]
        n_faces = sum(store.people * store.faces_each for store in (learned, *probes))
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress("drawing faces", done, n_faces)

        for store in (*probes, learned):
            store.draw(backbone, pixels, jobs, advance)
        before = work.once("probe-before", Probed, lambda: probe(backbone, *probes))
        task = SyntheticTask(backbone, learned, options.keep, seed)
        history = learn(backbone, task, options, work.folder / "checkpoint.pt", progress)
        after = probe(backbone, *probes)
        facts = {
            "data": "synthetic",
            "probe_before": json.dumps(asdict(before)),
            "probe_after": json.dumps(asdict(after)),
            "history": json.dumps([asdict(epoch) for epoch in history]),
            **work.facts,
        }
        whole = backbone.whole
        write_backbone(out, whole.architecture, backbone.state(), whole.preprocessing, facts, backbone.n_blocks)
    return SyntheticResult.of(out, facts)
