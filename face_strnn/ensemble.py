"""The models of a run together with the crop and the backbone that its features were made with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.backbone import Backbone, load_backbone
from data_prep.crops import CropKind, SquareCrop, cut
from data_prep.errors import BadInput
from data_prep.variants import ORIGINAL, ROOM, cut_variant
from face_strnn.config import Interpolation
from face_strnn.network import STRNN, MapBatch, Parameters, logits

_KINDS: dict[str, CropKind] = {"sequence": "per-sequence", "per-frame": "per-frame", "eyes": "eyes"}
"""The crop's name in the recipe of features -> in :mod:`data_prep.crops`."""


@dataclass(frozen=True)
class Ensemble:
    """What answers for a run: all its models, whose probabilities are averaged.

    Attributes:
        models: one per fold and seed, of the same sizes, on the backbone's device.
        backbone: the frozen network before them.
        kind, margin: the crop of the run's features, see :func:`data_prep.crops.crops_of`.
        classes: the emotions, in the order of the probabilities.
        data: what the models learned from: ``"synthetic"`` or a data set's name.
    """

    models: Sequence[STRNN]
    backbone: Backbone
    kind: CropKind
    margin: float
    classes: tuple[str, ...]
    data: str

    @classmethod
    def of_run(cls, run: Path, weights: str | None = None, device: torch.device | str = "cpu") -> "Ensemble":
        """Load a run's models and its backbone.

        Args:
            run: a finished run folder.
            weights: the backbone's weights where the run's came from a local file, whose path a run does not know.
            device: where all networks run.

        Raises:
            BadInput: the run is not finished or damaged, its models are of another run, or the backbone's weights are
                not those of the run.
        """
        try:
            features = json.loads((run / "summary.json").read_text(encoding="utf-8"))["features"]
            crop, fingerprint = features["crop"], features["fingerprint"]
            given = crop["detector"] == "given"
            kind = _KINDS[crop.get("per", "sequence")]
            margin = 0.0 if given else float(crop["margin"])
            architecture, known_as, checksum = (features[key] for key in ("backbone", "weights", "weights_sha256"))
            maps, preprocessing, data = (features[key] for key in ("maps", "preprocessing", "data"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{run}: not a finished run ({error}); `face-strnn cv --out {run}` makes or ends one") from (
                error
            )
        if given:
            raise BadInput(
                f"{run}: its features are of images that were given as crops; how to cut such faces out of a "
                "recording is not known. Make the features with `face-strnn prepare --faces mtcnn` to predict"
            )
        models = _models(run, fingerprint)
        if weights is None and known_as not in ("imagenet", "hed"):
            raise BadInput(
                f"{run}: its features were made with the weights file {known_as} (SHA-256 {checksum[:12]}...); "
                "give that file's path with --weights"
            )
        backbone = load_backbone(architecture, weights or known_as, maps, device)
        ours = backbone.preprocessing
        if checksum != backbone.weights.sha256 or preprocessing != [
            ours.channels, ours.scale, list(ours.mean), list(ours.std)
        ]:  # fmt: skip
            raise BadInput(
                f"{run}: was made with other features (weights {known_as}, SHA-256 {checksum[:12]}...); "
                "give their file with --weights"
            )
        classes = tuple(json.loads(models[0].facts["classes"]))
        return cls([model.to(device) for model in models], backbone, kind, margin, classes, data)

    def maps(self, images: Sequence[np.ndarray], crops: Sequence[SquareCrop]) -> Tensor:
        """Return the pooling maps of faces, as the run's features are.

        Args:
            images: the frames, uint8 (height, width, 3), RGB.
            crops: the square of each.

        Returns:
            float16 (frames, h, w, channels) on the CPU.
        """
        pixels = self.backbone.crop_pixels
        # Cut with room for a rotation, and the room cut off again: so are the crops of an unrotated training sequence.
        wide = np.stack([cut(image, crop, pixels, ROOM) for image, crop in zip(images, crops, strict=True)])
        return self.backbone(torch.from_numpy(cut_variant(wide, ORIGINAL, pixels)))

    @torch.inference_mode()
    def probabilities(self, maps: Tensor) -> np.ndarray:
        """Return the mean over the models of each emotion's probability for one sequence.

        Args:
            maps: (frames, h, w, channels), as of :meth:`maps`.

        Returns:
            float64 (classes,), 0 to 1.
        """
        first = self.models[0]
        how: Interpolation = first.facts["interpolation"]
        batch = MapBatch.of([maps.to(self.backbone.device)], first.config.length, how)
        o = logits(self._parameters, batch, first.scan, first.config.activation)  # (models, 1, classes)
        return o[:, 0].double().softmax(1).mean(0).cpu().numpy()

    @cached_property
    def _parameters(self) -> Parameters:
        """All models' parameters, stacked."""
        names = self.models[0].config.shapes()
        return {name: torch.stack([model.get_parameter(name).detach() for model in self.models]) for name in names}


def _models(run: Path, fingerprint: str) -> list[STRNN]:
    checkpoints = sorted((run / "checkpoints").glob("fold-*.safetensors"))
    if not checkpoints:
        raise BadInput(f"{run / 'checkpoints'}: holds no models; run `face-strnn cv --out {run}` again")
    models = [STRNN.load(checkpoint) for checkpoint in checkpoints]
    for checkpoint, model in zip(checkpoints, models, strict=True):
        lacking = {"features", "classes", "interpolation"} - model.facts.keys()
        if lacking:
            raise BadInput(
                f"{checkpoint}: its header lacks {', '.join(sorted(lacking))}; delete it and run `face-strnn cv` again"
            )
        if model.facts["features"] != fingerprint:
            raise BadInput(
                f"{checkpoint}: learned from other features than {run / 'summary.json'} names; "
                "delete it and run `face-strnn cv` again"
            )
        if model.config != models[0].config:
            raise BadInput(
                f"{checkpoint}: has other sizes than {checkpoints[0].name}; delete it and run `face-strnn cv` again"
            )
    return models
