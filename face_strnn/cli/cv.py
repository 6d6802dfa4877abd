"""``face-strnn cv``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.progress import training_progress
from face_strnn.cli.report import report_run
from face_strnn.config import FinetuningConfig, NetworkConfig, Selection, TrainingConfig

if TYPE_CHECKING:
    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import Audit
    from face_strnn.evaluation.learners.learner import Extent, Progress, Stage
    from face_strnn.evaluation.run import Run
    from face_strnn.evaluation.settings import Plan
    from face_strnn.training.stack import Epoch


def cv(
    features: Path,
    out: Path,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    classes: list[str] | None = None,
    partial: bool = False,
    selection: Literal["last", "inner", "oracle"] = "last",
    epochs: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    learn_from: Literal["all", "one", "original"] = "all",
    test_average: bool = False,
    ensemble: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    network: NetworkConfig = NetworkConfig(),  # noqa: B008
    training: TrainingConfig = TrainingConfig(),  # noqa: B008
    tensorboard: bool = False,
    finetune: Literal["none", "last-block", "last-two-blocks", "all"] = "none",
    finetuning: FinetuningConfig = FinetuningConfig(),  # noqa: B008
    weights_file: str | None = None,
    command: str = "",
) -> None:
    """Cross-validate an STRNN, subjects held out, and write a run folder. An interrupted run is resumed.

    Args:
        features: a feature store, or the folder that holds one.
        out: the run folder.
        protocol: how subjects are assigned to folds; given: the data set's own folds (a manifest's column fold).
        folds: number of folds of the protocols interleaved and contiguous.
        classes: classes to distinguish: six (without contempt), seven, or names such as anger fear; by default all.
        partial: use a feature store that is not complete; the results say how many of its sequences it held.
        epochs: passes over the training samples; overrides training.epochs.
        selection: the epoch that is tested: the last; inner: the best on training subjects set aside for it; oracle:
            the best on the test subjects, whose accuracy is not comparable with anything.
        seed: seed of the initial parameters.
        seeds: number of times that every fold is trained, with seeds from --seed upwards.
        learn_from: variants of a training sequence that an epoch uses: all, one chosen at random per epoch, or only the
            original sequence.
        test_average: the prediction for a test sequence is the mean over all its variants, not its original alone; of
            --finetune cut from the stored crops.
        ensemble: the prediction for a test sequence is the mean over the networks of all --seeds.
        device: where the networks are trained; auto uses a GPU if there is one.
        network: sizes of the network.
        training: settings of the training.
        tensorboard: write every network's curves to the folder tensorboard of the run folder while it trains.
        finetune: fine-tune the backbone's last block, its last two or all of it together with the STRNN, from the
            stored crops.
        finetuning: settings of fine-tuning.
        weights_file: for --finetune: file of the backbone's weights, if those of the features came from a local file.
        command: how the program was called; a run's summary repeats it.
    """
    from data_prep.device import compute_device
    from data_prep.store.store import FeatureStore
    from face_strnn.evaluation.crossval import cross_validate
    from face_strnn.evaluation.settings import Plan
    from face_strnn.models.spatial import scan_backend

    if epochs is not None:
        training = replace(training, epochs=epochs)
    plan = Plan(
        protocol=protocol,
        folds=folds,
        classes=tuple(classes) if classes else None,
        partial=partial,
        selection=selection,
        seed=seed,
        seeds=seeds,
        learn_from=learn_from,
        test_average=test_average,
        ensemble=ensemble,
        network=network,
        training=training,
        finetune=finetune,
        finetuning=finetuning,
    )
    if weights_file is not None and not plan.is_finetuned:
        raise BadInput("--weights-file: only for --finetune; training on stored maps needs no backbone")
    if tensorboard and plan.is_finetuned:
        raise BadInput("--finetune: draws no curves; omit --tensorboard")
    store, where = FeatureStore.open(features), compute_device(device)
    console.print(f"scan: {scan_backend(plan.config, where)}", highlight=False)
    _print_published_list(store, plan)
    with _progress(out / "tensorboard" if tensorboard else None, selection) as (progress, complete):
        run = cross_validate(store, out, plan, where, weights_file, command, progress)
        complete(run)
    audited = _audited(run, store, weights_file)
    report_run(run, audited)
    # The user chose oracle, whose selection check always fails.
    broken = [check for check in audited.failed if (check.name, selection) != ("selection", "oracle")]
    if broken:
        raise BadInput(f"{out}: {audited.verdict}; `face-strnn audit {out} --features {features}` says what is wrong")


def _print_published_list(store: "FeatureStore", plan: "Plan") -> None:
    """Print how features of CK+ compare with the published list of its sequences; nothing of other data."""
    from data_prep.datasets.ckplus_list import DATA, compare_with_list
    from face_strnn.training.samples import Samples

    if store.recipe["data"] != DATA:
        return
    samples = Samples.of(store, plan.classes, plan.partial)
    rows = ((entry.sequence, entry.subject, entry.emotion) for entry in samples.entries)
    compared = compare_with_list(rows, samples.class_names)
    console.print(compared.in_words, highlight=False)
    for what, names in {**compared.differences, **({"missing": compared.missing} if compared.missing else {})}.items():
        console.print(f"{len(names)} {what}: {', '.join(names)}", style="bold yellow", markup=False, soft_wrap=True)


def _audited(run: "Run", store: "FeatureStore", weights_file: str | None) -> "Audit":
    """Audit a run, and the frozen run that a fine-tuned one started from, with a page of its own."""
    from face_strnn.audit.audit import audit_run, write_audit
    from face_strnn.report.page import render_report

    if run.settings.is_finetuned:
        frozen = run.frozen()
        write_audit(frozen, audited := audit_run(frozen, store))
        render_report(frozen, audited)
    audited = audit_run(run, store, weights_file)
    write_audit(run, audited)
    return audited


@contextmanager
def _progress(tensorboard: Path | None, selection: Selection) -> Iterator[tuple["Progress", Callable[["Run"], None]]]:
    """Show how far the run is; write curves where asked for.

    Yields:
        What is called after every epoch, and what is called with the finished run.
    """
    from face_strnn.report.tensorboard import TrainingScalars

    scalars = TrainingScalars(tensorboard, selection) if tensorboard else None
    with training_progress() as show:

        def progress(stage: "Stage", history: "Sequence[Epoch]", extent: "Extent") -> None:
            show(stage, history, extent)
            if scalars and stage == "training":
                scalars.write(history, extent.whole)

        yield progress, scalars.complete if scalars else lambda _: None
