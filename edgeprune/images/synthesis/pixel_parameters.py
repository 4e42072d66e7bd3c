"""Inputs of a network whose pixels are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.images.synthesis import augmentation
from edgeprune.images.synthesis.objective import is_image
from edgeprune.natural_images import normalised, pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import InputSpec

MARGIN = 1 / 7
"""What trained images are larger by than the crop that the network sees, as a share of each side.
"""


class PixelParameters(nn.Module):
    """Inputs of a network, of which the images are trained, in pixels from black 0 to white 1.

    Not normalised: one learning rate then serves networks that take [0, 1], [0, 255] or ±2.

    Args:
        inputs: Inputs to start from, (N, …) each, normalised; images are resized.
        spec: Input shapes and normalisation of the network.
        scale: Sides of the images that the network sees, as a share of those in ``spec``.
        smooth: Whether the network sees a blurred crop of larger images.
        clamp: Whether pixels stay between black and white.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        spec: InputSpec,
        *,
        scale: float = 1.0,
        smooth: bool = False,
        clamp: bool = True,
    ) -> None:
        super().__init__()
        self._spec, self._smooth, self._clamp = spec, smooth, clamp
        enlarged = 1 + MARGIN if smooth else 1.0
        self._sizes = [scaled(shape, scale) for shape in spec.shapes]
        self.inputs = nn.ParameterList(
            nn.Parameter(_pixels(each, spec, scaled(shape, scale * enlarged)), is_image(each))
            for each, shape in zip(inputs, spec.shapes, strict=True)
        )

    def forward(self, generator: torch.Generator | None) -> list[Tensor]:
        """What the network sees at a step, by its generator; the finished inputs for None."""
        if not self._smooth:
            return self.uncropped()
        return [
            augmentation.cropped(augmentation.blurred(each), size, generator)
            if is_image(each)
            else each
            for each, size in zip(self.uncropped(), self._sizes, strict=True)
        ]

    def uncropped(self) -> list[Tensor]:
        """The inputs at the size that is trained, normalised, their pixels brought into range."""
        for each in self.inputs if self._clamp else ():
            if is_image(each):
                each.data.clamp_(0, 1)
        return [normalised(each, self._spec) if is_image(each) else each for each in self.inputs]


def scaled(shape: Sequence[int], scale: float) -> list[int]:
    """Height and width of images of ``shape``, (N, C, H, W), at another scale."""
    return [max(1, round(scale * side)) for side in shape[2:]]


def resized(given: Tensor, size: Sequence[int]) -> Tensor:
    """Copy images (N, C, H, W) to another size (H, W); copy other inputs as they are."""
    if not is_image(given) or list(given.shape[2:]) == list(size):
        return given.clone()
    images: Tensor = F.interpolate(given, tuple(size), mode="bilinear", antialias=True)
    return images


def _pixels(given: Tensor, spec: InputSpec, size: Sequence[int]) -> Tensor:
    return resized(pixels_of(given, spec), size) if is_image(given) else given.clone()
