"""Statistics of photographs: mean and deviation of pixels, correlation of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from edgeprune.artifacts import InputSpec

MEAN, STD = 0.45, 0.25  # pixels in [0, 1]
RGB_CORRELATION = ((1.0, 0.93, 0.85), (0.93, 1.0, 0.93), (0.85, 0.93, 1.0))
CORRELATION = 0.9  # between channels that are not red, green and blue


def colour_correlation(channels: int) -> Tensor:
    """Correlation of a pixel's channels, (C, C), float64.

    Three channels are red, green and blue; otherwise all pairs correlate alike.
    """
    if channels == len(RGB_CORRELATION):
        return torch.tensor(RGB_CORRELATION, dtype=torch.float64)
    alike = torch.full((channels, channels), CORRELATION, dtype=torch.float64)
    return alike.fill_diagonal_(1.0)


def normalisation(spec: InputSpec, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation that images are normalised with, (C,) each, float64.

    Where ``spec`` does not have one of each for every channel, the averages serve all channels.
    """
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (spec.mean, spec.std))
    if len(mean) != channels or len(std) != channels:
        mean, std = mean.mean().expand(channels), std.mean().expand(channels)
    return mean, std


def pixels_of(images: Tensor, spec: InputSpec) -> Tensor:
    """Undo the normalisation of images, (N, C, H, W): black is 0, white is 1."""
    mean, std = _planes(images, spec)
    return images * std + mean


def normalised(pixels: Tensor, spec: InputSpec) -> Tensor:
    """Pixels (N, C, H, W), black 0 and white 1, in the units that the network takes."""
    mean, std = _planes(pixels, spec)
    return (pixels - mean) / std


def _planes(images: Tensor, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Mean and std as (C, 1, 1) on the images' device."""
    mean, std = (each.to(images)[:, None, None] for each in normalisation(spec, images.shape[1]))
    return mean, std
