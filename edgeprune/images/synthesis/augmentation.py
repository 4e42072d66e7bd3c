"""Random shifts, flips and crops of images at each step, so that no loss hangs on single pixels.

Blur and crop as in the data generation of Sony's Model Compression Toolkit: larger images are
optimised, of which the network sees a smoothed crop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

BLUR = 1.25
"""Standard deviation of the Gaussian, in pixels; its kernel has 3×3 pixels."""


def jittered(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Roll all images by the same random number of rows and columns.

    Args:
        images: Images, (N, C, H, W).
        reach: Largest shift, as a share of each side.
        generator: Random generator on the CPU.
    """
    sides = images.shape[2:]
    shifts = [_between(-int(reach * side), int(reach * side), generator) for side in sides]
    return images.roll(shifts, (2, 3)) if any(shifts) else images


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror all images, (N, C, H, W), from left to right with a probability of one half."""
    return images.flip(3) if _between(0, 1, generator) else images


def blurred(images: Tensor) -> Tensor:
    """Smooth images, (N, C, H, W), with a Gaussian of ``BLUR`` pixels."""
    row = torch.tensor([-1.0, 0.0, 1.0]).square().div(-2 * BLUR**2).exp()
    row = (row / row.sum()).to(images)
    channels = images.shape[1]
    for shape, padding in (((1, 1, 3, 1), (0, 0, 1, 1)), ((1, 1, 1, 3), (1, 1, 0, 0))):
        kernel = row.view(shape).expand(channels, -1, -1, -1)
        images = F.conv2d(F.pad(images, padding, mode="replicate"), kernel, groups=channels)
    return images


def cropped(images: Tensor, size: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Cut the same part out of all images.

    Args:
        images: Images, (N, C, H, W).
        size: Height and width of the part, in pixels, no larger than the images.
        generator: Random generator that chooses the part; None: the centre.

    Returns:
        Cropped images, (N, C, *size).
    """
    spare = [whole - part for whole, part in zip(images.shape[2:], size, strict=True)]
    y, x = (_between(0, s, generator) if generator else s // 2 for s in spare)
    return images[:, :, y : y + size[0], x : x + size[1]]


def _between(least: int, most: int, generator: torch.Generator) -> int:
    """A random integer, both ends included."""
    return int(torch.randint(least, most + 1, (), generator=generator))
