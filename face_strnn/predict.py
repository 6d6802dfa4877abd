"""The emotion in a video or a folder of frames, by the models of a run."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from data_prep.backbone import load_backbone
from data_prep.errors import BadInput
from data_prep.face_track import FaceFollower
from data_prep.frames import read_frames
from data_prep.pipeline import recipe, wide_crops
from data_prep.rotation import rotate
from data_prep.store import fingerprint
from face_strnn.network import STRNN


@dataclass(frozen=True)
class Prediction:
    """The answer of a run's models.

    Attributes:
        probabilities: of each emotion, 0 to 1, averaged over the models.
        n_frames: frames seen.
        n_models: models asked.
        data: what they learned from: ``"synthetic"`` or a data set's name.
    """

    probabilities: dict[str, float]
    n_frames: int
    n_models: int
    data: str

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@torch.inference_mode()
def predict(run: Path, source: Path, weights: str | None = None) -> Prediction:
    """Recognise the emotion in a sequence of frames, prepared as the run's features were.

    Args:
        run: a finished run folder.
        source: a video file, or a folder of frames.
        weights: the backbone's weights where the run's came from a local file, whose path a run does not know.

    Raises:
        BadInput: the run is not finished or damaged, its models are of another run, the backbone's weights are not
            those of the run, the source cannot be decoded, or no frame of it shows a face.
    """
    try:
        features = json.loads((run / "summary.json").read_text(encoding="utf-8"))["features"]
        checkpoints = sorted((run / "checkpoints").glob("fold-*.safetensors"))
        margin = features["crop"]["margin"]
        backbone_of_run = (features["backbone"], weights or features["weights"], features["maps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{run}: not a finished run ({error}); `face-strnn cv --out {run}` makes or ends one") from error
    if not checkpoints:
        raise BadInput(f"{run / 'checkpoints'}: holds no models; run `face-strnn cv --out {run}` again")
    models = [STRNN.load(checkpoint) for checkpoint in checkpoints]
    for checkpoint, model in zip(checkpoints, models, strict=True):
        lacking = {"features", "classes", "interpolation"} - model.facts.keys()
        if lacking:
            raise BadInput(
                f"{checkpoint}: its header lacks {', '.join(sorted(lacking))}; delete it and run `face-strnn cv` again"
            )
        if model.facts.get("features") != features["fingerprint"]:
            raise BadInput(
                f"{checkpoint}: learned from other features than {run / 'summary.json'} names; "
                "delete it and run `face-strnn cv` again"
            )
    if weights is None and features["weights"] not in ("imagenet", "hed"):
        raise BadInput(
            f"{run}: its features were made with the weights file {features['weights']} (SHA-256 "
            f"{features['weights_sha256'][:12]}...); give that file's path with --weights"
        )
    frames = read_frames(source)
    backbone = load_backbone(*backbone_of_run)
    if fingerprint(recipe(features["data"], backbone, margin)) != features["fingerprint"]:
        raise BadInput(
            f"{run}: was made with other features (weights {features['weights']}, SHA-256 "
            f"{features['weights_sha256'][:12]}...); give their file with --weights"
        )
    crops = wide_crops(frames, FaceFollower(), backbone.crop_pixels, margin)
    if crops is None:
        raise BadInput(f"{source}: no frame shows a face; give a recording in which the face is larger or better lit")
    maps = backbone(torch.from_numpy(rotate(crops, 0, backbone.crop_pixels)))
    how = models[0].facts["interpolation"]
    answers = torch.stack([model.logits_of_sequences([maps], how)[0].double().softmax(0) for model in models])
    names = json.loads(models[0].facts["classes"])
    probabilities = dict(zip(names, answers.mean(0).tolist(), strict=True))
    return Prediction(probabilities, len(frames), len(models), features["data"])
