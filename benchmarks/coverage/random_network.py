"""A random network from a list of numbers: a stem, some blocks one behind the other, a head.

The same numbers give the same network. Its weights are random too, its BatchNorm statistics those
of noise, so that activations live.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import random_blocks
import random_patterns
import torch
from blocks import Block
from random_parts import Choices, Map, conv
from torch import Tensor, nn

if TYPE_CHECKING:
    from random_parts import Maker

SIDE = 16
LARGEST = 96
"""Channels above which a convolution makes the map narrow again."""

BLOCKS: tuple[Maker, ...] = (
    *(random_blocks.plain, random_blocks.strided, random_blocks.dilated, random_blocks.grouped),
    *(random_blocks.separable, random_blocks.residual, random_blocks.projected),
    *(random_blocks.weighted, random_blocks.padded, random_blocks.concatenated),
    *(random_blocks.squeezed, random_blocks.gated_in_space, random_blocks.gated_along),
    *(random_blocks.context, random_blocks.halves, random_blocks.partly, random_blocks.shuffled),
    *(random_blocks.moved, random_blocks.pooled, random_blocks.blurred, random_blocks.bare),
    *(random_blocks.enlarged, random_blocks.attended),
    *(random_patterns.selective, random_patterns.ghost, random_patterns.mixed),
    *(random_patterns.tokens, random_patterns.over_places, random_patterns.written_shapes),
    *(random_patterns.statistics, random_patterns.in_place, random_patterns.twice),
    *(random_patterns.aside, random_patterns.branched, random_patterns.activated),
)


class Returning(nn.Module):
    """A body and two heads, whose outputs are a dictionary."""

    def __init__(self, body: nn.Module, label: nn.Module, mask: nn.Module) -> None:
        super().__init__()
        self.body, self.label, self.mask = body, label, mask

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"label": self.label(x), "mask": self.mask(x)}


def numbers_of(seed: int) -> list[int]:
    """The numbers of a seed, as many as any network may take."""
    draw = random.Random(seed)
    return [draw.randrange(1 << 16) for _ in range(120)]


def build(numbers: list[int], most: int = 5) -> tuple[nn.Module, list[str]]:
    """A network, in eval mode, for images of three channels and ``SIDE`` pixels.

    Args:
        numbers: What decides.
        most: Blocks between stem and head, at most.

    Returns:
        The network, and the names of its blocks.
    """
    pick = Choices(numbers)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        at = Map(pick.of(16, 8, 24, 32), SIDE)
        layers: list[nn.Module] = [conv(3, at.channels, pick)]
        names = []
        for _ in range(pick.of(*range(1, most + 1))):
            maker = pick.of(*BLOCKS)
            if not _fits(maker, at):
                continue
            block, at = maker(at, pick)
            layers.append(block)
            names.append(maker.__name__)
            if at.channels > LARGEST or at.channels % 8:
                layers.append(conv(at.channels, 16, pick, 1))
                at = Map(16, at.side)
        network = _headed(nn.Sequential(*layers), at, pick)
        return _calibrated(network), names


def _fits(maker: Maker, at: Map) -> bool:
    shrinks = maker in (
        random_blocks.strided, random_blocks.projected, random_blocks.padded, random_blocks.pooled,
        random_blocks.blurred, random_patterns.aside,
    )  # fmt: skip
    grows = maker is random_blocks.enlarged
    return not (shrinks and at.side < 4) and not (grows and at.side > SIDE // 2)


def _headed(body: nn.Sequential, at: Map, pick: Choices) -> nn.Module:
    c, side = at.channels, at.side
    kind = pick.of("pooled", "flattened", "written", "map", "two")
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 5))
    if kind == "pooled":
        return nn.Sequential(body, conv(c, c, pick), pooled)
    if kind == "two":
        return Returning(body, pooled, nn.Conv2d(c, 2, 1))
    if kind == "map":
        return nn.Sequential(body, nn.Conv2d(c, 3, 1))
    if kind == "flattened":
        return nn.Sequential(body, nn.Flatten(), nn.Linear(c * side * side, 5))
    flat = Block(
        lambda net, x: net.fc(x.reshape(-1, c * side * side)), fc=nn.Linear(c * side * side, 5)
    )
    return nn.Sequential(body, conv(c, c, pick), flat)


@torch.no_grad()
def _calibrated(network: nn.Module) -> nn.Module:
    """In eval mode, with BatchNorm statistics of noise and weights of all signs and sizes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None
    network.train()
    network(torch.randn(8, 3, SIDE, SIDE))
    return network.eval()
