"""More blocks of random networks: tokens, paths, written shapes, and what is done in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from blocks import Block
from random_parts import ACTIVATIONS, NORMS, Map, conv
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from random_parts import Choices, Made


def selective(at: Map, pick: Choices) -> Made:
    """SKNet: paths weighted by a softmax over paths."""
    c = at.channels
    parts = {
        "small": conv(c, c, pick), "large": conv(c, c, pick, 5),
        "squeeze": nn.Conv2d(c, 4, 1), "gate": nn.Conv2d(4, 2 * c, 1),
    }  # fmt: skip
    written = pick.of(True, False)

    def forward(net: Block, x: Tensor) -> Tensor:
        maps = torch.stack([net.small(x), net.large(x)], 1)
        means = maps.sum(1).mean((2, 3), keepdim=True)
        gates = net.gate(F.relu(net.squeeze(means)))
        gates = gates.view(-1, 2, c, 1, 1) if written else gates.unflatten(1, (2, -1))
        return (maps * gates.softmax(1)).sum(1)

    return Block(forward, **parts), at


def ghost(at: Map, pick: Choices) -> Made:
    half = pick.of(8, 16)
    parts = {
        "first": conv(at.channels, half, pick, 1),
        "cheap": conv(half, half, pick, 3, groups=half),
    }
    cut = pick.of(2 * half, 2 * half - 4)  # GhostNet takes as many as it needs

    def forward(net: Block, x: Tensor) -> Tensor:
        x = net.first(x)
        return torch.cat([x, net.cheap(x)], 1)[:, :cut]

    return Block(forward, **parts), Map(cut, at.side)


def mixed(at: Map, pick: Choices) -> Made:
    """MixNet: parts of the channels by kernels of different size."""
    c = at.channels
    some = pick.of(c // 2, c // 4)
    parts = {
        "small": nn.Conv2d(some, some, 3, padding=1, groups=some),
        "large": nn.Conv2d(c - some, c - some, 5, padding=2, groups=c - some),
    }

    def forward(net: Block, x: Tensor) -> Tensor:
        one, other = x.split([some, c - some], 1)
        return torch.cat([net.small(one), net.large(other)], 1)

    return Block(forward, **parts), at


def tokens(at: Map, pick: Choices) -> Made:
    """A ConvNeXt or MLP block on maps with channels last."""
    c = at.channels
    wide = pick.of(2, 4) * c
    parts = {
        "deep": nn.Conv2d(c, c, 3, padding=1, groups=c), "norm": nn.LayerNorm(c),
        "up": nn.Linear(c, wide), "down": nn.Linear(wide, c),
    }  # fmt: skip
    written = pick.of(False, True)

    def forward(net: Block, x: Tensor) -> Tensor:
        y = net.deep(x).permute(0, 2, 3, 1)
        y = y.reshape(-1, c) if written else y
        y = net.down(F.gelu(net.up(net.norm(y))))
        y = y.view(x.shape[0], at.side, at.side, -1)
        return x + y.permute(0, 3, 1, 2)

    return Block(forward, **parts), at


def over_places(at: Map, pick: Choices) -> Made:
    """MLP-Mixer's half that mixes places, for each channel alike."""
    places = at.side * at.side
    block = Block(
        lambda net, x: x + net.fc(x.flatten(2)).reshape(x.shape), fc=nn.Linear(places, places)
    )
    return block, at


def written_shapes(at: Map, pick: Choices) -> Made:
    """Views that say how many channels there are, and change nothing."""
    c, side = at.channels, at.side
    how = pick.of(
        lambda x: x.reshape(-1, c, side * side).view(-1, c, side, side),
        lambda x: x.reshape(x.shape[0], c, -1).unflatten(2, (side, side)),
        lambda x: x * torch.ones(1, c, 1, 1),
        lambda x: torch.cat([x, torch.zeros(x.shape[0], 4, side, side)], 1)[:, :c],
        lambda x: x.expand(x.shape[0], c, side, side) + 1,
        lambda x: (
            x.permute(0, 2, 3, 1).reshape(-1, c).view(x.shape[0], side, side, c).movedim(3, 1)
        ),
    )
    return Block(lambda _, x: how(x)), at


def statistics(at: Map, pick: Choices) -> Made:
    """Something over all channels, given back to each."""
    how = pick.of(
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-3),
        lambda x: F.normalize(x, dim=1),
        lambda x: x - x.sum(1, keepdim=True) / x.shape[1],
        lambda x: x * x.softmax(1),
        lambda x: x - x.amax(1, keepdim=True),
        lambda x: x.cumsum(1) * 0.1,
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: F.instance_norm(x),
        lambda x: x * x.std(1, keepdim=True),
        lambda x: F.local_response_norm(x, 3),
        lambda x: x / x.flatten(1).norm(dim=1)[:, None, None, None],
    )
    return Block(lambda _, x: how(x)), at


def in_place(at: Map, pick: Choices) -> Made:
    """Writes to what it was given, or to a part of it."""
    c = at.channels

    def part(x: Tensor) -> Tensor:
        x = x * 1.0
        x[:, : c // 2] += 1
        return x

    def parts(x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out[:, : c // 2] = x[:, c // 2 :]
        out[:, c // 2 :] = x[:, : c // 2]
        return out

    def all_of_it(x: Tensor) -> Tensor:
        return (x * 1.0).add_(1).mul_(0.5).clamp_(-1, 1)

    how = pick.of(all_of_it, part, parts)
    return Block(lambda _, x: how(x)), at


def twice(at: Map, pick: Choices) -> Made:
    """One layer that runs twice, with one norm or one for each time."""
    c = at.channels
    parts = {
        "conv": nn.Conv2d(c, c, 3, padding=1),
        "one": pick.of(*NORMS)(c),
        "two": pick.of(*NORMS)(c),
    }
    return Block(lambda net, x: net.two(net.conv(F.relu(net.one(net.conv(x))))), **parts), at


def aside(at: Map, pick: Choices) -> Made:
    """A stream to which a far smaller map is enlarged, and a head that nothing returns."""
    c = at.channels
    parts = {"low": conv(c, c, pick, 3, stride=2), "unused": nn.Conv2d(c, 7, 1)}

    def forward(net: Block, x: Tensor) -> Tensor:
        net.unused(x)
        return x + F.interpolate(net.low(x), size=x.shape[2:], mode="bilinear")

    return Block(forward, **parts), at


def branched(at: Map, pick: Choices) -> Made:
    """Paths of which the largest counts, or their mean, or their product."""
    c = at.channels
    paths = {name: conv(c, c, pick) for name in ("one", "two", "three")}
    how = pick.of(
        lambda maps: torch.stack(maps).amax(0),
        lambda maps: torch.stack(maps, 2).mean(2),
        lambda maps: maps[0] * maps[1] + maps[2],
        lambda maps: torch.maximum(maps[0], maps[1]) - maps[2],
        lambda maps: torch.cat(maps, 1).unflatten(1, (3, -1)).sum(1),
        lambda maps: torch.cat(maps, 1).reshape(-1, 3, c, *maps[0].shape[2:]).sum(1),
        lambda maps: torch.where(maps[0] > 0, maps[1], maps[2]),
    )
    return Block(lambda net, x: how([net.one(x), net.two(x), net.three(x)]), **paths), at


def activated(at: Map, pick: Choices) -> Made:
    """Activations that hold numbers of each channel, or meet channels in pairs."""
    c = at.channels
    kind = pick.of("layer", "maxout", "crelu")
    if kind == "layer":
        return pick.of(*ACTIVATIONS)(c), at
    if kind == "maxout":
        made = Map(c // 2, at.side)
        return Block(lambda _, x: x.reshape(x.shape[0], -1, 2, *x.shape[2:]).amax(2)), made
    return Block(lambda _, x: torch.cat([x, -x], 1).relu()), Map(2 * c, at.side)
