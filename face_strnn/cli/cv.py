"""``face-strnn cv``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_prep.errors import BadInput
from face_strnn.cli.console import console, training_progress
from face_strnn.cli.report import report
from face_strnn.config import Config, FinetuningConfig, NetworkConfig, TrainingConfig

if TYPE_CHECKING:
    from face_strnn.training.from_crops.fold import FoldProgress
    from face_strnn.training.stack import Stack


def cv(
    features: Path,
    out: Path,
    protocol: Literal["interleaved", "contiguous", "leave-one-subject-out", "given"] = "interleaved",
    folds: int = 10,
    selection: Literal["last", "inner", "oracle"] = "last",
    epochs: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    augmentation: Literal["all", "one", "none"] = "all",
    test_average: bool = False,
    ensemble: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    network: NetworkConfig = NetworkConfig(),  # noqa: B008
    training: TrainingConfig = TrainingConfig(),  # noqa: B008
    tensorboard: bool = False,
    finetune: Literal["none", "last-block", "all"] = "none",
    finetuning: FinetuningConfig = FinetuningConfig(),  # noqa: B008
    weights: str | None = None,
    command: str = "",
) -> None:
    """Cross-validate an STRNN, subjects held out, and write a run folder. An interrupted run is taken up.

    Args:
        features: a feature store, or the folder that holds one.
        out: the run folder.
        protocol: how subjects are dealt to folds; given: as the data set itself says (a manifest's column fold).
        folds: number of folds of the protocols interleaved and contiguous.
        epochs: passes over the training samples, in place of the configuration's training.epochs.
        selection: the epoch that is tested: the last; inner: the best on training subjects set aside for it; oracle:
            the best on the test subjects, whose accuracy is not comparable with anything.
        seed: of the initial parameters.
        seeds: number of times that every fold is trained, with seeds from --seed upwards.
        augmentation: what an epoch takes of the variants of a training sequence: all, one drawn anew for every epoch,
            or none but the sequence as it was taken.
        test_average: answer a test sequence by the mean over all its variants; by itself alone is the protocol.
        ensemble: answer it by the mean over the networks of all --seeds, and list what each does alone.
        device: where the networks are trained; auto takes a GPU where there is one.
        network: sizes of the network.
        training: how it is trained.
        tensorboard: write every network's curves to the folder tensorboard of the run folder while it trains.
        finetune: train the backbone's last block, or all of it, on together with the STRNN, from the stored crops.
        finetuning: how that is done.
        weights: for --finetune: file of the backbone's weights, where the features' came from a local file.
        command: how the program was called; a run's summary repeats it.
    """
    from data_prep.device import compute_device
    from data_prep.store.store import FeatureStore
    from face_strnn.audit.audit import audit_run, write_audit
    from face_strnn.evaluation.crossval import cross_validate
    from face_strnn.evaluation.finetuned import Finetuning, finetuned_cross_validation
    from face_strnn.evaluation.run_folder import FROZEN
    from face_strnn.models.spatial import scan_backend
    from face_strnn.report.page import render_report
    from face_strnn.report.tensorboard import TrainingScalars

    scalars = TrainingScalars(out / "tensorboard", selection) if tensorboard else None
    if epochs is not None:
        training = replace(training, epochs=epochs)
    if finetune == "none" and weights is not None:
        raise BadInput("--weights: belongs to --finetune; training on maps as stored needs no backbone")
    if finetune != "none" and (selection != "last" or tensorboard):
        raise BadInput("--finetune: tests the last epoch and draws no curves; leave --selection and --tensorboard")
    if finetune != "none" and (test_average or ensemble):
        raise BadInput("--finetune: every network answers alone, from the crops; leave --test-average and --ensemble")
    store = FeatureStore.open(features)
    where = compute_device(device)
    console.print(f"scan: {scan_backend(Config(network, training), where)}", highlight=False)
    with training_progress(training.epochs) as show:

        def watch(stack: "Stack") -> None:
            show(stack)
            if scalars:
                scalars.write(stack)

        if finetune != "none":
            plan = Finetuning(finetune, finetuning, weights)
            finetuned_cross_validation(
                store, out, Config(network, training), plan, protocol, folds, seed, seeds, where, command,
                watch, print_epoch, augmentation,
            )  # fmt: skip
        else:
            cross_validate(
                store,
                out,
                Config(network, training),
                protocol,
                folds,
                selection,
                seed,
                seeds,
                where,
                command,
                watch,
                augmentation,
                test_average,
                ensemble,
            )
    if scalars:
        scalars.complete(out)
    if finetune != "none":
        write_audit(out / FROZEN, audit_run(out / FROZEN, store))
        render_report(out / FROZEN)
    audited = audit_run(out, store, weights)
    write_audit(out, audited)
    report(out)
    # That an oracle run is not comparable was asked for.
    broken = [check for check in audited.failed if (check.name, selection) != ("selection", "oracle")]
    if broken:
        raise BadInput(f"{out}: {audited.verdict}; `face-strnn audit {out} --features {features}` says what is wrong")


def print_epoch(done: "FoldProgress", n_networks: int) -> None:
    """Print how far the fine-tuning of a network is; folds are taken one after another, and take long."""
    last = done.history[-1]
    console.print(
        f"fine-tuning, fold {done.fold}, seed {done.seed} ({n_networks} networks): epoch {last.epoch}, loss "
        f"{last.loss:.3f}, accuracy in training {100 * last.train_accuracy:.1f} %",
        highlight=False,
        soft_wrap=True,
    )
