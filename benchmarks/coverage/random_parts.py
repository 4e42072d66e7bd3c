"""What random networks are made of: choices, maps, norms, activations, convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from blocks import LayerNorm2d, ResponseNorm, Standardised
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Map:
    """Channels, and pixels of a side."""

    channels: int
    side: int


class Choices:
    """Numbers that decide what a network is made of, one after the other.

    Args:
        numbers: Any integers from 0; where they end, the first option is taken.
    """

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = iter(numbers)

    def of(self, *options: object) -> object:
        """One of several options."""
        return options[next(self._numbers, 0) % len(options)]


Made: TypeAlias = "tuple[nn.Module, Map]"
Maker: TypeAlias = "Callable[[Map, Choices], Made]"


class ChannelsLastNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map, which it turns round for it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Rms(nn.Module):
    """RMSNorm by hand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, channels, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6) * self.scale


class Affine(nn.Module):
    """Stored numbers for each channel, as frozen BatchNorms and layer scales have them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(channels) + 0.5)
        self.shift = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale[None, :, None, None] + self.shift.view(1, -1, 1, 1)


NORMS: tuple[Callable[[int], nn.Module], ...] = (
    nn.BatchNorm2d,
    lambda c: nn.GroupNorm(math.gcd(4, c), c),
    lambda c: nn.GroupNorm(1, c),
    lambda c: nn.GroupNorm(c, c),
    lambda c: nn.InstanceNorm2d(c, affine=True),
    nn.InstanceNorm2d,
    LayerNorm2d,
    ChannelsLastNorm,
    Rms,
    ResponseNorm,
    Affine,
    lambda c: nn.Identity(),
)
ACTIVATIONS: tuple[Callable[[int], nn.Module], ...] = (
    lambda c: nn.ReLU(),
    lambda c: nn.SiLU(inplace=True),
    nn.PReLU,
    lambda c: nn.Hardswish(),
    lambda c: nn.GELU(),
    lambda c: nn.LeakyReLU(0.1),
)
WIDTHS = (16, 8, 24, 32)


def conv(into: int, out: int, pick: Choices, kernel: int = 3, **options: object) -> nn.Sequential:
    """Convolution, some norm, some activation."""
    kind = Standardised if pick.of(0, 0, 0, 1) else nn.Conv2d
    bias = bool(pick.of(False, True))
    padding = kernel // 2 * int(options.get("dilation", 1))
    layer = kind(into, out, kernel, padding=padding, bias=bias, **options)
    return nn.Sequential(layer, pick.of(*NORMS)(out), pick.of(*ACTIVATIONS)(out))
