"""Priors of images, whatever the network: smooth, and of moderate contrast.

Total variation as in Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting
Them", arXiv:1412.0035. Both are means over pixels, so that neither grows with the size or the
number of the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def variation(images: Tensor) -> Tensor:
    """Mean difference between neighbours, along rows and along columns.

    Args:
        images: Images, (N, C, H, W), at least two pixels in all.

    Returns:
        Total variation a pixel, (), in the images' unit.
    """
    steps = [images.diff(dim=axis).abs() for axis in (2, 3) if images.shape[axis] > 1]
    return sum((each.mean() for each in steps), images.new_zeros(()))


def energy(images: Tensor) -> Tensor:
    """Mean square of the pixels.

    Args:
        images: Images, (N, C, H, W), 0 where they are of medium brightness.

    Returns:
        Mean square, (), in the square of the images' unit.
    """
    return images.square().mean()
