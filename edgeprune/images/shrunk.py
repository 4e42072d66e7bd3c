"""A network that is shown its images smaller than they are."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Shrunk(nn.Module):
    """Shrinks every image before a network sees it, bilinearly and with antialiasing.

    Args:
        network: Takes images (N, C, H, W) of any size.
        size: Height and width that it is shown, in pixels.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> object:
        """The network's outputs for images (N, C, H, W)."""
        return self.network(
            F.interpolate(
                images, size=self.size, mode="bilinear", align_corners=False, antialias=True
            )
        )
