"""The training of images: its task and its schedule, for pixels and generators alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.artifacts import FLOAT
from edgeprune.errors import UsageError
from edgeprune.training import Schedule, generator

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from edgeprune.artifacts import InputSpec, SourceModel
    from edgeprune.images.synthesis.objective import SynthesisLoss

BETAS = (0.5, 0.9)
"""Adam's decay rates: statistics change quickly under images that change quickly."""

EPSILON = 1e-12
"""Adam's ε: the gradient of a pixel among a million is far below the usual 1e-8, and images would
depend on how many are made at a time."""

SHORTEST = 0.1
"""Seconds that a batch is given if no time is left for it."""


@dataclass(slots=True)
class ImageTask:
    """The training of one batch of images; each process has its own.

    Attributes:
        module: Called with the generator of a step, gives the inputs that the network sees.
        synthesis_loss: Loss to minimise.
        places: Indices of the images in the whole set, (N,).
        seed: Random seed of the augmentation.
        steps_before: Number of steps of the whole set before the first of these.
        shared: Whether the processes train the same module; they do not.
    """

    module: nn.Module
    synthesis_loss: SynthesisLoss
    places: Tensor
    seed: int
    steps_before: int
    shared: bool = False

    def loss(self, module: nn.Module, step: int) -> Tensor:
        """The loss at a step, (); dimensionless."""
        draw = generator(self.seed, self.steps_before + step)
        return self.synthesis_loss(module(draw), self.places, draw)

    def error(self) -> None:
        """There are no validation images: the images of the last step are the result."""


def schedule(steps: int, learning_rate: float, seconds: float = math.inf) -> Schedule:
    """Adam, slowing down to the end: that of the steps, or of the time if that comes first."""
    return Schedule(steps, learning_rate, optimiser=adam, seconds=max(seconds, SHORTEST))


def adam(parameters: list[nn.Parameter], rate: float) -> Optimizer:
    """Adam with the settings for images; ``rate`` is its step size."""
    return torch.optim.Adam(parameters, lr=rate, betas=BETAS, eps=EPSILON)


def require_images(original: SourceModel) -> None:
    """Refuse networks that take no images.

    Raises:
        UsageError: Says what the network takes.
    """
    if not image_shapes(original.input):
        taken = ", ".join(original.input.texts)
        raise UsageError(f"'{original.name}' takes {taken}: there are no images to synthesize")


def image_shapes(spec: InputSpec) -> dict[int, tuple[int, ...]]:
    """Shapes (1, C, H, W) of the inputs that are images, 4-D and float32, by the input's place."""
    return {
        place: shape
        for place, (shape, dtype) in enumerate(spec.typed_shapes)
        if len(shape) == 4 and dtype == FLOAT
    }
