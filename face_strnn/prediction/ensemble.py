"""The models of a run together with the crop and the backbone that its features were made with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.backbones.backbone import Backbone
from data_prep.backbones.recorded import recorded_backbone
from data_prep.errors import BadInput
from data_prep.faces.crops import CropKind, SquareCrop, extract_crop
from data_prep.faces.variants import ORIGINAL, ROTATION_BORDER, cut_variant
from face_strnn.config import Interpolation
from face_strnn.evaluation.checkpoints import backbone_file, checkpoint_files
from face_strnn.evaluation.run import Run
from face_strnn.models.strnn import STRNN, MapBatch, Parameters, logits
from face_strnn.prediction.durations import Duration
from face_strnn.prediction.recogniser import Method
from face_strnn.training.from_crops.thawed import load_thawed, split_for_finetuning

WINDOW = "1.2s"
"""Default window. Networks learn from sequences that go from neutral to the apex, at CK+ in 18 frames in the mean at 30
frames a second, so that a prediction is good while the window holds the whole rise: a shorter one loses a face that
holds its expression sooner, a longer one finds it later. ``benchmarks/windows.py`` measures both."""

HOP = "0.2s"
"""Default time from window to window: an expression rises in half a second, so that none falls between two."""

WHOLE_FRAMES = 100
"""The longest segment, in frames, that is predicted as one sequence. CK+'s longest has 71; of more, the networks' 44
time steps would leave too much out, and an expression comes and goes in it, which the networks never saw."""

_KINDS: dict[str, CropKind] = {"sequence": "per-sequence", "per-frame": "per-frame", "eyes": "eyes"}
"""The crop's name in the recipe of features -> in :mod:`data_prep.faces.crops`."""


@dataclass(frozen=True)
class Ensemble:
    """The recogniser of a run: all its models, whose probabilities for a window are averaged.

    Attributes:
        models: one per fold and seed, of the same sizes, on the backbones' device.
        backbones: the network before them: one for all, or of a fine-tuned run one for each.
        kind, margin: the crop of the run's features, see :func:`data_prep.faces.crops.crops_of`.
        classes: the emotions, in the order of the probabilities.
        method: the STRNN, and the data set of the run.
        window, hop: length of a window of frames, and from one to the next.
        whole_frames: the longest segment, in frames, that is predicted as one sequence.
    """

    models: Sequence[STRNN]
    backbones: Sequence[Backbone]
    kind: CropKind
    margin: float
    classes: tuple[str, ...]
    method: Method
    window: Duration
    hop: Duration
    whole_frames: int = WHOLE_FRAMES

    @classmethod
    def of_run(
        cls,
        run: Path,
        weights: str | None = None,
        device: torch.device | str = "cpu",
        window: str = WINDOW,
        hop: str = HOP,
    ) -> "Ensemble":
        """Load a run's models and its backbone.

        Args:
            run: a finished run folder.
            weights: the backbone's weights where the run's came from a local file, whose path a run does not know.
            device: where all networks run.
            window, hop: length of a window and distance between two, such as ``"1.2s"`` or ``"24"`` frames.

        Raises:
            BadInput: the run is not finished or damaged, its models are of another run, the backbone's weights are
                not those of the run, or a length makes no sense.
        """
        lengths = Duration.parse(window, "--window"), Duration.parse(hop, "--hop")
        try:
            summary = Run(run).summary
        except BadInput as error:
            raise BadInput(f"{run}: not a finished run ({error}); `face-strnn cv --out {run}` makes or ends one") from (
                error
            )
        recipe, crop = summary.features, summary.features["crop"]
        given = crop["detector"] == "given"
        if given:
            raise BadInput(
                f"{run}: its features are of images that were given as crops; how to cut such faces out of a "
                "recording is not known. Make the features with `face-strnn prepare --faces mtcnn` to predict"
            )
        models = _models(run, recipe["fingerprint"], summary.classes)
        backbones = [recorded_backbone(recipe, run, weights, device)]
        if summary.is_finetuned:
            split = split_for_finetuning(backbones[0], summary.finetune)
            backbones = [load_thawed(backbone_file(file), split) for file in checkpoint_files(run)]
        classes = tuple(summary.classes)
        models = [model.to(device) for model in models]
        method = Method("strnn", summary.data, len(models))
        return cls(models, backbones, _KINDS[crop["per"]], float(crop["margin"]), classes, method, *lengths)

    @property
    def device(self) -> torch.device:
        """Where its networks run."""
        return self.backbones[0].device

    def maps(self, images: Sequence[np.ndarray], crops: Sequence[SquareCrop]) -> Tensor:
        """Return the pooling maps of faces, by each of the backbones as the run's networks know them.

        Args:
            images: the frames, uint8 (height, width, 3), RGB.
            crops: the square of each.

        Returns:
            float16 (frames, backbones, h, w, channels) on the CPU.
        """
        pixels = self.backbones[0].crop_pixels
        # Cut with room for a rotation, and the room cut off again: so are the crops of an unrotated training sequence.
        wide = np.stack(
            [extract_crop(image, crop, pixels, ROTATION_BORDER) for image, crop in zip(images, crops, strict=True)]
        )
        crops = torch.from_numpy(cut_variant(wide, ORIGINAL, pixels))
        return torch.stack([backbone(crops) for backbone in self.backbones], 1)

    @torch.inference_mode()
    def probabilities(self, maps: Tensor) -> np.ndarray:
        """Return the mean over the models of each emotion's probability for one sequence.

        Args:
            maps: (frames, backbones, h, w, channels), as of :meth:`maps`.

        Returns:
            float64 (classes,), 0 to 1.
        """
        first = self.models[0]
        how: Interpolation = first.facts["interpolation"]
        groups = [self._parameters]
        if len(self.backbones) > 1:
            names, n = list(self._parameters), range(len(self.models))
            groups = [{name: self._parameters[name][i : i + 1] for name in names} for i in n]
        outputs = []
        for parameters, of_backbone in zip(groups, maps.unbind(1), strict=True):
            batch = MapBatch.of([of_backbone.to(self.device)], first.config.length, how)
            outputs.append(logits(parameters, batch, first.scan, first.config.activation)[:, 0])
        return torch.cat(outputs).double().softmax(1).mean(0).cpu().numpy()

    @cached_property
    def _parameters(self) -> Parameters:
        """All models' parameters, stacked."""
        names = self.models[0].config.shapes()
        return {name: torch.stack([model.get_parameter(name).detach() for model in self.models]) for name in names}


def _models(run: Path, fingerprint: str, classes: list[str]) -> list[STRNN]:
    checkpoints = checkpoint_files(run)
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
        if (model.facts["classes"], model.config.n_classes) != (json.dumps(classes), len(classes)):
            raise BadInput(
                f"{checkpoint}: has other classes than {run / 'summary.json'} lists; "
                "delete it and run `face-strnn cv` again"
            )
        if model.config != models[0].config:
            raise BadInput(
                f"{checkpoint}: has other sizes than {checkpoints[0].name}; delete it and run `face-strnn cv` again"
            )
    return models
