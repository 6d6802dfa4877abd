"""From a catalogue of image files to a feature store: the whole job, its checks before and its tables after."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import joblib
import torch

from data_prep.backbones.backbone import Backbone
from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.faces.crops import MARGIN, MAXIMUM_MARGIN, CropKind
from data_prep.faces.variants import ROTATIONS, variants_of
from data_prep.preparation.parallel import in_processes, in_threads
from data_prep.preparation.recipe import Faces, recipe, store_name
from data_prep.preparation.sequence_work import Outcome, Settings
from data_prep.store.crops import FOLDER as CROPS_FOLDER
from data_prep.store.crops import remove_outdated_crops
from data_prep.store.lock import sole_writer
from data_prep.store.store import FeatureStore
from data_prep.store.tables import write_tables

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Partial:
    """A sequence of which a part is used: around the rest the face is not seen for too long.

    Attributes:
        sequence: its name.
        n_used, n_frames: number of frames in the part and in the whole.
    """

    sequence: str
    n_used: int
    n_frames: int


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` did.

    Attributes:
        store: the feature store.
        computed: number of files written.
        kept: number of files that were there and whole.
        without_face: names of the sequences in which no frame shows a face; they are not in the store.
        partial: the sequences of which a part is used.
        problems: what is wrong with the copy, once for each sequence concerned; these are not in the store.
        contact_sheet: the pages, which show subjects' faces.
        crops: the folder of the face crops, which show them too; None where they were not asked for.
    """

    store: FeatureStore
    computed: int
    kept: int
    without_face: tuple[str, ...]
    partial: tuple[Partial, ...] = ()
    problems: tuple[Problem, ...] = ()
    contact_sheet: tuple[Path, ...] = ()
    crops: Path | None = None


def prepare(
    catalogue: Catalogue,
    out: Path,
    backbone: Backbone,
    rotations: Sequence[float] = ROTATIONS,
    margin: float = MARGIN,
    progress: Callable[[str], None] | None = None,
    *,
    crop: CropKind = "per-sequence",
    faces: Faces = "mtcnn",
    jobs: int = 1,
    strict: bool = False,
    contact_sheet: bool = True,
    flip: bool = False,
    keep_crops: bool = False,
) -> Prepared:
    """Write the pooling maps of every sequence and variant of a data set.

    What is there, whole and made from the same image files, is not computed again. Damaged sequences are left out and
    listed in the store's ``problems.csv``. Only one process at a time writes to a store.

    Args:
        catalogue: of the data set's copy.
        out: folder in which the store's folder is made or taken up.
        backbone: the frozen network.
        rotations: degrees of the copies beside the unrotated sequence, with up to one decimal; empty for none.
        margin: see :func:`data_prep.faces.crops.crops_of`.
        progress: called with the name of each sequence that is done.
        crop: see :func:`data_prep.faces.crops.crops_of`.
        faces: ``"mtcnn"``, or ``"given"``: the images are the crops.
        jobs: processes, -1 for one per core; the cores are divided among them.
        strict: stop at the first problem.
        contact_sheet: draw one.
        flip: make a flipped copy of the unrotated sequence and of every rotated one, too.
        keep_crops: also store every sequence's face crops, see :mod:`data_prep.store.crops`: a training that changes
            the backbone starts from them.

    Raises:
        BadInput: an option is out of range, no sequence is whole and shows a face, the store holds sequences that the
            data set does not have, another process writes to it, the disk is full, or, if ``strict``, something is
            wrong with the copy.
    """
    if strict or not catalogue.sequences:
        catalogue.usable()
    _check(margin, crop, faces, jobs)
    variants = variants_of(rotations, flip)
    shaping = recipe(catalogue.data, backbone, margin, crop, faces)
    with _room_on_disk(out):
        store = FeatureStore.create(out, store_name(catalogue.data, backbone), shaping)
    settings = Settings(store, backbone, variants, crop, margin, faces, contact_sheet, keep_crops)
    with _room_on_disk(store.folder), sole_writer(store.folder), _no_halves(store):
        known = [named for problem in catalogue.problems for named in _by_sequence(problem, catalogue)]
        left_out = {problem.sequence for problem in known} - {""}
        sequences = [sequence for sequence in catalogue.sequences if sequence.name not in left_out]
        _refuse_strangers(store, catalogue, left_out)
        for name in sorted(left_out):
            store.remove_outdated(name, [])
            remove_outdated_crops(store, name)
            if progress and any(sequence.name == name for sequence in catalogue.sequences):
                progress(name)
        outcomes: dict[str, Outcome] = {}
        with closing(_work(sequences, settings, jobs, strict)) as done:
            for outcome in done:
                outcomes[outcome.sequence] = outcome
                if progress:
                    progress(outcome.sequence)
        in_order = [outcomes[sequence.name] for sequence in sequences if sequence.name in outcomes]
        damages = [outcome.problem for outcome in in_order if outcome.problem]
        if strict and damages:
            raise BadInput(str(damages[0]))
        problems = (*known, *damages)
        readable = [sequence for sequence in sequences if not outcomes[sequence.name].problem]
        pages = write_tables(store, readable, problems, contact_sheet)
    if not any(outcome.n_used for outcome in in_order):
        if problems:
            raise BadInput(f"{catalogue.root}: no sequence can be used; the first problem: {problems[0]}")
        raise BadInput(f"{catalogue.root}: no sequence shows a face; see that its images are upright and of faces")
    return Prepared(
        store,
        sum(outcome.computed for outcome in in_order),
        sum(outcome.kept for outcome in in_order),
        tuple(outcome.sequence for outcome in in_order if not outcome.n_used and not outcome.problem),
        tuple(Partial(o.sequence, o.n_used, o.n_frames) for o in in_order if 0 < o.n_used < o.n_frames),
        problems,
        tuple(pages),
        store.folder / CROPS_FOLDER if keep_crops else None,
    )


def _check(margin: float, crop: str, faces: str, jobs: int) -> None:
    if not 0 <= margin <= MAXIMUM_MARGIN:
        raise BadInput(f"--margin {margin}: must be from 0 to {MAXIMUM_MARGIN}, as a share of the face's box")
    for option, value, known in (("--crop", crop, CropKind), ("--faces", faces, Faces)):
        if value not in get_args(known):
            raise BadInput(f"{option} {value}: must be one of {', '.join(get_args(known))}")
    if faces == "given" and (crop, margin) != ("per-sequence", MARGIN):
        raise BadInput("--faces given: the images are the crops, so that --crop and --margin mean nothing; leave them")
    if jobs < 1 and jobs != -1:
        raise BadInput(f"--jobs {jobs}: must be a number of processes, or -1 for one per core")


def _work(sequences: Sequence[LabelledSequence], settings: Settings, jobs: int, strict: bool) -> Iterator[Outcome]:
    cores = torch.get_num_threads()
    processes = joblib.cpu_count() if jobs == -1 else jobs
    if processes == 1:
        return in_threads(sequences, settings, cores, strict)
    return in_processes(sequences, settings, processes, max(cores // processes, 1), strict)


def _by_sequence(problem: Problem, catalogue: Catalogue) -> list[Problem]:
    """A problem once for each sequence that it concerns; as it is where it concerns none that is known."""
    if problem.sequence:
        return [problem]
    return [replace(problem, sequence=name) for name in _sequences_at(problem.path, catalogue)] or [problem]


def _sequences_at(path: Path, catalogue: Catalogue) -> list[str]:
    """The sequences to which a file belongs; where a folder holds the images of several, by its name."""
    there = [one for one in catalogue.sequences if not one.clip and path.is_relative_to(one.path)]
    if len({one.frames for one in there}) > 1:
        there = [one for one in there if path.name.casefold().startswith(f"{one.name.casefold()}_")]
    return [one.name for one in there]


def _refuse_strangers(store: FeatureStore, catalogue: Catalogue, left_out: set[str]) -> None:
    strangers = sorted(store.sequence_names() - {sequence.name for sequence in catalogue.sequences} - left_out)
    if strangers:
        raise BadInput(
            f"{store.folder}: holds {len(strangers)} sequences that {catalogue.root} does not have "
            f"({', '.join(strangers[:3])}, ...); give another --out, or delete the store"
        )


@contextmanager
def _no_halves(store: FeatureStore) -> Iterator[None]:
    """Clear away what a killed run left half-written, and what processes leave that are called off."""
    store.remove_unfinished()
    try:
        yield
    finally:
        store.remove_unfinished()


@contextmanager
def _room_on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise BadInput(
            f"{folder}: nothing more can be written ({error.strerror}); make room on the disk and run the same command "
            "again: it goes on where this one stopped"
        ) from error
