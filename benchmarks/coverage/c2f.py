"""The rewrite of YOLO's C2f blocks that Torch-Pruning's users apply: two layers instead of a split.

Torch-Pruning follows no ``chunk`` of a convolution's output by halves of different fate; with a
convolution for each half there is none. What the network computes stays the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SplitApart(nn.Module):
    """A C2f block with a layer for each half of what its first layer made.

    Args:
        block: The block; its other layers are shared.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.first, self.second = (_half(block.cv1, half) for half in (0, 1))
        self.last, self.inner = block.cv2, block.m
        for known in ("i", "f", "type"):  # where it stands in the library's list of layers
            if hasattr(block, known):
                setattr(self, known, getattr(block, known))

    def forward(self, x: Tensor) -> Tensor:
        found = [self.first(x), self.second(x)]
        for layer in self.inner:
            found.append(layer(found[-1]))
        return self.last(torch.cat(found, 1))


def split_apart(network: nn.Module) -> None:
    """Rewrite every C2f block of a network, and its relatives, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if any(base.__name__ == "C2f" for base in type(child).__mro__):
                setattr(parent, name, SplitApart(child))


def _half(conv: nn.Module, half: int) -> nn.Sequential:
    """One half of a convolution with BatchNorm and an activation."""
    whole, norm = conv.conv, getattr(conv, "bn", None)
    width = whole.out_channels // 2
    made = slice(half * width, (half + 1) * width)
    part = nn.Conv2d(
        whole.in_channels, width, whole.kernel_size, whole.stride, whole.padding,
        bias=whole.bias is not None,
    )  # fmt: skip
    part.weight = nn.Parameter(whole.weight.detach()[made].clone())
    if whole.bias is not None:
        part.bias = nn.Parameter(whole.bias.detach()[made].clone())
    layers: list[nn.Module] = [part]
    if norm is not None:
        own = nn.BatchNorm2d(width, norm.eps)
        own.load_state_dict(
            {key: value[made] if value.dim() else value for key, value in norm.state_dict().items()}
        )
        layers.append(own)
    return nn.Sequential(*layers, conv.act).eval()
