"""The checks that only a fine-tuned run needs."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from data_prep.faces.variants import ORIGINAL
from face_strnn.audit.findings import short
from face_strnn.audit.run_files import RunFiles
from face_strnn.evaluation.checkpoints import FOLDER, TrainedNetwork, backbone_file
from face_strnn.evaluation.run import FROZEN
from face_strnn.evaluation.significance import beside_frozen
from face_strnn.training.from_crops.thawed import thawed_facts
from face_strnn.training.samples import names_sha256


def figures_beside_frozen(files: RunFiles) -> dict[str, Any]:
    """Return the figures of the frozen networks that the summary should have.

    Raises:
        BadInput: the frozen run is not there.
    """
    frozen = files.run.frozen()
    predictions = frozen.predictions if files.settings.ensemble else frozen.members
    return beside_frozen(frozen.summary.classes, predictions, files.predictions)


def settings_of_frozen(files: RunFiles) -> Iterator[str]:
    """Yield where the frozen run was made by other settings than the fine-tuned one, such as other averages.

    Raises:
        BadInput: the frozen run has no settings.
    """
    found, wanted = files.run.frozen().settings.as_dict, files.settings.frozen().as_dict
    # Frozen networks need no crops.
    wanted["features"] = {name: value for name, value in wanted["features"].items() if name != "crops_blake2b"}
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"{FROZEN}/config.yaml has {name} {short(found.get(name))}, config.yaml {short(value)}"


def read_in_finetuning(files: RunFiles, network: TrainedNetwork) -> Iterator[str]:
    """Yield where fine-tuning read other crops than its fold's, or started from another network."""
    backbone = backbone_file(network.path)
    facts = thawed_facts(backbone)
    if (facts.get("fold"), facts.get("seed")) != (str(network.fold), str(network.seed)):
        yield f"{backbone.name} is of fold {facts.get('fold')} and seed {facts.get('seed')}"
    sequences = {name for name, _ in files.names(network.fold, "train")}
    if facts.get("read_sha256") != names_sha256((name, ORIGINAL) for name in sequences):
        yield f"{backbone.name}: other crops were read than those of its fold's training subjects"
    start = files.run.folder / FROZEN / FOLDER / network.name
    if not start.is_file():
        yield f"{FROZEN}/{FOLDER}/{start.name} is missing, the network from which {backbone.name} was fine-tuned"
    elif facts.get("start_sha256") != sha256(start.read_bytes()).hexdigest():
        yield f"{backbone.name}: was fine-tuned from another network than {FROZEN}/{FOLDER}/{start.name}"
