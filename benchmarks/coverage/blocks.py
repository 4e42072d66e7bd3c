"""Small networks around one block each, as people write them: what couples channels, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 32


class Block(nn.Module):
    """A function of a map, with the layers that it calls."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of a map, by hand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.ones(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        x = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class ResponseNorm(nn.Module):
    """Each channel's norm over the map against the mean of them all (ConvNeXt V2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        norms = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + self.gamma * x * norms / (norms.mean(1, keepdim=True) + 1e-6)


class Standardised(nn.Conv2d):
    """A convolution with standardised weights."""

    def forward(self, x: Tensor) -> Tensor:
        std, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / (std + 1e-5), self.bias)


def conv(into: int, out: int, kernel: int = 3, **options: int) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    layer = nn.Conv2d(into, out, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU())


def network(block: nn.Module, made: int = WIDTH) -> nn.Module:
    """The block between a stem and a head."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10))
    return nn.Sequential(conv(3, WIDTH), block, conv(made, WIDTH), pooled)


def _spatial(net: Block, x: Tensor) -> Tensor:
    seen = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
    return x * net.gate(seen).sigmoid()


def _along(net: Block, x: Tensor) -> Tensor:
    means = x.mean((2, 3)).unsqueeze(1)
    return x * net.gate(means).sigmoid().squeeze(1)[..., None, None]


def _selective(net: Block, x: Tensor) -> Tensor:
    maps = torch.stack([net.small(x), net.large(x)], 1)
    gates = net.gate(net.squeeze(maps.sum(1).mean((2, 3), keepdim=True)))
    return (maps * gates.unflatten(1, (2, -1)).softmax(1)).sum(1)


def _shuffled(net: Block, x: Tensor) -> Tensor:
    left, right = x.chunk(2, 1)
    return F.channel_shuffle(torch.cat([left, net.branch(right)], 1), 2)


def _padded(net: Block, x: Tensor) -> Tensor:
    return net.wide(x) + torch.cat([x, torch.zeros_like(x)], 1)


def _ghost(net: Block, x: Tensor) -> Tensor:
    x = net.primary(x)
    return torch.cat([x, net.cheap(x)], 1)


def _attention(net: Block, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    q, k, v = net.qkv(x).flatten(2).chunk(3, 1)
    weights = (q.transpose(1, 2) @ k / c**0.5).softmax(-1)
    return x + net.out((v @ weights.transpose(1, 2)).reshape(n, c, h, w))


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "residual": lambda: network(
        Block(lambda net, x: F.relu(x + net.branch(x)), branch=conv(WIDTH, WIDTH))
    ),
    "inverted-residual": lambda: network(Block(
        lambda net, x: x + net.out(net.depthwise(net.wide(x))),
        wide=conv(WIDTH, 64, 1), depthwise=conv(64, 64, groups=64), out=nn.Conv2d(64, WIDTH, 1),
    )),
    "squeeze-excite": lambda: network(Block(
        lambda net, x: x * net.up(net.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid(),
        down=nn.Conv2d(WIDTH, 8, 1), up=nn.Conv2d(8, WIDTH, 1),
    )),
    "spatial-gate": lambda: network(Block(_spatial, gate=nn.Conv2d(2, 1, 7, padding=3))),
    "gate-along-channels": lambda: network(Block(_along, gate=nn.Conv1d(1, 1, 3, padding=1))),
    "selective-kernel": lambda: network(Block(
        _selective, small=conv(WIDTH, WIDTH), large=conv(WIDTH, WIDTH, 5),
        squeeze=conv(WIDTH, 8, 1), gate=nn.Conv2d(8, 2 * WIDTH, 1),
    )),
    "channel-shuffle": lambda: network(Block(_shuffled, branch=conv(WIDTH // 2, WIDTH // 2))),
    "zero-padded": lambda: network(Block(_padded, wide=conv(WIDTH, 2 * WIDTH)), 2 * WIDTH),
    "ghost": lambda: network(
        Block(_ghost, primary=conv(WIDTH, 16, 1), cheap=conv(16, 16, groups=16))
    ),
    "grouped": lambda: network(conv(WIDTH, WIDTH, groups=4)),
    "grouped-transposed": lambda: network(nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2, groups=4)),
    "pixel-shuffle": lambda: network(nn.PixelShuffle(2), WIDTH // 4),
    "layer-norm-by-hand": lambda: network(LayerNorm2d(WIDTH)),
    "response-norm": lambda: network(ResponseNorm(WIDTH)),
    "group-norm": lambda: network(nn.GroupNorm(4, WIDTH)),
    "standardised": lambda: network(Standardised(WIDTH, WIDTH, 3, padding=1)),
    "attention": lambda: network(Block(
        _attention, qkv=nn.Conv2d(WIDTH, 3 * WIDTH, 1), out=nn.Conv2d(WIDTH, WIDTH, 1)
    )),
    "softmax-over-channels": lambda: network(Block(lambda _, x: x.softmax(1))),
}  # fmt: skip
"""Networks by the name of their block."""
