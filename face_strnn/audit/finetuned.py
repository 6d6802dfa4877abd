"""What an audit derives anew of a fine-tuned run."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from data_prep.backbones.recorded import recorded_backbone
from data_prep.errors import BadInput
from data_prep.faces.variants import ORIGINAL
from data_prep.store.crops import require_crops
from data_prep.store.store import StoredSequence
from face_strnn.audit.run_files import Checkpoint, Evidence, Lacking
from face_strnn.evaluation.run_folder import FROZEN, backbone_file, read_summary, read_table
from face_strnn.evaluation.significance import beside_frozen
from face_strnn.training.from_crops.answers import answers
from face_strnn.training.from_crops.backbone_parts import BackboneParts, thawed_facts
from face_strnn.training.samples import names_sha256


def figures_beside_frozen(evidence: Evidence) -> dict[str, Any]:
    """Return what the summary should say of the frozen networks.

    Raises:
        Lacking: the frozen run is not there.
    """
    frozen = evidence.run / FROZEN
    try:
        predictions = read_table(frozen, "predictions.csv", ["sequence", "subject", "seed", "truth", "prediction"])
        return beside_frozen(read_summary(frozen)["classes"], predictions, evidence.predictions)
    except BadInput as error:
        raise Lacking(f"the frozen networks' run: {error}") from error


def read_in_finetuning(evidence: Evidence, checkpoint: Checkpoint) -> Iterator[str]:
    """Yield what is wrong with whose crops a network's fine-tuning read, and with what it started from."""
    path = evidence.run / "checkpoints" / checkpoint.name
    backbone = backbone_file(path)
    facts = thawed_facts(backbone)
    if (facts.get("fold"), facts.get("seed")) != (str(checkpoint.fold), str(checkpoint.seed)):
        yield f"{backbone.name} is of fold {facts.get('fold')} and seed {facts.get('seed')}"
    sequences = {name for name, _ in evidence.names(checkpoint.fold, "train")}
    if facts.get("read_sha256") != names_sha256((name, ORIGINAL) for name in sequences):
        yield f"{backbone.name}: other crops were read than those of its fold's training subjects"
    start = evidence.run / FROZEN / "checkpoints" / checkpoint.name
    if start.is_file() and facts.get("start_sha256") != sha256(start.read_bytes()).hexdigest():
        yield f"{backbone.name}: was fine-tuned from another network than {FROZEN}/checkpoints/{start.name}"


def finetuned_probabilities(
    evidence: Evidence, checkpoint: Checkpoint, entries: Sequence[StoredSequence]
) -> np.ndarray:
    """Return float64 (N, classes): a network's answers from the stored crops, computed anew.

    Raises:
        Lacking: the features hold no crops, or the backbone's weights are not at hand.
        BadInput: the network's thawed weights are damaged.
    """
    store = evidence.samples.store
    try:
        require_crops(store, entries)
        backbone = recorded_backbone(store.recipe, store.folder, evidence.weights)
    except BadInput as error:
        raise Lacking(str(error)) from error
    parts = BackboneParts.of(backbone, evidence.settings["finetune"])
    thawed = parts.load(backbone_file(evidence.run / "checkpoints" / checkpoint.name))
    return answers(store, entries, thawed, checkpoint.model, evidence.settings["training"]["interpolation"])
