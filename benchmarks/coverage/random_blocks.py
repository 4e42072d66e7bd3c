"""Blocks of random networks: each as somebody writes it, with choices left open.

A block is a function of the map that it is given (channels, pixels of a side) and of what chooses;
it returns a module and the map that comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from blocks import Block
from random_parts import NORMS, WIDTHS, Map, conv
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from random_parts import Choices, Made


def plain(at: Map, pick: Choices) -> Made:
    out, kernel = pick.of(*WIDTHS), pick.of(3, 1, 5)
    return conv(at.channels, out, pick, kernel), Map(out, at.side)


def strided(at: Map, pick: Choices) -> Made:
    out = pick.of(*WIDTHS)
    return conv(at.channels, out, pick, 3, stride=2), Map(out, (at.side + 1) // 2)


def dilated(at: Map, pick: Choices) -> Made:
    layer = nn.Conv2d(at.channels, at.channels, 3, padding="same", dilation=2)
    return nn.Sequential(layer, pick.of(*NORMS)(at.channels)), at


def grouped(at: Map, pick: Choices) -> Made:
    out, groups = pick.of(*WIDTHS), pick.of(2, 4, 8)
    return conv(at.channels, out, pick, 3, groups=groups), Map(out, at.side)


def separable(at: Map, pick: Choices) -> Made:
    c, times, out = at.channels, pick.of(1, 2), pick.of(*WIDTHS)
    deep = conv(c, c * times, pick, 3, groups=c)
    return nn.Sequential(deep, conv(c * times, out, pick, 1)), Map(out, at.side)


def residual(at: Map, pick: Choices) -> Made:
    c, inner = at.channels, pick.of(*WIDTHS)
    branch = nn.Sequential(conv(c, inner, pick), nn.Conv2d(inner, c, 1), pick.of(*NORMS)(c))
    return Block(lambda net, x: F.relu(x + net.branch(x)), branch=branch), at


def projected(at: Map, pick: Choices) -> Made:
    c, out = at.channels, pick.of(*WIDTHS)
    parts = {"branch": conv(c, out, pick, 3, stride=2), "short": nn.Conv2d(c, out, 1, 2)}
    return Block(lambda net, x: net.branch(x) + net.short(x), **parts), Map(out, (at.side + 1) // 2)


def weighted(at: Map, pick: Choices) -> Made:
    """A stream scaled by a learned number for each channel, added in place."""
    scale = nn.Parameter(torch.rand(at.channels, 1, 1))
    block = Block(
        lambda net, x: net.branch(x).mul_(net.scale).add_(x),
        branch=conv(at.channels, at.channels, pick),
    )
    block.register_parameter("scale", scale)
    return block, at


def padded(at: Map, pick: Choices) -> Made:
    """A shortcut with channels of zeros at both ends, by numbers or computed."""
    c = at.channels
    written = pick.of(True, False)

    def forward(net: Block, x: Tensor) -> Tensor:
        each = c // 2 if written else x.shape[1] // 2
        return net.branch(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, each, each))

    branch = conv(c, 2 * c, pick, 3, stride=2)
    return Block(forward, branch=branch), Map(2 * c, (at.side + 1) // 2)


def concatenated(at: Map, pick: Choices) -> Made:
    c, one, two = at.channels, pick.of(8, 16), pick.of(8, 24)
    parts = {"one": conv(c, one, pick), "two": conv(c, two, pick, 1)}
    both = Block(lambda net, x: torch.cat([net.one(x), x, net.two(x)], 1), **parts)
    return both, Map(one + c + two, at.side)


def squeezed(at: Map, pick: Choices) -> Made:
    c = at.channels
    linear = pick.of(False, True)
    down, up = (
        (nn.Linear(c, 4), nn.Linear(4, c)) if linear else (nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1))
    )

    def forward(net: Block, x: Tensor) -> Tensor:
        means = x.mean((2, 3)) if linear else F.adaptive_avg_pool2d(x, 1)
        gate = net.up(F.relu(net.down(means))).sigmoid()
        return x * (gate[:, :, None, None] if linear else gate)

    return Block(forward, down=down, up=up), at


def gated_in_space(at: Map, pick: Choices) -> Made:
    def forward(net: Block, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * net.gate(seen).sigmoid()

    return Block(forward, gate=nn.Conv2d(2, 1, 3, padding=1)), at


def gated_along(at: Map, pick: Choices) -> Made:
    """ECA: a convolution along the channels."""

    def forward(net: Block, x: Tensor) -> Tensor:
        gate = net.gate(x.mean((2, 3))[:, None]).sigmoid()
        return x * gate[:, 0, :, None, None]

    return Block(forward, gate=nn.Conv1d(1, 1, 3, padding=1, bias=False)), at


def context(at: Map, pick: Choices) -> Made:
    """GCNet: channels weighted by where one map looks."""
    c = at.channels

    def forward(net: Block, x: Tensor) -> Tensor:
        looks = net.look(x).flatten(2).softmax(2)
        seen = (x.flatten(2) * looks).sum(2)
        return x + net.add(seen)[:, :, None, None]

    return Block(forward, look=nn.Conv2d(c, 1, 1), add=nn.Linear(c, c)), at


def halves(at: Map, pick: Choices) -> Made:
    """One half of the channels gates the other, by chunk, split or slices."""
    c = at.channels
    how = pick.of(
        lambda x: x.chunk(2, 1),
        lambda x: torch.split(x, c // 2, 1),
        lambda x: torch.split(x, [c // 2, c // 2], 1),
        lambda x: (x[:, : c // 2], x[:, c // 2 :]),
        lambda x: (x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]),
        lambda x: (x[:, ::2], x[:, 1::2]),
        lambda x: x.unflatten(1, (2, -1)).unbind(1),
        lambda x: x.reshape(x.shape[0], 2, c // 2, *x.shape[2:]).unbind(1),
    )

    def forward(_: Block, x: Tensor) -> Tensor:
        one, other = how(x)
        return one * other.sigmoid()

    return Block(forward), Map(c // 2, at.side)


def partly(at: Map, pick: Choices) -> Made:
    """Some channels are convolved, the others pass."""
    some = pick.of(4, 6, at.channels // 2)

    def forward(net: Block, x: Tensor) -> Tensor:
        first, rest = torch.split(x, [some, x.shape[1] - some], 1)
        return torch.cat([net.conv(first), rest], 1)

    return Block(forward, conv=conv(some, some, pick)), at


def shuffled(at: Map, pick: Choices) -> Made:
    c, side, groups = at.channels, at.side, pick.of(2, 4)
    how = pick.of(
        lambda x: F.channel_shuffle(x, groups),
        lambda x: (
            x.reshape(x.shape[0], groups, c // groups, side, side)
            .transpose(1, 2)
            .reshape(x.shape[0], c, side, side)
        ),
        lambda x: (
            x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
            .transpose(1, 2)
            .flatten(1, 2)
        ),
        lambda x: x.unflatten(1, (-1, groups)).transpose(1, 2).flatten(1, 2),
    )  # fmt: skip
    return Block(lambda _, x: how(x)), at


def moved(at: Map, pick: Choices) -> Made:
    how = pick.of(
        lambda x: x.flip(1),
        lambda x: x.roll(1, 1),
        lambda x: x.roll((1, 2), (2, 3)),
        lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
        lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        lambda x: x[:, list(range(x.shape[1]))[::-1]],
    )
    return Block(lambda _, x: how(x)), at


def pooled(at: Map, pick: Choices) -> Made:
    side = at.side // 2
    layer = pick.of(
        nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(side), nn.AdaptiveMaxPool2d(side)
    )
    return layer, Map(at.channels, side)


def blurred(at: Map, pick: Choices) -> Made:
    """A fixed filter for each channel, in as many groups as there are or as were written."""
    c, written = at.channels, pick.of(True, False)

    def forward(net: Block, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, net.filter, stride=2, groups=c if written else x.shape[1])

    block = Block(forward)
    block.register_buffer("filter", torch.full((c, 1, 3, 3), 1 / 9))
    return block, Map(c, (at.side + 1) // 2)


def bare(at: Map, pick: Choices) -> Made:
    """A convolution by function, on a weight of the block's own."""
    c, groups = at.channels, pick.of(1, 2)
    block = Block(lambda net, x: F.conv2d(x, net.kernel, net.shift, padding=1, groups=groups))
    block.register_parameter("kernel", nn.Parameter(torch.randn(c, c // groups, 3, 3) / c))
    block.register_parameter("shift", nn.Parameter(torch.randn(c)))
    return block, at


def enlarged(at: Map, pick: Choices) -> Made:
    c, out = at.channels, pick.of(16, 8)
    layer = pick.of(
        nn.Sequential(nn.Upsample(scale_factor=2), conv(c, out, pick)),
        nn.ConvTranspose2d(c, out, 2, 2),
        nn.ConvTranspose2d(c, out, 4, 2, 1, groups=4),
        nn.Sequential(nn.ConvTranspose2d(c, c, 2, 2, groups=c), conv(c, out, pick, 1)),
        nn.Sequential(nn.Conv2d(c, 4 * out, 1), nn.PixelShuffle(2)),
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c, 16 * out, 1), nn.PixelShuffle(4)),
    )
    return layer, Map(out, 2 * at.side)


def attended(at: Map, pick: Choices) -> Made:
    """Attention over places: by heads, one head, or torch's own."""
    c, side = at.channels, at.side
    heads, how = pick.of(1, 2, 4), pick.of("reshaped", "chunked", "function", "layer")

    def reshaped(net: Block, x: Tensor) -> Tensor:
        q, k, v = (
            net.qkv(x).reshape(x.shape[0], heads, 3 * c // heads, side * side).split(c // heads, 2)
        )
        looks = (q.transpose(2, 3) @ k * (c // heads) ** -0.5).softmax(-1)
        return x + net.out((v @ looks.transpose(2, 3)).reshape(x.shape[0], c, side, side))

    def chunked(net: Block, x: Tensor) -> Tensor:
        q, k, v = net.qkv(x).flatten(2).chunk(3, 1)
        looks = (q.transpose(1, 2) @ k * x.shape[1] ** -0.5).softmax(-1)
        return x + net.out((v @ looks.transpose(1, 2)).reshape(x.shape))

    def by_function(net: Block, x: Tensor) -> Tensor:
        q, k, v = (
            net.qkv(x)
            .flatten(2)
            .transpose(1, 2)
            .unflatten(2, (3, heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        seen = F.scaled_dot_product_attention(q, k, v)
        return x + net.out(seen.transpose(1, 2).flatten(2).transpose(1, 2).reshape(x.shape))

    def by_layer(net: Block, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + net.layer(tokens, tokens, tokens, need_weights=False)[0]
        return tokens.transpose(1, 2).reshape(x.shape)

    if how == "layer":
        return Block(by_layer, layer=nn.MultiheadAttention(c, heads, batch_first=True)), at
    forward = {"reshaped": reshaped, "chunked": chunked, "function": by_function}[str(how)]
    return Block(forward, qkv=nn.Conv2d(c, 3 * c, 1), out=nn.Conv2d(c, c, 1)), at
