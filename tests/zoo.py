"""Small networks, one for every shape of coupling that a channel pruner meets.

``NETWORKS`` maps a name to a factory; ``build(name)`` gives the network with random weights,
BatchNorm statistics calibrated on noise (so that activations live) and eval mode, together with
its input shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn(
    c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


def head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


class Sum(nn.Module):
    """The branch plus the shortcut, then ReLU."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


class Concatenated(nn.Module):
    """The outputs of several branches side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class SqueezeExcite(nn.Module):
    """Channels weighted by a gate computed from their means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.up = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()


class LayerScaled(nn.Module):
    """A ConvNeXt block: depthwise, LayerNorm over channels, two linear layers, layer scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 4 * channels)
        self.reduce = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.reduce(F.gelu(self.expand(y))).permute(0, 3, 1, 2)
        return x + self.scale * y


class PaddedShortcut(nn.Module):
    """Every second pixel, zero channels on both ends (ResNet's option A)."""

    def forward(self, x: Tensor) -> Tensor:
        each = x.shape[1] // 2
        return F.pad(x[..., ::2, ::2], (0, 0, 0, 0, each, each))


class ChannelShuffle(nn.Module):
    """ShuffleNet's permutation of channels through a five-dimensional view."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Halved(nn.Module):
    """A gated linear unit: one half of the channels gates the other."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return a * b.sigmoid()


class Twice(nn.Module):
    """One convolution used twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(F.relu(self.conv(x))))


class TwoHeads(nn.Module):
    """Two outputs of different shape, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16), conv_bn(16, 24))
        self.mask = nn.Conv2d(24, 2, 1)
        self.label = head(24)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"mask": self.mask(x), "label": self.label(x)}


class Functional(nn.Module):
    """A convolution called as a function, with its weight a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv_bn(3, 16)
        self.weight = nn.Parameter(torch.randn(24, 16, 3, 3) / 12)
        self.last = nn.Sequential(conv_bn(24, 16), head(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(F.conv2d(self.first(x), self.weight, padding=1)))


NETWORKS = {
    "chain": lambda: nn.Sequential(conv_bn(3, 16), conv_bn(16, 32), conv_bn(32, 24), head(24)),
    "residual": lambda: nn.Sequential(
        conv_bn(3, 16),
        Sum(nn.Sequential(conv_bn(16, 24), nn.Conv2d(24, 16, 3, padding=1), nn.BatchNorm2d(16))),
        Sum(
            nn.Sequential(conv_bn(16, 32, stride=2), nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32)),
            nn.Conv2d(16, 32, 1, 2),
        ),
        head(32),
    ),
    "depthwise": lambda: nn.Sequential(
        conv_bn(3, 16), conv_bn(16, 16, groups=16), conv_bn(16, 32, 1), head(32)
    ),
    "inverted-residual": lambda: nn.Sequential(
        conv_bn(3, 16),
        Sum(
            nn.Sequential(
                conv_bn(16, 48, 1),
                conv_bn(48, 48, groups=48),
                nn.Conv2d(48, 16, 1, bias=False),
                nn.BatchNorm2d(16),
            )
        ),
        head(16),
    ),
    "grouped": lambda: nn.Sequential(
        conv_bn(3, 32), conv_bn(32, 64, groups=4), conv_bn(64, 32, 1), head(32)
    ),
    "concat": lambda: nn.Sequential(
        conv_bn(3, 16),
        Concatenated(conv_bn(16, 8), conv_bn(16, 24, 1), nn.Identity()),
        nn.BatchNorm2d(48),
        conv_bn(48, 32),
        head(32),
    ),
    "squeeze-excite": lambda: nn.Sequential(
        conv_bn(3, 32), SqueezeExcite(32, 8), conv_bn(32, 16), head(16)
    ),
    "flatten": lambda: nn.Sequential(
        conv_bn(3, 16),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 32),
        nn.ReLU(),
        nn.Linear(32, 5),
    ),
    "transposed": lambda: nn.Sequential(
        conv_bn(3, 16),
        nn.ConvTranspose2d(16, 24, 2, 2),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 2, 1),
    ),
    "layer-scale": lambda: nn.Sequential(conv_bn(3, 16), LayerScaled(16), head(16)),
    "prelu": lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.PReLU(16), conv_bn(16, 16), head(16)),
    "shared": lambda: nn.Sequential(conv_bn(3, 16), Twice(16), conv_bn(16, 16), head(16)),
    "group-norm": lambda: nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.GroupNorm(4, 32), nn.ReLU(), conv_bn(32, 16), head(16)
    ),
    "no-norm": lambda: nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), head(24)
    ),
    "padded-shortcut": lambda: nn.Sequential(
        conv_bn(3, 16),
        Sum(
            nn.Sequential(conv_bn(16, 32, stride=2), nn.Conv2d(32, 32, 3, padding=1)),
            PaddedShortcut(),
        ),
        head(32),
    ),
    "channel-shuffle": lambda: nn.Sequential(
        conv_bn(3, 16),
        conv_bn(16, 32),
        ChannelShuffle(),
        conv_bn(32, 32),
        conv_bn(32, 16),
        head(16),
    ),
    "chunk": lambda: nn.Sequential(conv_bn(3, 32), Halved(), conv_bn(16, 24), head(24)),
    "two-outputs": TwoHeads,
    "functional": Functional,
}

INPUT_SHAPE = (1, 3, 16, 16)


def build(name: str, seed: int = 0) -> nn.Module:
    """The network called ``name``, in eval mode, with living activations."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = NETWORKS[name]()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
        return calibrated(network, torch.randn(32, *INPUT_SHAPE[1:]))


@torch.no_grad()
def calibrated(network: nn.Module, images: Tensor) -> nn.Module:
    """Set BatchNorm's running statistics to those of ``images``."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    network(images)
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()
