"""Distill: the pruned network learns the original's outputs, and its features with them.

The last step of DeepInversion (Yin et al., arXiv:1912.08795) with knowledge distillation (Hinton et
al., arXiv:1503.02531), the way of arXiv:2511.20702: images that the original imagined itself, its
outputs on them as targets (``output_losses.py``), its features at block ends as in
``supervise.py``,

    L = features · L_features + outputs · L_outputs

Imagined images carry what the original knows about its classes. Images drawn by rule do not, and
outputs on them teach the wrong thing: features alone are then the better loss_of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.recovery.training.feature_training import DistillationMethod
from edgeprune.recovery.training.output_losses import output_loss
from edgeprune.recovery.training.supervise import feature_loss

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.training.task import NetworkOutputs


@dataclass(frozen=True, slots=True)
class Distill(DistillationMethod):
    """Train on outputs and features; further options are those of ``DistillationMethod``.

    Attributes:
        temperature: T of the softened outputs. Larger: what the original holds for unlikely counts
            more.
        features: Weight of the features; 0: outputs alone.
        outputs: Weight of the outputs.
    """

    source: ImageSource = Inversion()  # noqa: RUF009 - frozen
    temperature: float = 4.0
    features: float = 1.0
    outputs: float = 0.01

    name = "distill"

    def loss(self, wanted: NetworkOutputs, given: NetworkOutputs) -> Tensor:
        """The loss above."""
        of_features = feature_loss(wanted.features, given.features)
        of_outputs = output_loss(wanted.outputs, given.outputs, self.temperature)
        return self.features * of_features + self.outputs * of_outputs
