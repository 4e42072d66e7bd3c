"""Swing convolutions: strided convolutions at another random offset of their input at each step.

A convolution with stride 2 and a 1×1 kernel reads a quarter of the pixels, always the same; the
others never get a gradient, and with larger kernels some get more than others, which shows as a
checkerboard. With the input mirrored at its border and cut at a random offset all pixels are read
alike ("swing convolution": Jeon et al., GENIE, arXiv:2212.04780).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.images.synthesis.augmentation import cropped

if TYPE_CHECKING:
    from collections.abc import Iterable


class SwingConvolution:
    """Shifts the input of strided convolutions by less than their stride.

    Args:
        network: Copy of a network; its strided convolutions are hooked for good.

    Attributes:
        generator: Random generator of the offsets; None: nothing is shifted.
    """

    def __init__(self, network: nn.Module) -> None:
        self.generator: torch.Generator | None = None
        for layer in _strided(network):
            layer.register_forward_pre_hook(self._shift)

    def _shift(self, layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self.generator is None or not isinstance(layer, nn.Conv2d):
            return None
        features, size = given[0], given[0].shape[2:]
        # no more than a map can mirror of itself
        y, x = (min(step - 1, side - 1) for step, side in zip(layer.stride, size, strict=True))
        mirrored = F.pad(features, (x, x, y, y), mode="reflect")
        return cropped(mirrored, size, self.generator), *given[1:]


def _strided(network: nn.Module) -> Iterable[nn.Module]:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and max(layer.stride) > 1:
            yield layer
