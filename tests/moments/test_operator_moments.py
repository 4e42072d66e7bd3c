"""Each operator's rule against features, on Gaussian images and networks that keep them so."""

import copy

import pytest
import torch
import zoo
from gaussian_images import (
    IMAGES,
    PAIR,
    TWO_INPUTS,
    Function,
    built,
    check,
    pointwise,
    sampled,
    source_of,
    spatial,
    trained,
)
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.moments import propagate


class Joined(nn.Module):
    """Two networks on two inputs, joined by a function."""

    def __init__(self, function, one, other, channels):
        super().__init__()
        self.function, self.one, self.other = function, one, other
        self.probe = nn.Conv2d(channels, 2, 1)

    def forward(self, x, y):
        return self.probe(self.function(self.one(x), self.other(y)))


LINEAR = {
    "dense": lambda: built(*spatial(), probe=nn.Conv2d(8, 2, 1)),
    "strided": lambda: built(*spatial(stride=2), probe=nn.Conv2d(8, 2, 1)),
    "no-bias": lambda: built(*spatial(bias=False), probe=nn.Conv2d(8, 2, 1)),
    "grouped": lambda: built(*pointwise(), *spatial(8, 12, groups=4), probe=nn.Conv2d(12, 2, 1)),
    "depthwise": lambda: built(*pointwise(), *spatial(8, 8, groups=8), probe=nn.Conv2d(8, 2, 1)),
    "multiplied": lambda: built(*pointwise(), *spatial(8, 16, groups=8), probe=nn.Conv2d(16, 2, 1)),
    "plain-norm": lambda: built(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), probe=nn.Conv2d(8, 2, 1)
    ),
    "two-norms": lambda: built(*pointwise(), nn.BatchNorm2d(8), probe=nn.Conv2d(8, 2, 1)),
    "no-norm": lambda: built(nn.Conv2d(3, 8, 3), probe=nn.Conv2d(8, 2, 1)),
    "transposed": lambda: built(nn.ConvTranspose2d(3, 8, 2, 2), probe=nn.Conv2d(8, 2, 1)),
    "upsampled": lambda: built(*pointwise(), nn.Upsample(scale_factor=2), probe=nn.Conv2d(8, 2, 1)),
    "average": lambda: built(*pointwise(), nn.AvgPool2d(2), probe=nn.Conv2d(8, 2, 1)),
    "adaptive": lambda: built(*pointwise(), nn.AdaptiveAvgPool2d(2), probe=nn.Conv2d(8, 2, 1)),
    "global": lambda: built(
        *pointwise(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), probe=nn.Linear(8, 2)
    ),
    "mean": lambda: built(*pointwise(), Function(lambda x: x.mean((2, 3))), probe=nn.Linear(8, 2)),
    "flattened": lambda: built(
        *pointwise(), nn.Flatten(), nn.Linear(8 * 64, 6), probe=nn.Linear(6, 2)
    ),
    "last": lambda: built(
        *pointwise(),
        Function(lambda x: x.permute(0, 2, 3, 1)),
        nn.Linear(8, 6, bias=False),
        Function(lambda x: x.permute(0, 3, 1, 2)),
        probe=nn.Conv2d(6, 2, 1),
    ),
    "shuffled": lambda: built(*pointwise(), zoo.ChannelShuffle(), probe=nn.Conv2d(8, 2, 1)),
    "half": lambda: built(
        *pointwise(), Function(lambda x: x.chunk(2, 1)[1]), probe=nn.Conv2d(4, 2, 1)
    ),
    "sliced": lambda: built(
        *pointwise(), Function(lambda x: x[:, 1:7:2]), probe=nn.Conv2d(3, 2, 1)
    ),
    "flipped": lambda: built(
        *pointwise(), Function(lambda x: x.transpose(2, 3)), probe=nn.Conv2d(8, 2, 1)
    ),
    "zeros-around": lambda: built(*pointwise(), Padded(), probe=nn.Conv2d(12, 2, 1)),
    "zeros-joined": lambda: built(
        *pointwise(),
        Function(lambda x: torch.cat([x, torch.zeros_like(x)], 1)),
        probe=nn.Conv2d(16, 2, 1),
    ),
    "dropout": lambda: built(*pointwise(), nn.Dropout(), probe=nn.Conv2d(8, 2, 1)),
}


class Padded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 1, 3))


class Scaled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


@pytest.mark.parametrize("name", LINEAR)
def test_linear_operators_are_exact(name):
    torch.manual_seed(1)
    network = trained(LINEAR[name](), IMAGES)
    probe = str(len(network) - 1)
    moments = propagate(source_of(network)).reads
    check(moments[probe], sampled(network, probe, IMAGES), slack=0)


ACTIVATIONS = {
    "relu": nn.ReLU(),
    "in-place": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "gelu": nn.GELU(),
    "tanh-gelu": nn.GELU("tanh"),
    "elu": nn.ELU(),
    "leaky": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(8, init=0.3),
    "sigmoid": nn.Sigmoid(),
    "softplus": nn.Softplus(),
    "spelled-silu": Function(lambda x: x * torch.sigmoid(x)),
    "spelled-hardswish": Function(lambda x: x * F.relu6(x + 3) / 6),
    "layer-scale": Scaled(8),
    "own-sum": Function(lambda x: x + 2 * x - 1),
    "relu-then-gain": Function(lambda x: 2 * F.relu(x) - 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_gaussian_maps_match_samples(name):
    torch.manual_seed(2)
    network = trained(
        built(*spatial(), copy.deepcopy(ACTIVATIONS[name]), probe=nn.Conv2d(8, 2, 1)), IMAGES
    )
    # 5e-3: correlations above 0.995 are taken for less.
    check(propagate(source_of(network)).reads["3"], sampled(network, "3", IMAGES), slack=5e-3)


def test_hundreds_of_activations_in_a_row_are_followed():
    torch.manual_seed(2)
    wide = [nn.Hardtanh(-1e3, 1e3) for _ in range(400)]  # the identity on these features
    network = trained(built(*spatial(), *wide, probe=nn.Conv2d(8, 2, 1)), IMAGES)
    predicted = propagate(source_of(network)).reads[str(len(network) - 1)]
    check(predicted, sampled(network, str(len(network) - 1), IMAGES), slack=5e-3)


@pytest.mark.parametrize("function", [torch.add, torch.sub], ids=["add", "sub"])
def test_sums_of_independent_maps_are_exact(function):
    torch.manual_seed(3)
    one, other = nn.Sequential(*pointwise()), nn.Sequential(*pointwise())
    network = trained(Joined(function, one, other, 8), PAIR)
    reads = propagate(source_of(network, TWO_INPUTS)).reads
    check(reads["probe"], sampled(network, "probe", PAIR), slack=0)


def test_concatenated_independent_maps_are_exact():
    torch.manual_seed(4)
    network = Joined(
        lambda x, y: torch.cat([x, y], 1),
        nn.Sequential(*pointwise()),
        nn.Sequential(*pointwise(3, 4)),
        12,
    )
    network = trained(network, PAIR)
    reads = propagate(source_of(network, TWO_INPUTS)).reads
    check(reads["probe"], sampled(network, "probe", PAIR), slack=1e-4)


def test_products_of_independent_maps_match_samples():
    torch.manual_seed(5)
    network = Joined(torch.mul, nn.Sequential(*pointwise()), nn.Sequential(*pointwise()), 8)
    network = trained(network, PAIR)
    reads = propagate(source_of(network, TWO_INPUTS)).reads
    check(reads["probe"], sampled(network, "probe", PAIR), slack=1e-3)


def test_a_gate_that_hardly_moves_scales_by_its_mean():
    torch.manual_seed(6)
    gate = zoo.SqueezeExcite(8, 4)
    with torch.no_grad():
        gate.up.weight.mul_(0.1)
    network = trained(built(*pointwise(), gate, probe=nn.Conv2d(8, 2, 1)), IMAGES)
    propagation = propagate(source_of(network))
    assert {"2.down", "2.up"} <= set(propagation.reads)
    check(propagation.reads["3"], sampled(network, "3", IMAGES), slack=0.02)


def test_largest_pixels_are_raised_as_in_samples():
    torch.manual_seed(7)
    network = trained(built(*pointwise(), nn.MaxPool2d(2), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    check(propagate(source_of(network)).reads["3"], sampled(network, "3", IMAGES), slack=0.03)
    network = trained(
        built(*pointwise(), nn.ReLU(), nn.MaxPool2d(2), probe=nn.Conv2d(8, 2, 1)), IMAGES
    )
    check(propagate(source_of(network)).reads["4"], sampled(network, "4", IMAGES), slack=0.03)


def neighbours(features: Tensor) -> float:
    """Correlation of pixels side by side, mean over channels, of (N, C, H, W)."""
    centred = features - features.mean((0, 2, 3), keepdim=True)
    across = (centred[..., 1:] * centred[..., :-1]).mean((0, 2, 3))
    down = (centred[..., 1:, :] * centred[..., :-1, :]).mean((0, 2, 3))
    return float(((across + down) / 2 / centred.square().mean((0, 2, 3))).mean())


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        (lambda: spatial(), 6),
        (lambda: [*pointwise(), nn.ReLU()], 8),
        (lambda: [*spatial(), nn.SiLU()], 6),
        (lambda: [*pointwise(), nn.AvgPool2d(2)], 4),
        (lambda: [*pointwise(), Function(lambda x: x[..., ::2, ::2])], 4),
    ],
    ids=["convolution", "relu", "silu", "average", "every-second"],
)
def test_decay_is_the_correlation_of_neighbours(layers, size):
    torch.manual_seed(8)
    made = layers()
    network = trained(built(*made, probe=nn.Conv2d(8, 2, 1)), IMAGES)
    probe = str(len(made))
    features = sampled(network, probe, IMAGES).unflatten(2, (size, size))
    predicted = propagate(source_of(network)).reads[probe].decay
    assert predicted == pytest.approx(neighbours(features), abs=0.02)
