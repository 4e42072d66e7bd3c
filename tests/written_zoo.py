"""Networks whose code writes out channel counts, each in another way."""

from __future__ import annotations

import torch
import zoo
from torch import Tensor, nn
from torch.nn import functional as F
from traced_zoo import Calls


def body(width: int) -> nn.Sequential:
    """Two convolutions and a map of 4x4."""
    return nn.Sequential(zoo.conv_bn(3, 16), zoo.conv_bn(16, width), nn.AdaptiveAvgPool2d(4))


def flattened(function):
    return lambda: Calls(
        lambda net, x: net.fc(function(net.body(x))), body=body(20), fc=nn.Linear(320, 4)
    )


def between(function, width=16, rest=16, **parts):
    """A convolution, something with its channels, a convolution and a head."""
    return lambda: Calls(
        lambda net, x: net.head(net.last(function(net, net.first(x)))),
        first=zoo.conv_bn(3, width), last=zoo.conv_bn(rest, 16), head=zoo.head(16),
        **{name: make() for name, make in parts.items()},
    )  # fmt: skip


class PartlyConvolved(nn.Module):
    """A block of a user's own: the first channels are convolved, all are mixed."""

    def __init__(self, width: int, part: int) -> None:
        super().__init__()
        self.part = part
        self.conv = zoo.conv_bn(part, part)
        self.mix = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        some, rest = torch.split(x, [self.part, x.shape[1] - self.part], 1)
        return x + self.mix(torch.cat([self.conv(some), rest], 1))


class Shortcut(nn.Module):
    """A block of a CIFAR ResNet: every second pixel and channels of zeros, by a lambda."""

    def __init__(self, narrow: int, wide: int, stride: int = 1) -> None:
        super().__init__()
        last = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1), nn.BatchNorm2d(wide))
        self.branch = nn.Sequential(zoo.conv_bn(narrow, wide, stride=stride), last)
        self.shortcut = nn.Sequential()
        if narrow != wide:
            pads = (0, 0, 0, 0, wide // 4, wide // 4)
            self.shortcut = Lambda(lambda x: F.pad(x[:, :, ::2, ::2], pads, "constant", 0))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


class Blurred(nn.Module):
    """A fixed filter for each of as many channels as it was made for."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.last = zoo.conv_bn(3, width), zoo.conv_bn(width, width)
        self.head = zoo.head(width)
        self.register_buffer("filter", torch.rand(width, 1, 3, 3) / 9, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.first(x), (1, 1, 1, 1), mode="reflect")
        return self.head(self.last(F.conv2d(x, self.filter, stride=2, groups=self.width)))


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _convolved_part(net, x):
    some, rest = torch.split(x, [8, 8], 1)
    return torch.cat([net.part(some), rest], 1)


def _shuffled(_, x):
    b, _, h, w = x.shape
    return x.view(b, 2, 8, h, w).transpose(1, 2).reshape(b, 16, h, w)


def _padded_with_zeros(net, x):
    zeros = torch.zeros(x.shape[0], 8, *x.shape[2:], device=x.device)
    return net.wide(x) + torch.cat([x, zeros], 1)


def _attended(net, x):
    b, _, h, w = x.shape
    q, k, v = net.qkv(x).reshape(b, 2, 24, h * w).split(8, 2)
    weights = (q.transpose(2, 3) @ k * 8**-0.5).softmax(-1)
    return x + net.mix((v @ weights.transpose(2, 3)).reshape(b, 16, h, w))


def _tokens(net, x):
    return net.norm(x.permute(0, 2, 3, 1).reshape(-1, 256, 16)).mean(1)[:, :, None, None]


WRITTEN = {
    "view(-1, n)": flattened(lambda x: x.view(-1, 320)),
    "view(b, n)": flattened(lambda x: x.view(x.shape[0], 320)),
    "product": flattened(lambda x: x.reshape(x.size(0), 20 * 16)),
    "unflatten layer": lambda: Calls(
        lambda net, x: net.fc(net.parts(net.body(x)).sum(2)),
        body=body(20), parts=nn.Sequential(nn.Flatten(), nn.Unflatten(1, (20, 16))),
        fc=nn.Linear(20, 4),
    ),
    "split": between(_convolved_part, part=lambda: zoo.conv_bn(8, 8)),
    "slices": between(
        lambda net, x: torch.cat([net.part(x[:, :5]), x[:, 5:]], 1), part=lambda: zoo.conv_bn(5, 5)
    ),
    "slices from the end": between(
        lambda net, x: torch.cat([net.part(x[:, -6:]), x[:, :-6]], 1),
        part=lambda: zoo.conv_bn(6, 6),
    ),
    "shuffle": between(_shuffled),
    "zeros": between(_padded_with_zeros, rest=24, wide=lambda: zoo.conv_bn(16, 24)),
    "pads": between(
        lambda net, x: (net.wide(x) + F.pad(x, (0, 0, 0, 0, 3, 5))).view(-1, 24, 16, 16),
        rest=24, wide=lambda: zoo.conv_bn(16, 24),
    ),
    "option A": lambda: nn.Sequential(
        zoo.conv_bn(3, 16), Shortcut(16, 16), Shortcut(16, 32, 2), Shortcut(32, 32),
        Shortcut(32, 64, 2), zoo.head(64),
    ),
    "layer norm by function": between(
        lambda _, x: F.layer_norm(x.movedim(1, 3), (16,)).movedim(3, 1)
    ),
    "layer norm of whole maps": between(lambda _, x: F.layer_norm(x, (16, 16, 16))),
    "group norm by function": between(
        lambda _, x: F.group_norm(x, 4).view(-1, 16, 16, 16) + F.group_norm(x, 16)
    ),
    "blur pooling": lambda: Blurred(16),
    "heads": between(
        lambda net, x: _attended(net, x).view(-1, 16, 16, 16), qkv=lambda: nn.Conv2d(16, 48, 1),
        mix=lambda: nn.Conv2d(16, 16, 1),
    ),
    "tokens": between(_tokens, norm=lambda: nn.LayerNorm(16)),
    "expanded": between(
        lambda net, x: x * net.gate(x.mean((2, 3), True)).sigmoid().expand(x.shape[0], 16, 16, 16),
        gate=lambda: nn.Conv2d(16, 16, 1),
    ),
    "own block": lambda: nn.Sequential(
        zoo.conv_bn(3, 16), PartlyConvolved(16, 4), zoo.conv_bn(16, 24), PartlyConvolved(24, 6),
        zoo.head(24),
    ),
    "in place": between(
        lambda net, x: F.relu(x.add_(1.0), inplace=True).view(-1, 16, 256).mul_(0.5).unflatten(
            2, (16, 16)
        )
    ),
}  # fmt: skip
"""Every kind, by name; each takes images of ``zoo.INPUT_SHAPE``."""


def build(name: str) -> nn.Module:
    """The network of that name, in eval mode, with living activations."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = WRITTEN[name]()
        return zoo.calibrated(network, torch.randn(8, *zoo.INPUT_SHAPE[1:]))
