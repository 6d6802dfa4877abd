"""An STRNN and the thawed part of its backbone, fine-tuned together."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from data_prep.backbones.split import SplitBackbone
from face_strnn.config import Config, FinetuningConfig
from face_strnn.models.strnn import STRNN, MapBatch, logits
from face_strnn.training.from_crops.averaging import WeightAverage
from face_strnn.training.from_crops.mixup import Mixture
from face_strnn.training.from_crops.thawed import maps_with_gradient
from face_strnn.training.loss import mean_cross_entropy, sparsity_penalty
from face_strnn.training.standardisation import Standardisation


class JointNetwork:
    """STRNN and backbone of one fold, their initial weights and their optimiser.

    The STRNN is trained on standardised maps, as before; otherwise U would have entries of very different sizes.

    Args:
        start: the STRNN that was trained on frozen maps, for maps as stored.
        standardisation: of the fold's training on frozen maps.
        split: the backbone; a copy of its thawed part is trained.
        config: the settings of the STRNN and of its training.
        settings: those of fine-tuning.

    Attributes:
        parameters: of the STRNN, for standardised maps, each with a leading dimension 1.
        backbone: with the thawed part that is trained.
        optimiser: a group of the parameters, and one of each block of the backbone, the uppermost first.
        average: of the trained weights over the steps; None where the settings ask for none.
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
        self._initial = {name: tensor.detach().clone() for name, tensor in self.named()}
        self.average = WeightAverage(settings.ema, self.named()) if settings.ema else None
        blocks = self.backbone.blocks()[::-1]
        groups = [list(self.parameters.values()), *(list(block.parameters()) for block in blocks)]
        self._rates = [settings.network_rate]
        self._rates += [settings.backbone_rate * settings.falloff**depth for depth in range(len(blocks))]
        self.optimiser = torch.optim.Adam([{"params": group, "lr": 0.0} for group in groups])

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every trained tensor with a unique name."""
        yield from ((f"strnn/{name}", tensor) for name, tensor in self.parameters.items())
        yield from ((f"backbone/{name}", tensor) for name, tensor in self.backbone.trained.named_parameters())

    def step(
        self,
        inputs: Sequence[Tensor],
        labels: Tensor,
        factor: float,
        dropout: Tensor | None = None,
        mixture: Mixture | None = None,
    ) -> Tensor:
        """Take one step.

        Args:
            inputs: for each of B sequences the input of the thawed part, (frames, channels, height, width).
            labels: int64 (B,).
            factor: of all learning rates.
            dropout: see :func:`face_strnn.models.strnn.logits`.
            mixture: how the sequences are mixed; None for not at all.

        Returns:
            float64 (3,): loss without the pull, cross entropy, and accuracy, before the step; on the labels' device. A
            mixed sequence has both labels by their weights.
        """
        training = self.config.training
        outputs = self._logits(inputs, dropout, mixture)
        entropy, correct = self._scores(outputs, labels)
        if mixture:
            of_partners = self._scores(outputs, labels[mixture.partners])
            entropy, correct = map(mixture.of_scores, (entropy, correct), of_partners)
        loss = entropy + sparsity_penalty(self.parameters, training.lambda1, training.lambda2)
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        for learning in (self.parameters.values(), self.backbone.trained.parameters()):
            # Clipped separately: the norm of the STRNN's gradient is much larger.
            torch.nn.utils.clip_grad_norm_(learning, training.gradient_clip)
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate
        with torch.no_grad():
            for name, tensor in self.named():
                tensor.grad.add_(tensor - self._initial[name], alpha=self.settings.pull)
        self.optimiser.step()
        if self.average:
            self.average.update(self.named())
        return torch.cat((loss, entropy, correct)).detach().double()

    @torch.no_grad()
    def set_kept_weights(self) -> None:
        """Set the weights to those that are kept: their average over the steps, and that, by ``share``, with the first.

        To be called once, after the last step.
        """
        trained = self.average.tensors if self.average else dict(self.named())
        for name, tensor in self.named():
            tensor.copy_(torch.lerp(self._initial[name], trained[name], self.settings.share))

    def model(self) -> STRNN:
        """Return the STRNN for the maps of the fine-tuned backbone, on the CPU."""
        folded = self._standardisation.fold_in({name: tensor.detach() for name, tensor in self.parameters.items()})
        model = deepcopy(self._start)
        model.set_parameters({name: tensor[0].clone().cpu() for name, tensor in folded.items()})
        return model

    def _scores(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy and accuracy, (1,) each."""
        train_mask = torch.ones(1, len(labels), dtype=torch.bool, device=labels.device)
        entropy = mean_cross_entropy(outputs, labels, train_mask, self.config.training.label_smoothing)
        return entropy, (outputs.argmax(2) == labels).double().mean(1)

    def _logits(self, inputs: Sequence[Tensor], dropout: Tensor | None, mixture: Mixture | None) -> Tensor:
        network, training = self.config.network, self.config.training
        maps = maps_with_gradient(self.backbone, torch.cat(list(inputs)))
        sequences = maps.split([len(one) for one in inputs])
        batch = MapBatch.of(sequences, network.length, training.interpolation)
        batch = mixture.of_maps(batch) if mixture else batch
        folded = self._standardisation.fold_in(self.parameters)
        return logits(folded, batch, self._start.scan, network.activation, training.precision, dropout)
