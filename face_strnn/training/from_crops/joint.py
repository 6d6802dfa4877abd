"""An STRNN and the thawed part of its backbone, trained on together."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from data_prep.backbones.split import SplitBackbone
from face_strnn.config import Config, FinetuningConfig
from face_strnn.models.strnn import STRNN, MapBatch, logits
from face_strnn.training.from_crops.thawed import maps_with_gradient
from face_strnn.training.loss import mean_cross_entropy, sparsity_penalty
from face_strnn.training.standardisation import Standardisation


class JointNetwork:
    """Both networks of one fold, their weights before and their optimiser.

    The STRNN is trained for standardised maps, as before: its U would else have entries of very different sizes.

    Args:
        start: the STRNN that was trained on frozen maps, for maps as stored.
        standardisation: of the fold, that of its training.
        split: the backbone; a copy of its thawed part, as it was loaded, is trained.
        config: the settings of the STRNN and of its training.
        settings: of fine-tuning.

    Attributes:
        parameters: of the STRNN, for standardised maps, each with a leading dimension 1.
        backbone: with the thawed part that is trained.
        optimiser: of both.
        config, settings: as given.
    """

    def __init__(
        self,
        start: STRNN,
        standardisation: Standardisation,
        split: SplitBackbone,
        config: Config,
        settings: FinetuningConfig,
    ) -> None:
        device = split.whole.device
        self._start, self.config, self.settings = start, config, settings
        self._standardisation = standardisation.to(device)
        stored = {name: parameter.detach().to(device).unsqueeze(0) for name, parameter in start.named_parameters()}
        self.parameters = {
            name: tensor.clone().requires_grad_() for name, tensor in self._standardisation.take_out(stored).items()
        }
        self.backbone = split.anew()
        self._before = {name: tensor.detach().clone() for name, tensor in self.named()}
        groups = [list(self.parameters.values()), list(self.backbone.trained.parameters())]
        self.optimiser = torch.optim.Adam([{"params": group, "lr": 0.0} for group in groups])

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Give every trained tensor with a name of its own."""
        yield from ((f"strnn/{name}", tensor) for name, tensor in self.parameters.items())
        yield from ((f"backbone/{name}", tensor) for name, tensor in self.backbone.trained.named_parameters())

    def step(
        self, inputs: Sequence[Tensor], labels: Tensor, factor: float, dropout: Tensor | None
    ) -> tuple[float, ...]:
        """Take one step.

        Args:
            inputs: for each of B sequences what the thawed part takes, (frames, channels, height, width).
            labels: int64 (B,).
            factor: on both learning rates.
            dropout: see :func:`face_strnn.models.strnn.logits`.

        Returns:
            Loss without the pull, cross entropy, and share of right answers, before the step.
        """
        training = self.config.training
        outputs = self._logits(inputs, dropout)
        everyone = torch.ones(1, len(labels), dtype=torch.bool, device=labels.device)
        entropy = mean_cross_entropy(outputs, labels, everyone, training.label_smoothing)
        loss = entropy + sparsity_penalty(self.parameters, training.lambda1, training.lambda2)
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        rates = (self.settings.network_rate, self.settings.backbone_rate)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            # Each on its own: the STRNN's gradient is the longer one by far.
            torch.nn.utils.clip_grad_norm_(group["params"], training.gradient_clip)
            group["lr"] = factor * rate
        with torch.no_grad():
            for name, tensor in self.named():
                tensor.grad.add_(tensor - self._before[name], alpha=self.settings.pull)
        self.optimiser.step()
        correct = (outputs[0].argmax(1) == labels).double().mean()
        return loss.item(), entropy.item(), correct.item()

    @torch.no_grad()
    def move_to_share(self) -> None:
        """Let what was trained count by its share, and the weights before by the rest."""
        for name, tensor in self.named():
            tensor.copy_(torch.lerp(self._before[name], tensor, self.settings.share))

    def model(self) -> STRNN:
        """Return the STRNN for maps as the thawed backbone gives them, on the CPU."""
        folded = self._standardisation.fold_in({name: tensor.detach() for name, tensor in self.parameters.items()})
        model = deepcopy(self._start)
        model.set_parameters({name: tensor[0].clone().cpu() for name, tensor in folded.items()})
        return model

    def _logits(self, inputs: Sequence[Tensor], dropout: Tensor | None) -> Tensor:
        network, training = self.config.network, self.config.training
        maps = maps_with_gradient(self.backbone, torch.cat(list(inputs)))
        of_sequences = maps.split([len(one) for one in inputs])
        batch = MapBatch.of(of_sequences, network.length, training.interpolation)
        folded = self._standardisation.fold_in(self.parameters)
        return logits(folded, batch, self._start.scan, network.activation, training.precision, dropout)
