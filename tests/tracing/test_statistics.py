"""Statistics over channels: cut, they are those of a network that was built with fewer channels."""

import pytest
import torch
import zoo
from torch import nn
from torch.nn import functional as F
from traced_zoo import Calls, outputs, random_plan, traced_network

from edgeprune.pruning import prune

IMAGES = torch.randn(2, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(3))
SIDE = zoo.INPUT_SHAPE[-1]


class ByHand(nn.Module):
    """LayerNorm over the channels of a map, written out."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = affine(channels)

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + 1e-6)
        return x * self.weight[:, None, None] + self.bias.view(-1, 1, 1)


class OverDeclared(nn.Module):
    """LayerNorm as a function, over what the layer declares."""

    def __init__(self, channels, declared=tuple):
        super().__init__()
        self.weight, self.bias = affine(channels)
        self.normalized_shape = channels if declared is int else declared([channels])

    def forward(self, x):
        shape = self.normalized_shape
        shape = (shape,) if isinstance(shape, int) else shape
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, shape, self.weight, self.bias).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """ConvNeXt V2's GRN: each channel's norm over the map, divided by the mean of them."""

    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = (
            nn.Parameter(each.detach()[None, None, None]) for each in affine(channels)
        )

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        norms = x.norm(p=2, dim=(1, 2), keepdim=True)
        x = self.gamma * (x * norms / (norms.mean(-1, keepdim=True) + 1e-6)) + self.beta + x
        return x.permute(0, 3, 1, 2)


class Permuted(nn.Module):
    """A layer that works on channels last."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class AsFunction(nn.Module):
    """A function of a map, with two numbers for each channel."""

    def __init__(self, channels, function):
        super().__init__()
        self.scale, self.shift = affine(channels)
        self.function = function

    def forward(self, x):
        return self.function(x, self.scale, self.shift)


class SpatialGate(nn.Module):
    """CBAM's: a convolution of the mean and the maximum over channels gates every pixel."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)
        self.function = function

    def forward(self, x):
        seen = torch.cat([x.mean(1, keepdim=True), self.function(x)], 1)
        return x * self.conv(seen).sigmoid()


class LastNorm(nn.LayerNorm):
    """Its channels lie last, as those of LayerNorm itself."""


def affine(channels):
    return nn.Parameter(torch.rand(channels) + 0.5), nn.Parameter(torch.randn(channels))


def simply(function):
    """A function of a map alone."""
    return lambda channels: AsFunction(channels, lambda x, scale, shift: function(x))


def in_groups(view):
    """GroupNorm by hand: ``view`` divides the channels into four groups."""

    def function(x):
        parts = view(x)
        axes = tuple(range(2, parts.dim()))
        mean = parts.mean(axes, keepdim=True)
        std = parts.std(axes, keepdim=True, unbiased=False)
        return ((parts - mean) / (std + 1e-3)).reshape(x.shape)

    return simply(function)


def filled(layer):
    """A layer whose affine parameters are not those of the identity."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


FREE = {
    "layer norm by hand": ByHand,
    "declared as a tuple": OverDeclared,
    "declared as a list": lambda c: OverDeclared(c, list),
    "declared as a number": lambda c: OverDeclared(c, int),
    "declared as a size": lambda c: OverDeclared(c, torch.Size),
    "layer norm, channels last": lambda c: Permuted(filled(nn.LayerNorm(c))),
    "layer norm of a class of one's own, channels last": lambda c: Permuted(filled(LastNorm(c))),
    "layer norm of the map": lambda c: filled(nn.LayerNorm([c, SIDE, SIDE])),
    "layer norm of rows and columns": lambda c: filled(nn.LayerNorm([SIDE, SIDE])),
    "layer norm as a function": lambda c: AsFunction(
        c, lambda x, scale, shift: F.layer_norm(
            x.movedim(1, -1), scale.shape, scale, shift).movedim(-1, 1)
    ),
    "layer norm of the map as a function": simply(lambda x: F.layer_norm(x, x.shape[1:])),
    "RMS norm": lambda c: Permuted(filled(nn.RMSNorm(c))),
    "RMS norm without parameters": lambda c: Permuted(nn.RMSNorm(c, elementwise_affine=False)),
    "RMS norm of the map": lambda c: filled(nn.RMSNorm([c, SIDE, SIDE])),
    "RMS norm by hand": lambda c: AsFunction(
        c, lambda x, scale, _: x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        * scale.view(1, -1, 1, 1)
    ),
    "response norm": ResponseNorm,
    "unit length": simply(lambda x: F.normalize(x, dim=1)),
    "unit sum": simply(lambda x: F.normalize(x, p=1, dim=1)),
    "group norm of one group": lambda c: filled(nn.GroupNorm(1, c)),
    "group norm": lambda c: filled(nn.GroupNorm(4, c)),
    "group norm as a function": lambda c: AsFunction(
        c, lambda x, scale, shift: F.group_norm(x, 4, scale, shift)
    ),
    "group norm by hand": in_groups(lambda x: x.view(len(x), 4, x.shape[1] // 4, SIDE, SIDE)),
    "group norm by hand, in rows": in_groups(lambda x: x.view(len(x), 4, -1)),
    "group norm of single channels": lambda c: filled(nn.GroupNorm(c, c)),
    "instance norm": lambda c: filled(nn.InstanceNorm2d(c, affine=True)),
    "instance norm by hand": simply(
        lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3)
    ),
    "standard deviation": simply(lambda x: x / (x.std(1, keepdim=True) + 1e-3)),
    "variance and mean": simply(lambda x: _standardised(x)),
    "norm of everything": simply(lambda x: x / (x.norm() + 1)),
    "largest of everything": simply(lambda x: x / x.abs().max()),
    "smallest": simply(lambda x: x - x.amin(1, keepdim=True)),
    "sum, count written out": simply(lambda x: x - x.sum(1, keepdim=True) / 24),
    "similarity": simply(lambda x: x * F.cosine_similarity(x, x.flip(2), dim=1)[:, None]),
    "spatial gate": lambda c: SpatialGate(lambda x: x.amax(1, keepdim=True)),
    "spatial gate with an index unused": lambda c: SpatialGate(
        lambda x: x.max(1, keepdim=True)[0]
    ),
}  # fmt: skip


def _standardised(x):
    variance, mean = torch.var_mean(x, 1, keepdim=True)
    return (x - mean) / (variance + 1e-3).sqrt()


def network(middle, width):
    """Convolutions around something that runs over channels."""
    return Calls(
        lambda net, x: net.head(net.last(net.middle(net.first(x)).relu())),
        first=nn.Conv2d(3, width, 3, padding=1), middle=middle(width),
        last=nn.Conv2d(width, 8, 3), head=zoo.head(8),
    )  # fmt: skip


def with_weights_of(small, large, kept):
    """Give a network the weights of one with more channels: those of the channels kept."""
    state = large.state_dict()
    for name, tensor in small.state_dict().items():
        value = state[name]
        for axis, size in enumerate(tensor.shape):
            if size != value.shape[axis]:
                value = value.index_select(axis, torch.tensor(kept))
        tensor.copy_(value)
    return small.double().eval()


@pytest.mark.parametrize("middle", FREE.values(), ids=FREE)
def test_what_was_cut_computes_what_was_built_small(middle):
    torch.manual_seed(0)
    large = network(middle, 24)
    model = traced_network(large)
    group = next(each for each in model.groups if each.name == "first")
    assert group.locked_because is None
    for seed in range(2):
        plan = random_plan(model, seed, most=0.8)
        plan = plan.of(tuple(entry for entry in plan.groups if entry.group == "first"))
        pruned = prune(model, plan)
        assert pruned.surgery.max_rel_diff <= 1e-12
        kept = plan.groups[0].kept
        small = with_weights_of(network(middle, len(kept)), large, kept)
        for ours, theirs in zip(
            outputs(pruned.module.double(), IMAGES.double()),
            outputs(small, IMAGES.double()),
            strict=True,
        ):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


class Standardised(nn.Conv2d):
    """Weight standardisation: each filter has mean 0 and deviation 1."""

    def forward(self, x):
        w = self.weight
        mean, std = w.mean((1, 2, 3), keepdim=True), w.std((1, 2, 3), keepdim=True)
        return self._conv_forward(x, (w - mean) / (std + 1e-5), self.bias)


class StandardisedByNorm(nn.Conv2d):
    """The same by BatchNorm as a function, with a learned gain for each filter."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.rand(self.out_channels) + 0.5)

    def forward(self, x):
        rows = self.weight.reshape(1, self.out_channels, -1)
        rows = F.batch_norm(rows, None, None, weight=self.gain, training=True)
        return self._conv_forward(x, rows.reshape_as(self.weight), self.bias)


class Binary(nn.Conv2d):
    """Signs of the weights, scaled by the mean magnitude of each filter."""

    def forward(self, x):
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, self.weight.sign() * scale, self.bias)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", [Standardised, StandardisedByNorm, Binary])
def test_a_weight_that_is_computed_is_computed_of_what_stays(kind, groups):
    def build(width):
        return Calls(
            lambda net, x: net.head(net.middle(net.first(x).relu()).relu()),
            first=nn.Conv2d(3, width, 3), middle=kind(width, 16, 3, groups=groups),
            head=zoo.head(16),
        )  # fmt: skip

    torch.manual_seed(0)
    large = build(24)
    model = traced_network(large)
    assert {group.name for group in model.prunable} == {"first", "middle"}
    assert prune(model, random_plan(model, 0, most=0.8)).surgery.max_rel_diff <= 1e-12
    plan = random_plan(model, 1, most=0.8)
    plan = plan.of(tuple(entry for entry in plan.groups if entry.group == "first"))
    pruned, kept = prune(model, plan), plan.groups[0].kept
    assert pruned.surgery.exempt == ("middle",)
    small = build(len(kept))
    state = {name: value.clone() for name, value in large.state_dict().items()}
    for name in ("first.weight", "first.bias"):
        state[name] = state[name][list(kept)]
    places = [i for i in kept if i < 24 // groups]
    state["middle.weight"] = state["middle.weight"][:, places]
    small.load_state_dict(state)
    for ours, theirs in zip(
        outputs(pruned.module.double(), IMAGES.double()),
        outputs(small.double(), IMAGES.double()),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_no_method_takes_a_computed_weight_for_its_own():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), Standardised(8, 8, 3), nn.Conv2d(8, 4, 3))
    for group in traced_network(network).groups:
        assert all(member.reads is None for member in group.having("consumer"))


LOCKED = {
    "softmax": (lambda x: x.softmax(1), "a softmax over channels"),
    "place of the largest": (lambda x: x * x.argmax(1, keepdim=True), "an argmax over channels"),
    "index of the largest": (lambda x: x * x.max(1, keepdim=True)[1], "a maximum over channels"),
    "sums one after the other": (lambda x: x.cumsum(1), "a cumulative sum over channels"),
    "a size written in the code": (
        lambda x: F.layer_norm(x.movedim(1, -1), (24,)).movedim(-1, 1), "layer_norm([24])",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "words"), LOCKED.values(), ids=LOCKED)
def test_what_needs_all_channels_is_locked_by_its_name(function, words):
    model = traced_network(network(simply(function), 24))
    reasons = {group.name: group.locked_because for group in model.groups}
    assert words in reasons["first"]
    assert reasons["last"] is None


def test_rows_before_channels_are_locked_by_the_size_of_the_normalisation():
    layer = nn.LayerNorm([SIDE, SIDE, 24])
    model = traced_network(network(lambda _: Permuted(layer), 24))
    assert "normalisation over 16x16x24 values" in model.groups[0].locked_because


def test_a_gate_along_the_channels_locks_what_it_gates_by_its_name():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 3, padding=1)

        def forward(self, x):
            means = x.mean((2, 3)).unsqueeze(1)
            return x * self.conv(means).sigmoid().squeeze(1)[..., None, None]

    model = traced_network(network(lambda _: Gate(), 24))
    reasons = {group.name: group.locked_because for group in model.groups}
    assert "along its channels, as ECA's does, in 'middle.conv'" in reasons["first"]
    assert reasons["last"] is None


def test_no_method_takes_a_normalisation_by_hand_for_the_identity():
    model = traced_network(network(ByHand, 24))
    (consumer,) = model.groups[0].having("consumer")
    assert consumer.reads is None


def test_paths_that_a_mean_merges_keep_their_channels():
    """Stacked branches, weighted by a softmax over branches, as selective kernels have them."""

    def forward(net, x):
        x = net.stem(x)
        maps = torch.stack([net.one(x), net.other(x)], 1)
        gates = net.gate(maps.mean(1).mean((2, 3), keepdim=True))
        gates = gates.unflatten(1, (2, -1)).softmax(1)
        return net.head((maps * gates).sum(1))

    model = traced_network(Calls(
        forward, stem=zoo.conv_bn(3, 16), one=zoo.conv_bn(16, 16), other=zoo.conv_bn(16, 16),
        gate=nn.Conv2d(16, 32, 1), head=zoo.head(16),
    ))  # fmt: skip
    assert {group.name for group in model.prunable} == {"stem.0", "one.0"}
    assert prune(model, random_plan(model, 0, most=0.8)).surgery.max_rel_diff <= 1e-12
