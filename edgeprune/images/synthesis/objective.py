"""What synthesized images should be like, and the loss of images under the original network.

The statistics that the network has stored (``statistics_loss.py``) come first; the other terms
choose among the many images that have these statistics.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.images.synthesis import augmentation, priors
from edgeprune.images.synthesis.logits import cyclic_labels, disagreement, logits_of
from edgeprune.images.synthesis.statistics_loss import StatisticsLoss, own_norms
from edgeprune.images.synthesis.swing import SwingConvolution
from edgeprune.natural_images import MEAN, STD, pixels_of
from edgeprune.training.layout import inputs_on_device, on_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import SourceModel
    from edgeprune.training import Processes


@dataclass(frozen=True, slots=True)
class Objective:
    """Weights of the terms next to the statistics, whose weight is 1.

    Attributes:
        first: Weight of the first BatchNorm, where that of the others is 1 (more: truer colours).
        memory: Largest weight of earlier batches in the statistics, where that of the present batch
            is 1 (more: the set as a whole comes nearer, single batches drift further).
        labels: Weight of the cross entropy with a label, every class in turn, where the network
            tells classes; 0: images have none (more: surer classes, plainer images).
        variation: Weight of the difference between neighbouring pixels (more: smoother).
        energy: Weight of the mean square of the pixels (more: less contrast).
        competitor: Network that images should be hard for, such as the pruned one; None: none.
        competition: Weight of the agreement with the competitor, where both tell classes (more:
            images at the competitor's weak points, further from real ones).
        jitter: Largest shift of the images at each step, as a share of each side.
        flip: Whether images are mirrored at about every second step.
        swing: Whether strided convolutions are offset at random at each step (slower; fewer
            checkerboards).
    """

    first: float = 1.0
    memory: float = 1.0
    labels: float = 0.02
    variation: float = 1e-3
    energy: float = 1e-4
    competitor: nn.Module | None = None
    competition: float = 1.0
    jitter: float = 1 / 16
    flip: bool = True
    swing: bool = False


class SynthesisLoss:
    """The loss of images under the original network; it remembers the images that are finished.

    Args:
        original: Network whose statistics are wanted; a copy goes to the processes' device.
        objective: Weights of the terms.
        processes: Processes whose images count together.

    Raises:
        ModelUnsupported: If the network has stored no statistics.
    """

    def __init__(self, original: SourceModel, objective: Objective, processes: Processes) -> None:
        names = own_norms(original)
        self._objective, self._spec = objective, original.input
        self._network = _frozen(original.module, processes)
        self._competitor = (
            _frozen(objective.competitor, processes) if objective.competitor else None
        )
        self._swing = SwingConvolution(self._network) if objective.swing else None
        self.statistics = StatisticsLoss(
            self._network, names, processes, first=objective.first, memory=objective.memory
        )

    def __call__(
        self, inputs: Sequence[Tensor], places: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The loss of this process's batch.

        Args:
            inputs: One tensor (N, …) for each input of the network, normalised, on its device.
            places: Indices of the images in the whole set, (N,).
            generator: Random generator of this step, on the CPU, the same in all processes.

        Returns:
            Loss, (); dimensionless.
        """
        objective = self._objective
        augmented = [self._augmented(each, generator) for each in inputs]
        if self._swing is not None:
            self._swing.generator = generator
        output = self._network(*augmented)
        loss = self.statistics()
        for images in filter(is_image, augmented):
            standard = (pixels_of(images, self._spec) - MEAN) / STD
            loss = loss + objective.variation * priors.variation(standard)
            loss = loss + objective.energy * priors.energy(standard)
        logits = logits_of(output)
        return loss if logits is None else loss + self._class_loss(logits, augmented, places)

    @torch.no_grad()
    def remember(self, inputs: Sequence[Tensor]) -> None:
        """Let finished images count in the statistics of the next ones.

        Args:
            inputs: One tensor (N, …) for each input of the network, normalised, on its device.
        """
        if self._swing is not None:
            self._swing.generator = None
        self._network(*inputs)
        self.statistics.remember()

    @torch.no_grad()
    def accepts(self, inputs: Sequence[Tensor]) -> bool:
        """Whether the network runs on inputs of such sizes."""
        try:
            self._network(*inputs)
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return False
        return True

    def _augmented(self, given: Tensor, generator: torch.Generator) -> Tensor:
        if not is_image(given):
            return given
        given = augmentation.jittered(given, self._objective.jitter, generator)
        given = augmentation.flipped(given, generator) if self._objective.flip else given
        return inputs_on_device(given, given.device)

    def _class_loss(self, logits: Tensor, augmented: Sequence[Tensor], places: Tensor) -> Tensor:
        """The terms of labels and competitor, ()."""
        objective, loss = self._objective, logits.new_zeros(())
        if objective.labels:
            labels = cyclic_labels(places, logits.shape[1]).to(logits.device)
            loss = loss + objective.labels * F.cross_entropy(logits, labels)
        others = logits_of(self._competitor(*augmented)) if self._competitor is not None else None
        if others is not None and others.shape == logits.shape:
            loss = loss + objective.competition * (1 - disagreement(logits, others))
        return loss


def is_image(given: Tensor) -> bool:
    """Whether an input is a batch of images, (N, C, H, W): bytes and indices are none."""
    return given.dim() == 4 and given.is_floating_point()


def _frozen(module: nn.Module, processes: Processes) -> nn.Module:
    return on_device(copy.deepcopy(module), processes.device).eval().requires_grad_(False)
