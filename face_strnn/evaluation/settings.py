"""The plan of a run and the facts of its features: ``config.yaml``."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from data_prep.errors import BadInput
from data_prep.store.crops import require_crops
from data_prep.store.faces import FaceStore
from face_strnn.config import (
    Config,
    Finetune,
    FinetuningConfig,
    LearnFrom,
    NetworkConfig,
    Protocol,
    Selection,
    TrainingConfig,
)
from face_strnn.training.samples import Samples

SETTINGS_FILE = "config.yaml"
MOST_NETWORKS = 100_000
"""More folds times seeds than these come of an edited file: looking for their checkpoints would not end."""

RESTART = "run `face-strnn cv` again with another --out"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a cross-validation.

    Attributes:
        protocol: how subjects are assigned to folds.
        folds: number of folds of the protocols interleaved and contiguous.
        selection: which epoch is tested: ``"last"``; ``"inner"``: the best on a share of the training subjects (those
            of the following fold), which the network is then not trained on; ``"oracle"``: the best on the test
            subjects themselves, not comparable with anything.
        seed: of the initial parameters; the first of several.
        seeds: number of times that every fold is trained, with seeds from ``seed`` upwards.
        learn_from: ``"all"`` uses every stored variant in every epoch, ``"one"`` one variant of each sequence, drawn
            anew for every epoch, ``"original"`` only the original sequences.
        classes: the classes to distinguish; None for all of the store. The sequences of the others are omitted.
        partial: use a store that is not complete.
        test_average: the prediction for a test sequence is the mean over all its variants.
        ensemble: the prediction is the mean over the networks of all seeds.
        network, training: the settings of the networks; sizes that are None become those of the features.
        finetune: which part of the backbone is fine-tuned with each network, from the stored crops.
        finetuning: the settings of fine-tuning.

    Raises:
        BadInput: settings that exclude each other.
    """

    protocol: Protocol = "interleaved"
    folds: int = 10
    selection: Selection = "last"
    seed: int = 0
    seeds: int = 1
    learn_from: LearnFrom = "all"
    classes: tuple[str, ...] | None = None
    partial: bool = False
    test_average: bool = False
    ensemble: bool = False
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    finetune: Finetune = "none"
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise BadInput(f"--seeds {self.seeds}: every fold is trained at least once")
        if self.ensemble and self.seeds == 1:
            raise BadInput("--ensemble: --seeds 1 has one network per fold; give --seeds 2 or more, or omit --ensemble")
        if self.finetune not in get_args(Finetune):
            raise BadInput(f"--finetune {self.finetune}: must be one of {', '.join(get_args(Finetune))}")
        if self.is_finetuned and self.selection != "last":
            raise BadInput("--finetune: only the last epoch is tested; omit --selection")

    @property
    def is_finetuned(self) -> bool:
        """Whether the backbones are fine-tuned with the networks."""
        return self.finetune != "none"

    @property
    def config(self) -> Config:
        """The settings of a network and its training."""
        return Config(self.network, self.training)

    @property
    def all_seeds(self) -> range:
        """The seeds with which every fold is trained."""
        return range(self.seed, self.seed + self.seeds)

    def frozen(self) -> Self:
        """Return the same plan without fine-tuning: that of the networks from which fine-tuning starts."""
        return replace(self, finetune="none", finetuning=FinetuningConfig())


@dataclass(frozen=True, kw_only=True)
class RunSettings(Plan):
    """The plan of a run, its sizes and number of folds filled in, and the facts of its features.

    Attributes:
        data: the data set's name.
        features: ``fingerprint`` of the store; ``rotations`` and ``flipped`` of its training variants;
            ``samples_sha256`` over the facts of all these samples, and ``maps_blake2b`` over the maps of these and the
            test samples; for fine-tuning ``crops_blake2b`` over the crops; of a partial store ``sequences``, the
            numbers that were ``held`` and ``expected``.
    """

    data: str
    features: dict[str, Any]

    @classmethod
    def of(cls, plan: Plan, samples: Samples, tested: Samples, n_folds: int) -> "RunSettings":
        """Fill in a plan.

        Args:
            plan: the plan.
            samples: the training samples.
            tested: the test samples.
            n_folds: number of folds of the protocol.

        Raises:
            BadInput: a size that is set is not that of the samples, all samples are of one class, or the plan
                fine-tunes and the store has no crops.
        """
        features = features_of(samples, tested, plan)
        network = network_for(samples, plan.network)
        filled_in = replace(plan, folds=n_folds, classes=samples.class_names, network=network)
        return cls(data=samples.store.recipe["data"], features=features, **_attributes(filled_in))

    @classmethod
    def read(cls, run: Path) -> "RunSettings":
        """Read the settings of a run folder.

        Raises:
            BadInput: they are missing, are not YAML, or not settings of a run.
        """
        path = run / SETTINGS_FILE
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"{path}: does not exist; run `face-strnn cv` again with the same --out") from error
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise BadInput(f"{path}: is not readable as YAML ({' '.join(str(error).split())}); {RESTART}") from error
        if not isinstance(found, dict):
            raise BadInput(f"{path}: holds no settings; {RESTART}")
        # Without a key its default would stand in for what the run was made with.
        lacking = {field.name for field in fields(cls)} - {"finetune", "finetuning"} - found.keys()
        for part, kind in (("network", NetworkConfig), ("training", TrainingConfig), ("finetuning", FinetuningConfig)):
            if isinstance(found.get(part), dict):
                lacking |= {f"{part}.{field.name}" for field in fields(kind) if field.name not in found[part]}
        try:
            settings = _ADAPTER.validate_python(found)
        except ValidationError as error:
            # Settings that exclude each other belong to no single key.
            lacking |= {str(one["loc"][0]) if one["loc"] else one["msg"] for one in error.errors()}
        if lacking:
            raise BadInput(f"{path}: {', '.join(sorted(lacking))} missing or not valid; {RESTART}")
        if settings.folds * settings.seeds > MOST_NETWORKS:
            n_networks = f"{settings.folds} folds with {settings.seeds} seeds each"
            raise BadInput(f"{path}: {n_networks}, which no run has; {RESTART}")
        return settings

    @cached_property
    def as_dict(self) -> dict[str, Any]:
        """The contents of ``config.yaml``; fine-tuning is named only if it was chosen."""
        values = json.loads(json.dumps(asdict(self)))
        values = {"data": values.pop("data"), "features": values.pop("features"), **values}
        if not self.is_finetuned:
            del values["finetune"], values["finetuning"]
        return values


_ADAPTER = TypeAdapter(RunSettings)


def features_of(samples: Samples, tested: Samples, plan: Plan) -> dict[str, Any]:
    """Return what a run records of its features: see :class:`RunSettings`.

    Args:
        samples, tested, plan: see :meth:`RunSettings.of`.

    Raises:
        BadInput: a file is damaged, or the plan fine-tunes and the store has no crops.
    """
    store = samples.store
    facts: dict[str, Any] = {
        "fingerprint": store.fingerprint,
        **samples.variant_facts(),
        "samples_sha256": samples.sha256(),
        "maps_blake2b": store.checksum_of({*samples.entries, *tested.entries}),
    }
    if plan.is_finetuned:
        originals = samples.originals().entries
        require_crops(store, originals)
        facts["crops_blake2b"] = FaceStore.beside(store).crops(store.recipe).checksum_of(originals)
    if samples.is_partial:
        facts["sequences"] = {"held": len(samples.population), "expected": samples.n_expected}
    return facts


def network_for(samples: Samples, network: NetworkConfig) -> NetworkConfig:
    """Return a network's settings with the sizes that the samples give, where they are None.

    Raises:
        BadInput: a size that is set is not that of the samples, or all samples are of one class.
    """
    if len(samples.class_names) < 2:
        raise BadInput(
            f"{samples.store.folder}: all its sequences show {samples.class_names[0]}; a classifier needs two emotions"
        )
    try:
        return network.for_maps(samples[0].shape[1:], len(samples.class_names))
    except BadInput as error:
        raise BadInput(f"{samples.store.folder}: {error}") from error


def _attributes(plan: Plan) -> dict[str, Any]:
    return {field.name: getattr(plan, field.name) for field in fields(Plan)}
