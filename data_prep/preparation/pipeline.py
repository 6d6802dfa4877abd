"""From a catalogue of image files to crops and maps, with checks before and tables after."""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import torch

from data_prep.backbones.backbone import Backbone
from data_prep.datasets.catalogue import Catalogue, LabelledSequence
from data_prep.datasets.emotions import classes_of
from data_prep.datasets.problems import Problem
from data_prep.errors import BadInput
from data_prep.preparation.options import DEFAULT, PrepareOptions
from data_prep.preparation.parallel import in_processes, in_threads
from data_prep.preparation.recipe import crop_recipe, recipe, store_name
from data_prep.preparation.sequence_files import SequenceFiles, Settings
from data_prep.preparation.sequence_work import SequenceResult
from data_prep.store.crop_store import CropStore
from data_prep.store.faces import FaceStore
from data_prep.store.lock import sole_writer
from data_prep.store.recipe_folder import RecipeFolder
from data_prep.store.sequence_store import SequenceStore
from data_prep.store.store import FeatureStore
from data_prep.store.tables import draw_contact_sheet, write_tables

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Partial:
    """A sequence of which only a part is used, because the face is lost for too long before or after it.

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
        store: the feature store; None where crops were made alone.
        crops: the face crops, in the faces store.
        keeps_crops: whether they were asked for.
        computed: number of files of maps, or of crops where they were made alone, that were written.
        kept: number of files that were there and whole.
        without_face: names of the omitted sequences, in which no frame shows a face.
        partial: the sequences of which a part is used.
        problems: what is wrong with the copy, once for each sequence concerned; these are left out.
        contact_sheet: the pages, which show subjects' faces.
    """

    store: FeatureStore | None
    crops: CropStore
    keeps_crops: bool
    computed: int
    kept: int
    without_face: tuple[str, ...]
    partial: tuple[Partial, ...] = ()
    problems: tuple[Problem, ...] = ()
    contact_sheet: tuple[Path, ...] = ()

    @property
    def made(self) -> SequenceStore:
        """What was asked for: the maps, or the crops where they were made alone."""
        return self.store or self.crops


def prepare(
    catalogue: Catalogue,
    out: Path,
    backbone: Backbone | None,
    options: PrepareOptions = DEFAULT,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Prepared:
    """Track every sequence's face, extract crops, and write the pooling maps of every variant.

    Complete files made from the same image files are kept. Damaged sequences are omitted and listed in
    ``problems.csv``. Only one process at a time writes to a store.

    Args:
        catalogue: of the data set's copy.
        out: folder in which the stores' folders are made or resumed.
        backbone: the frozen network; None makes crops of ``options.pixels`` alone.
        options: which crops and variants.
        jobs: processes, -1 for one per core; the cores are divided among them.
        progress: called with the name of each sequence that is done.

    Raises:
        BadInput: an option is out of range, no sequence is whole and shows a face, a store holds sequences that the
            data set does not have, another process writes to it, the disk is full, or, if ``options.strict``,
            something is wrong with the copy.
    """
    if options.strict or not catalogue.sequences:
        catalogue.usable()
    if (backbone is None) == (options.pixels is None):
        raise BadInput("--pixels: gives the size of crops that are made alone, and of no others")
    if jobs < 1 and jobs != -1:
        raise BadInput(f"--jobs {jobs}: must be a number of processes, or -1 for one per core")
    with _room_on_disk(out):
        settings = _begin(catalogue, out, backbone, options)
    with _sole_writer(settings.faces, settings.maps):
        known = [named for problem in catalogue.problems for named in _by_sequence(problem, catalogue)]
        left_out = {problem.sequence for problem in known} - {""}
        _refuse_strangers(settings, catalogue, left_out)
        for name in sorted(left_out):
            SequenceFiles(settings, name).remove_outdated()
            if progress and any(sequence.name == name for sequence in catalogue.sequences):
                progress(name)
        sequences = [sequence for sequence in catalogue.sequences if sequence.name not in left_out]
        for store in settings.made:
            store.begin(sequence.name for sequence in sequences)
        results = _results(sequences, settings, jobs, progress)
        damages = [result.problem for result in results if result.problem]
        if options.strict and damages:
            raise BadInput(str(damages[0]))
        damaged = {result.sequence for result in results if result.problem}
        readable = [sequence for sequence in sequences if sequence.name not in damaged]
        pages = _tables(settings, readable, [*known, *damages])
        if any(result.n_used for result in results):
            for store in settings.made:
                store.complete()
    return _prepared(catalogue, settings, results, (*known, *damages), pages)


def _begin(catalogue: Catalogue, out: Path, backbone: Backbone | None, options: PrepareOptions) -> Settings:
    """Make or resume the stores' folders."""
    data = catalogue.data
    shaping = recipe(data, backbone, options) if backbone else crop_recipe(data, options.pixels, options)
    shaping["classes"] = list(classes_of(data, catalogue.emotion_counts()))
    faces = FaceStore.begin(out, shaping)
    crops = faces.begin_crops(shaping)
    others = tuple(store for store in faces.crop_stores() if store.folder != crops.folder)
    maps = FeatureStore.create(out, store_name(data, backbone), shaping) if backbone else None
    return Settings(options, faces, crops, others, backbone, maps)


def _results(
    sequences: Sequence[LabelledSequence], settings: Settings, jobs: int, progress: Callable[[str], None] | None
) -> list[SequenceResult]:
    """Process the sequences; return their results in order. If strict, there may be fewer results than sequences."""
    cores, processes = torch.get_num_threads(), joblib.cpu_count() if jobs == -1 else jobs
    if processes == 1:
        work = in_threads(sequences, settings, cores)
    else:
        work = in_processes(sequences, settings, processes, max(cores // processes, 1))
    results: dict[str, SequenceResult] = {}
    with closing(work):
        for result in work:
            results[result.sequence] = result
            if progress:
                progress(result.sequence)
    return [results[sequence.name] for sequence in sequences if sequence.name in results]


def _tables(settings: Settings, readable: Sequence[LabelledSequence], problems: Sequence[Problem]) -> list[Path]:
    """Write the stores' tables; return the pages of the contact sheet."""
    write_tables(settings.faces, settings.stores, readable, problems)
    if not settings.options.contact_sheet:
        settings.crops.remove_thumbnails()
    return draw_contact_sheet(settings.crops, readable)


def _prepared(
    catalogue: Catalogue,
    settings: Settings,
    results: Sequence[SequenceResult],
    problems: tuple[Problem, ...],
    pages: Iterable[Path],
) -> Prepared:
    if not any(result.n_used for result in results):
        if problems:
            raise BadInput(f"{catalogue.root}: no sequence can be used; the first problem: {problems[0]}")
        raise BadInput(f"{catalogue.root}: no sequence shows a face; see that its images are upright and of faces")
    return Prepared(
        settings.maps,
        settings.crops,
        settings.keeps_crops,
        sum(result.computed for result in results),
        sum(result.kept for result in results),
        tuple(result.sequence for result in results if not result.n_used and not result.problem),
        tuple(Partial(one.sequence, one.n_used, one.n_frames) for one in results if 0 < one.n_used < one.n_frames),
        problems,
        tuple(pages),
    )


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


def _refuse_strangers(settings: Settings, catalogue: Catalogue, left_out: set[str]) -> None:
    known = {sequence.name for sequence in catalogue.sequences} | left_out
    for store in (settings.maps, settings.faces):
        strangers = sorted(store.sequence_names() - known) if store else []
        if strangers:
            raise BadInput(
                f"{store.folder}: holds {len(strangers)} sequences that {catalogue.root} does not have "
                f"({', '.join(strangers[:3])}{', ...' if len(strangers) > 3 else ''}); give another --out, or delete "
                "the store"
            )


@contextmanager
def _sole_writer(*folders: RecipeFolder | None) -> Iterator[None]:
    """Hold the locks of folders, and delete the unfinished files of killed and stopped runs."""
    with ExitStack() as stack:
        for one in filter(None, folders):
            stack.enter_context(_room_on_disk(one.folder))
            stack.enter_context(sole_writer(one.folder, "prepare"))
            stack.callback(one.remove_unfinished)
            one.remove_unfinished()
        yield


@contextmanager
def _room_on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise BadInput(
            f"{folder}: nothing more can be written ({error.strerror}); make room on the disk and run the same command "
            "again: it resumes where this one stopped"
        ) from error
