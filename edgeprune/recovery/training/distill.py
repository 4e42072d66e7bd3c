"""Distill: the pruned network learns the original's outputs, and its features with them.

The last step of DeepInversion (Yin et al., arXiv:1912.08795) with knowledge distillation (Hinton et
al., arXiv:1503.02531), as in arXiv:2511.20702: images synthesized from the original, its outputs on
them as targets (``output_losses.py``), its features at block ends as in ``supervise.py``,

    L = features · L_features + outputs · L_outputs

Synthesized images carry what the original knows about its classes. Procedural images do not, and
outputs on them teach the wrong thing: features alone are then the better target.
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
        source: Source of the images to train on.
        temperature: T of the softened outputs. Larger: unlikely classes count more.
        features: Weight of the features; 0: outputs alone.
        outputs: Weight of the outputs.
    """

    source: ImageSource = Inversion()  # noqa: RUF009 - frozen
    temperature: float = 4.0
    features: float = 1.0
    outputs: float = 0.01

    name = "distill"

    def loss(self, wanted: NetworkOutputs, given: NetworkOutputs) -> Tensor:
        """The weighted sum of both losses."""
        of_features = feature_loss(wanted.features, given.features)
        of_outputs = output_loss(wanted.outputs, given.outputs, self.temperature)
        return self.features * of_features + self.outputs * of_outputs
