"""How commands answer in a terminal: tables, notes, progress bars."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from data_prep.catalogue import Catalogue
    from data_prep.inspection import Inspection
    from data_prep.pipeline import Prepared
    from data_prep.pretraining.drawn import DrawnResult
    from data_prep.pretraining.labelled import LabelledResult
    from data_prep.weights import Weights
    from data_prep.weights.known import KnownWeights
    from face_strnn.audit import Audit
    from face_strnn.comparison import ComparedRun
    from face_strnn.finetuning.fold import FoldProgress
    from face_strnn.predict import Prediction
    from face_strnn.store_choice import StoreChoice
    from face_strnn.training import Stack

NOTES = 5
"""Notes on a data set that are printed before work begins; a copy may give hundreds."""

console = Console()


def unfolded() -> Console:
    """Return a console for tables: what is no terminal is read by programs or kept in files, and never folds a line."""
    return console if console.is_terminal else Console(width=10_000)


def print_inspection(inspection: "Inspection") -> None:
    """Print what ``check`` found in a copy of a data set."""
    wide = unfolded()
    catalogue, found, expected = inspection.catalogue, inspection.found, inspection.expected
    console.print(f"{catalogue.data}: {catalogue.root}", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("emotion")
    table.add_column("sequences", justify="right")
    if expected:
        table.add_column("published", justify="right")
    for emotion in sorted({*found.emotions, *(expected.emotions if expected else ())}):
        table.add_row(emotion, *_counts(found.emotions.get(emotion, 0), expected and expected.emotions.get(emotion, 0)))
    table.add_section()
    table.add_row("all", *_counts(found.sequences, expected and expected.sequences))
    table.add_row("subjects", *_counts(found.subjects, expected and expected.subjects))
    table.add_row("frames", *_counts(found.frames, expected and expected.frames))
    console.print(table)
    console.print(f"sequences without an emotion label, left out: {catalogue.unlabelled}")
    for note in inspection.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if inspection.problems:
        has_hints = any(problem.hint for problem in inspection.problems)
        listed = Table("problem", "sequence", "what", *(["what to do"] if has_hints else []))
        for problem in inspection.problems:
            hint = [escape(problem.hint)] if has_hints else []
            listed.add_row(problem.kind, escape(problem.sequence), escape(str(problem)), *hint, style="red")
        wide.print(listed)
    elif catalogue.sequences:
        published = f": it has the {expected.sequences} published sequences" if expected else ""
        console.print(f"nothing is wrong with it{published}")


def print_catalogue(catalogue: "Catalogue") -> None:
    """Print what there is to work on: sequences, and what the reader dealt with on its own."""
    console.print(
        f"{catalogue.data}: {len(catalogue.sequences)} labelled sequences of {len(catalogue.subjects)} subjects; "
        f"without an emotion label, left out: {catalogue.unlabelled}",
        markup=False,
        soft_wrap=True,
    )
    for note in catalogue.notes[:NOTES]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if len(catalogue.notes) > NOTES:
        console.print(f"and {len(catalogue.notes) - NOTES} more notes: `face-strnn check` prints them")


def print_known_weights(known: Sequence["KnownWeights"]) -> None:
    """Print the weights that the program can load."""
    for one in known:
        takes = str(one.preprocessing) if one.preprocessing else "what its header says"
        lines = {
            "what": one.what,
            "backbones": ", ".join(one.architectures),
            "source": one.source,
            "licence": one.licence,
            "trained on": f"{one.as_json()['input_pixels']} x {one.as_json()['input_pixels']} pixels, {takes}",
            "to get it": one.obtain,
        }
        if one.here is not None:
            lines["on this machine"] = ", ".join(one.here) or "no"
        console.print(f"[b]--weights {escape(one.weights)}[/b]", highlight=False)
        for name, text in lines.items():
            console.print(f"  {name}: {text}", markup=False, highlight=False, soft_wrap=True)
    console.print("`face-strnn backbones FILE` says what a file of weights is.", highlight=False)


def print_recognised(weights: "Weights") -> None:
    """Print what a file of weights was recognised as."""
    said = "" if weights.says_preprocessing else ", the default of this form; --preprocessing says another"
    lines = {
        "recognised as": weights.form,
        "backbone": weights.architecture,
        "takes": f"{weights.preprocessing}{said}",
        "SHA-256": weights.sha256,
        **weights.facts,
    }
    for name, text in lines.items():
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)


def print_store_choice(choice: "StoreChoice") -> None:
    """Print which of several feature stores the training folds would choose."""
    table = Table("store")
    for heading in ("inner accuracy %", "std over inner folds", "chosen by outer folds"):
        table.add_column(heading, justify="right")
    for one in choice.as_json()["stores"]:
        folds = ", ".join(map(str, one["chosen_by_folds"])) or "none"
        figures = (f"{100 * one['inner_accuracy']:.1f}", f"{100 * one['std_over_inner_folds']:.1f}")
        table.add_row(escape(one["store"]), *figures, folds)
    unfolded().print(table)
    console.print(choice.as_json()["note"], highlight=False)


def print_comparison(compared: Sequence["ComparedRun"]) -> None:
    """Print runs beside each other, each with its difference to the first."""
    table = Table("run")
    for heading in ("accuracy %\n95 % interval", "difference\n95 % interval", "McNemar p\nHolm", "permutation p\nHolm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in compared:
        difference = "–" if one.difference is None else f"{100 * one.difference:+.1f}"
        table.add_row(
            escape("\n".join(filter(None, (one.run, one.averaging)))),
            f"{100 * one.accuracy:.1f}\n{_interval(one.accuracy_interval)}",
            f"{difference}\n{_interval(one.difference_interval, '+.1f')}",
            f"{_p(one.mcnemar_p)}\n{_p(one.mcnemar_holm)}",
            f"{_p(one.permutation_p)}\n{_p(one.permutation_holm)}",
            end_section=True,
        )
    wide = unfolded()
    wide.print(table)
    for one in compared:
        spreads = {f"{one.seeds} seeds": one.spread.std_over_seeds, "the folds of a seed": one.spread.std_over_folds}
        parts = [f"± {100 * std:.1f} over {what}" for what, std in spreads.items() if std is not None]
        mean = f"{one.run}: {100 * one.spread.mean_over_seeds:.1f} %"
        wide.print(", ".join([mean, *parts]), markup=False, highlight=False, soft_wrap=True)
    wide.print(
        "Differences in points, to the first run. Intervals: bootstrap over subjects. Permutation: signs of the "
        "subjects' differences. McNemar takes sequences for independent, and needs runs of one seed.",
        highlight=False,
    )
    for one in compared:
        if one.warning:
            wide.print(f"{one.run}: {one.warning}", style="bold red", markup=False, soft_wrap=True)


def _interval(interval: tuple[float, float] | None, form: str = ".1f") -> str:
    return "–" if interval is None else f"{100 * interval[0]:{form}} – {100 * interval[1]:{form}}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def print_audit(audited: "Audit") -> None:
    """Print every check of an audit and the verdict."""
    styles = {"passed": "green", "failed": "bold red", "not checkable": "yellow"}
    table = Table("check", "what must hold", "outcome", "what is wrong, or lacking")
    for check in audited.checks:
        findings = escape("\n".join(check.findings))
        table.add_row(check.name, check.promise, check.outcome, findings, style=styles[check.outcome])
    unfolded().print(table)
    console.print(audited.verdict, soft_wrap=True)


def print_saliency(found: dict[str, Any]) -> None:
    """Print what ``saliency`` found: sparsity, completeness and, on synthetic data, how right the maps are."""
    sparsity = Table(title=f"entries below 1 % of their matrix's largest, {found['n_networks']} networks")
    sparsity.add_column("matrix")
    sparsity.add_column("per cent, mean ± std", justify="right")
    for name, share in found["sparsity"].items():
        spread = "" if share["std"] is None else f" ± {100 * share['std']:.1f}"
        sparsity.add_row(name, f"{100 * share['mean']:.1f}{spread}")
    console.print(sparsity)
    complete = found["completeness"]
    console.print(
        f"Integrated gradients account for the logits' differences of {complete['mean_absolute_rise']:.2f} on average "
        f"up to {complete['mean_absolute_residue']:.3f} (at most {complete['largest_absolute_residue']:.3f}).",
        highlight=False,
    )
    if found["localisation"] is None:
        console.print(
            "Which places move is known of drawn faces only: nothing here says how right the maps are.", style="dim"
        )
        return
    emotions = list(found["truth"])
    wide = console if console.is_terminal and console.width >= 100 else Console(width=120)
    table = Table(
        title="synthetic data: area under the ROC curve for the places that the action units move\n"
        "all: over all places; moved: over those that some emotion moves, where the middle of the face is no answer"
    )
    table.add_column("map")
    for emotion in emotions:
        table.add_column(emotion, justify="right")
    table.add_column("all", justify="right", style="bold")
    table.add_column("moved", justify="right", style="bold")
    rows = found["localisation"]
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        among = row["mean_among_moved"]
        table.add_row(
            escape(row["saliency"]),
            *(f"{row['auc'][emotion]:.2f}" for emotion in emotions),
            f"{row['mean']:.2f}",
            "–" if among is None else f"{among:.2f}",
            style="dim" if row["kind"] == "control" else None,
            end_section=following is not None and following["kind"] != row["kind"],
        )
    wide.print(table)
    console.print(
        "The last rows are controls that nothing was learned for. A map that does not do better than they do shows "
        "where faces move, not what the networks learned. Synthetic: this says nothing about real faces.",
        style="bold yellow",
    )


def print_prepared(prepared: "Prepared") -> None:
    """Print what ``prepare`` did and what it left out."""
    done = f"{prepared.computed} files computed, {prepared.kept} kept"
    console.print(f"[b]{escape(str(prepared.store.folder))}[/b]: {done}", soft_wrap=True)
    for name in prepared.without_face:
        console.print(f"no frame of {name} shows a face: left out", style="yellow", markup=False, soft_wrap=True)
    for part in prepared.partial:
        what = f"{part.n_used} of the {part.n_frames} frames of {part.sequence} are used: beyond them the face is lost"
        console.print(what, style="yellow", markup=False, soft_wrap=True)
    if prepared.problems:
        wide = unfolded()
        listed = Table("sequence", "damaged, left out")
        for problem in prepared.problems:
            listed.add_row(escape(problem.sequence), escape(str(problem)), style="red")
        wide.print(listed)
    if prepared.contact_sheet:
        first, n_pages = prepared.contact_sheet[0].name, len(prepared.contact_sheet)
        pages = first if n_pages == 1 else f"{first} to {n_pages:02}"
        console.print(f"{pages} there: shows subjects' faces, a local file, not to be passed on", soft_wrap=True)
    if prepared.crops:
        console.print(f"{prepared.crops.name}/ there: shows subjects' faces, not to be passed on", soft_wrap=True)


def print_pretrained_on_drawn(result: "DrawnResult") -> None:
    """Print what ``pretrain --synthetic`` changed."""
    table = Table("emotion of unseen drawn people, told by a linear classifier from")
    for heading in ("before %", "after %"):
        table.add_column(heading, justify="right")
    kinds = {
        "apex": "the maps of the apex",
        "change": "apex minus rest",
        "apex_unseen": "the maps of the apex, in a style that nothing was learned from",
        "change_unseen": "apex minus rest, in that style",
    }
    for kind, what in kinds.items():
        table.add_row(what, *(f"{100 * getattr(probed, kind):.1f}" for probed in (result.before, result.after)))
    console.print(table)
    chance = "14.3 % by chance. Drawn faces: this says nothing about real ones."
    console.print(f"{result.after.n_tested} apexes, {chance}", style="bold yellow", soft_wrap=True)
    _print_backbone(result.path)


def print_pretrained_on_images(result: "LabelledResult") -> None:
    """Print how well ``pretrain --images`` tells emotions, and what it left out."""
    counts = result.images
    table = Table()
    for heading in ("learned from", "choosing the epoch", "held out", "accuracy %", "mean class recall %"):
        table.add_column(heading, justify="right")
    shares = (f"{100 * share:.1f}" for share in (result.accuracy, result.mean_class_recall))
    table.add_row(*(str(counts[part]) for part in ("learning", "choosing", "held-out")), *shares)
    console.print(table)
    console.print(f"of {', '.join(result.classes)}; people may be in more than one part", soft_wrap=True)
    for path in result.without_face:
        console.print(f"{path}: MTCNN finds no face: left out", style="yellow", markup=False, soft_wrap=True)
    for problem in result.problems:
        console.print(str(problem), style="red", markup=False, soft_wrap=True)
    _print_backbone(result.path)


def _print_backbone(path: Path) -> None:
    console.print(f"[b]{escape(str(path))}[/b]: `face-strnn prepare --weights` takes it", soft_wrap=True)


def _counts(found: int | None, expected: int | None) -> list[str]:
    return [str(found)] if expected is None else [str(found), str(expected)]


def print_prediction(source: Path, answer: "Prediction") -> None:
    """Print a recording's answer."""
    first, last = answer.part
    basis = {
        "whole": f"frames {first} to {last} as one sequence",
        "mean": f"mean over {answer.n_faces} frames with a face",
    }[answer.basis]
    console.print(f"{source}: {answer.emotion} ({basis})", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("emotion")
    table.add_column("probability", justify="right")
    for emotion, probability in sorted(answer.probabilities.items(), key=lambda pair: -pair[1]):
        table.add_row(emotion, f"{probability:.3f}")
    console.print(table)
    peak = answer.peak
    when = f"frame {peak.frame}" if peak.seconds is None else f"{peak.seconds:.2f} s"
    console.print(f"surest at {when}: {peak.emotion} {peak.probability:.3f}")
    learned = "synthetic faces: no evidence about real ones" if answer.data == "synthetic" else answer.data
    stopped = ", stopped early" if answer.stopped else ""
    console.print(
        f"{answer.n_frames} frames{stopped}, {answer.n_faces} with a face; {answer.n_models} models averaged, "
        f"trained on {learned}; {answer.n_frames / answer.seconds:.1f} frames a second",
        soft_wrap=True,
    )
    for path in filter(None, (answer.table, answer.figure, answer.annotated)):
        console.print(f"[b]{escape(str(path))}[/b]", soft_wrap=True)


def print_epoch(done: "FoldProgress", n_networks: int) -> None:
    """Print how far the fine-tuning of a network is; folds are taken one after another, and take long."""
    last = done.history[-1]
    console.print(
        f"fine-tuning, fold {done.fold}, seed {done.seed} ({n_networks} networks): epoch {last.epoch}, loss "
        f"{last.loss:.3f}, accuracy in training {100 * last.train_accuracy:.1f} %",
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def progress_bar(what: str, total: int | None, on: Console = console) -> Iterator[Callable[..., None]]:
    """Show a bar; give a function that moves it: ``completed=`` so many, or ``advance=`` by so many, of ``total``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=on) as bars:
        yield partial(bars.update, bars.add_task(what, total=total))


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for every stage of some work; give a function that takes a stage, what is done, and of how much."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        shown: dict[str, TaskID] = {}

        def show(stage: str, done: int, whole: int) -> None:
            if stage not in shown:
                shown[stage] = bars.add_task(stage, total=whole)
            bars.update(shown[stage], completed=done, total=whole)

        yield show


@contextmanager
def training_progress(epochs: int) -> Iterator[Callable[["Stack"], None]]:
    """Show a bar for every stack of folds; give a function that moves the stack's own, called after each epoch."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("training loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        shown: dict[str, TaskID] = {}

        def watch(stack: "Stack") -> None:
            first, last = stack.members[0], stack.members[-1]
            name = f"epochs, folds {first.fold} to {last.fold}, seed {first.seed}"
            if name not in shown:
                shown[name] = bars.add_task(name, total=epochs, loss=float("nan"))
            latest = stack.history[-len(stack.members) :]
            loss = sum(epoch.loss for epoch in latest) / len(latest)
            bars.update(shown[name], completed=stack.epochs_done, loss=loss)

        yield watch
