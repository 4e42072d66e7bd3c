"""Networks that have stored the statistics of known images, for tests of image synthesis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import zoo
from torch import Tensor, nn
from traced_zoo import source_of

from edgeprune.images.procedural import PinkNoise

if TYPE_CHECKING:
    from edgeprune.artifacts import SourceModel


def seen_by(module: nn.Module, *shape: int, count: int = 64) -> tuple[SourceModel, Tensor]:
    """A network whose BatchNorms have stored the statistics of pink noise, and that noise."""
    shape = shape or zoo.INPUT_SHAPE[1:]
    (images,) = PinkNoise(0.5)(source_of(module, (1, *shape)), count, 5)
    return source_of(zoo.calibrated(module, images), (1, *shape)), images


def original(name: str) -> tuple[SourceModel, Tensor]:
    """A network of the zoo that knows its images."""
    return seen_by(zoo.build(name))


def headless() -> nn.Module:
    """A backbone: features out, no classes."""
    torch.manual_seed(0)
    return nn.Sequential(zoo.conv_bn(3, 12, stride=2), zoo.conv_bn(12, 16))


@torch.no_grad()
def read_by_norms(module: nn.Module, images: Tensor) -> list[tuple[np.ndarray, nn.BatchNorm2d]]:
    """Input of each BatchNorm, (C, values), in running order."""
    found = []

    def record(layer: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        found.append((given[0].double().transpose(0, 1).flatten(1).numpy(), layer))

    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(record) for norm in norms]
    module(images)
    for handle in handles:
        handle.remove()
    return found


def loss_by_hand(module: nn.Module, images: Tensor, first: float = 1.0) -> float:
    """The statistics loss by its formula, in NumPy."""
    layers = []
    for values, norm in read_by_norms(module, images):
        mean, var = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
        stored, found = var + norm.eps, values.var(1) + norm.eps
        offset = (values.mean(1) - mean) ** 2 / stored
        layers.append((offset + (np.sqrt(found) / np.sqrt(stored) - 1) ** 2).mean())
    weights = np.ones(len(layers))
    weights[0] = first
    return float(np.average(layers, weights=weights))
