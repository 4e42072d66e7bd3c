"""Couplings: what operators do to channels, one network each; what is free is proved."""

import pytest
import torch
import zoo
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d
from traced_zoo import Calls, plan_without, random_plan, traced_network

from edgeprune.pruning import prune


def locks(model):
    return {group.name: group.locked_because for group in model.groups if group.locked_because}


def frozen_norm():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), FrozenBatchNorm2d(16), nn.ReLU(), *zoo.conv_bn(16, 16),
        *zoo.head(16),
    )  # fmt: skip


def tied():
    first, second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
    second.weight = first.weight
    return nn.Sequential(zoo.conv_bn(3, 16), first, nn.ReLU(), second, zoo.head(16))


def spatial_gate():
    return Calls(
        lambda net, x: net.head(net.body(x) * net.gate(net.body(x)).sigmoid()),
        body=zoo.conv_bn(3, 16), gate=nn.Conv2d(16, 1, 1), head=zoo.head(16),
    )  # fmt: skip


def image_shortcut():
    return Calls(
        lambda net, x: net.head(net.body(x + net.refine(x))),
        refine=nn.Conv2d(3, 3, 3, padding=1), body=zoo.conv_bn(3, 16), head=zoo.head(16),
    )  # fmt: skip


def scaled_by_a_buffer():
    network = Calls(
        lambda net, x: net.head(net.body(x) * net.scale),
        body=zoo.conv_bn(3, 16), head=zoo.head(16),
    )  # fmt: skip
    network.register_buffer("scale", torch.rand(1, 16, 1, 1) + 0.5)
    return network


def chain_through(function, width=32, rest=32, **parts):
    """A convolution, something in between, and a head."""
    return Calls(
        lambda net, x: net.head(net.last(function(net, net.first(x)))),
        first=zoo.conv_bn(3, width), last=zoo.conv_bn(rest, 16), head=zoo.head(16), **parts,
    )  # fmt: skip


def blurred():
    network = chain_through(
        lambda net, x: F.conv2d(x, net.kernel, net.shift, padding=1, groups=x.shape[1])
    )
    network.register_buffer("kernel", torch.rand(32, 1, 3, 3))
    network.shift = nn.Parameter(torch.randn(32))
    return network


def bare_tensor():
    scale = torch.rand(1, 32, 1, 1) + 0.5
    return chain_through(lambda net, x: x * scale)


CUTTABLE = {
    "frozen norm": (frozen_norm, {"0"}),
    "buffer": (scaled_by_a_buffer, {"body.0"}),
    "spatial gate": (spatial_gate, {"body.0"}),
    "pixel shuffle": (
        lambda: chain_through(lambda _, x: F.pixel_shuffle(x, 2), rest=8), {"first.0"},
    ),
    "pixel unshuffle": (
        lambda: chain_through(lambda _, x: F.pixel_unshuffle(x, 2), rest=128), {"first.0"},
    ),
    "flip of channels": (lambda: chain_through(lambda _, x: x.flip(1)), {"first.0"}),
    "channel shuffle": (lambda: chain_through(lambda _, x: F.channel_shuffle(x, 4)), {"first.0"}),
    "slices of a computed size": (
        lambda: chain_through(
            lambda _, x: x[:, : x.shape[1] // 4] * x[:, x.shape[1] * 3 // 4 :], rest=8
        ), {"first.0"},
    ),
    "unbound parts": (
        lambda: chain_through(lambda _, x: torch.add(*x.unflatten(1, (2, -1)).unbind(1)), rest=16),
        {"first.0"},
    ),
    "stacked and flattened": (
        lambda: chain_through(lambda _, x: torch.stack([x, x.relu()], 1).flatten(1, 2), rest=64),
        {"first.0"},
    ),
    "repeated": (lambda: chain_through(lambda _, x: x.repeat(1, 2, 1, 1), rest=64), {"first.0"}),
    "rolled over rows": (lambda: chain_through(lambda _, x: x.roll(1, 2)), {"first.0"}),
    "maps in a row": (
        lambda: Calls(
            lambda net, x: net.last(
                torch.cat([net.one(x).flatten(2), net.other(x).flatten(2)], 2).mean(2)
            ),
            one=zoo.conv_bn(3, 16), other=zoo.conv_bn(3, 16, stride=2), last=nn.Linear(16, 4),
        ), {"one.0"},
    ),
    "depthwise with a multiplier": (
        lambda: chain_through(
            lambda net, x: net.wide(x), rest=64, wide=nn.Conv2d(32, 64, 3, padding=1, groups=32)
        ), {"first.0"},
    ),
    "grouped and transposed": (
        lambda: chain_through(
            lambda net, x: net.up(x), rest=64, up=nn.ConvTranspose2d(32, 64, 2, 2, groups=4)
        ), {"first.0", "up"},
    ),
    "depthwise and transposed": (
        lambda: chain_through(
            lambda net, x: net.up(x), up=nn.ConvTranspose2d(32, 32, 2, 2, groups=32)
        ), {"first.0"},
    ),
    "linear layer on transposed tokens": (
        lambda: Calls(
            lambda net, x: net.last(net.fc(net.first(x).flatten(2).transpose(1, 2)).relu().mean(1)),
            first=zoo.conv_bn(3, 16), fc=nn.Linear(16, 24), last=nn.Linear(24, 4),
        ), {"first.0", "fc"},
    ),
    "norm of a flattened map": (
        lambda: Calls(
            lambda net, x: net.last(net.norm(net.first(x).flatten(1))),
            first=nn.Conv2d(3, 8, 3, 4), norm=nn.BatchNorm1d(128), last=nn.Linear(128, 4),
        ), {"first"},
    ),
    "three dimensions": (
        lambda: Calls(
            lambda net, x: net.last(net.norm(net.first(x[:, :, None].expand(-1, -1, 4, -1, -1)))),
            first=nn.Conv3d(3, 16, 3), norm=nn.BatchNorm3d(16), last=nn.Conv3d(16, 4, 2),
        ), {"first"},
    ),
    "instance norm": (
        lambda: chain_through(lambda net, x: net.norm(x), norm=nn.InstanceNorm2d(32, affine=True)),
        {"first.0"},
    ),
    "instance norm without parameters": (
        lambda: chain_through(lambda net, x: net.norm(x), norm=nn.InstanceNorm2d(32)), {"first.0"},
    ),
    "a gate that code spreads": (
        lambda: chain_through(
            lambda net, x: x * net.gate(x).expand_as(x).sigmoid(), gate=nn.Conv2d(32, 1, 1)
        ), {"first.0"},
    ),
    "a gate that code repeats": (
        lambda: chain_through(
            lambda net, x: x * net.gate(x).repeat(1, x.shape[1], 1, 1), gate=nn.Conv2d(32, 1, 1)
        ), {"first.0"},
    ),
    "blurred by a buffer": (blurred, {"first.0"}),
    "every second one": (
        lambda: chain_through(lambda _, x: x[:, ::2] * x[:, 1::2], rest=16), {"first.0"},
    ),
    "every fourth one": (lambda: chain_through(lambda _, x: x[:, 3::4], rest=8), {"first.0"}),
    "laid between each other": (
        lambda: chain_through(
            lambda _, x: torch.stack([x[:, ::2], x[:, 1::2].relu()], 2).flatten(1, 2)
        ), {"first.0"},
    ),
    "channels repeated in a row": (
        lambda: chain_through(lambda _, x: x.repeat_interleave(2, 1), rest=64), {"first.0"},
    ),
    "channels spread": (
        lambda: chain_through(
            lambda _, x: x[:, None].expand(-1, 3, -1, -1, -1).flatten(1, 2), rest=96
        ), {"first.0"},
    ),
    "as many zeros beside": (
        lambda: chain_through(
            lambda net, x: net.wide(x) + torch.cat([x, torch.zeros_like(x)], 1),
            rest=64, wide=nn.Conv2d(32, 64, 1),
        ), {"first.0"},
    ),
    "as many ones beside": (
        lambda: chain_through(lambda _, x: torch.cat([x, torch.ones_like(x)], 1), rest=64),
        {"first.0"},
    ),
    "coordinates beside": (
        lambda: chain_through(lambda _, x: torch.cat([x, torch.ones(1, 2, 16, 16)], 1), rest=34),
        {"first.0"},
    ),
    "a number for each element": (
        lambda: chain_through(lambda net, x: x + net.places[0],
                              places=nn.ParameterList([torch.rand(1, 32, 16, 16)])), {"first.0"},
    ),
}  # fmt: skip

UNCUTTABLE = {
    "tied weights": (tied, "0.0", "'1' and '3' share a parameter"),
    "shortcut from the image": (image_shortcut, "refine", "network's input"),
    "response norm across channels": (
        lambda: chain_through(lambda net, x: net.norm(x), norm=nn.LocalResponseNorm(3)),
        "first.0", "'norm'",
    ),
    "softmax over channels": (
        lambda: chain_through(lambda _, x: x.softmax(1)), "first.0", "softmax over channels",
    ),
    "rolled over channels": (
        lambda: chain_through(lambda _, x: x.roll(1, 1)), "first.0", "fixed number of places",
    ),
    "picked by index": (
        lambda: chain_through(lambda _, x: x[:, [3, 1, 2]], rest=3), "first.0", "picked by index",
    ),
    "a size written in the code": (
        lambda: chain_through(lambda _, x: x.view(-1, 32, 8, 32)), "first.0", "view(-1, 32, 8, 32)",
    ),
    "a split of written sizes": (
        lambda: chain_through(lambda _, x: torch.cat(x.split([8, 24], 1)[::-1], 1)),
        "first.0", "split([8, 24])",
    ),
    "a stride that does not divide": (
        lambda: chain_through(lambda _, x: x[:, ::3], rest=11), "first.0", "a stride of 3",
    ),
    "a weight that is no layer's": (
        lambda: chain_through(
            lambda net, x: x + F.conv2d(x, net.kernels[0], padding=1), width=16, rest=16,
            kernels=nn.ParameterList([torch.randn(16, 16, 3, 3)]),
        ), "first.0", "pass a weight that is no layer's own",
    ),
    "what such a weight makes": (
        lambda: chain_through(
            lambda net, x: net.wide(x) + F.conv2d(x, net.kernels[0], padding=1), rest=24,
            wide=nn.Conv2d(32, 24, 1), kernels=nn.ParameterList([torch.randn(24, 32, 3, 3)]),
        ), "wide", "channels that a weight makes which is no layer's own",
    ),
    "a stride to before the end": (
        lambda: chain_through(lambda _, x: x[:, :30:2], rest=15), "first.0", "a stride of 2",
    ),
    "channels as places of a map": (
        lambda: chain_through(
            lambda net, x: x * net.gate(x.flatten(2).mean(2)[:, None, :, None]).view(-1, 32, 1, 1),
            gate=nn.Conv2d(1, 1, 1),
        ), "first.0", "reads its channels as places of a map in 'gate'",
    ),
    "one of its channels": (
        lambda: chain_through(lambda _, x: x * x[:, :1]), "first.0", "a slice 0:1 of its channels",
    ),
    "a tensor that is no buffer": (bare_tensor, "first.0", "mul"),
    "written to in place": (
        lambda: chain_through(lambda _, x: _written_to(x)), "first.0", "in place",
    ),
    "numbers that no layer makes": (
        lambda: chain_through(
            lambda net, x: net.wide(x) + torch.cat([x, torch.zeros(1, 8, 16, 16)], 1),
            rest=40, wide=nn.Conv2d(32, 40, 1),
        ), "wide", "channels that no layer makes",
    ),
    "gate of one channel": (spatial_gate, "gate", "one channel"),
}  # fmt: skip


def _written_to(x):
    x[:, ::2] = 0
    return x


@pytest.mark.parametrize(("factory", "free"), CUTTABLE.values(), ids=CUTTABLE)
def test_what_can_be_cut_is_prunable_and_proved(factory, free):
    network = factory()
    for norm in (part for part in network.modules() if hasattr(part, "running_var")):
        if norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    model = traced_network(network)
    assert free & set(locks(model)) == set()
    for seed in range(3):
        proof = prune(model, random_plan(model, seed, most=0.8)).surgery
        assert proof.max_rel_diff <= 1e-12


@pytest.mark.parametrize(("factory", "group", "words"), UNCUTTABLE.values(), ids=UNCUTTABLE)
def test_what_cannot_be_cut_rightly_is_locked_with_a_reason(factory, group, words):
    model = traced_network(factory())
    assert words in locks(model)[group]
    for other in model.prunable:  # what is left is proved
        block = other.width // other.partitions
        prune(model, plan_without(model, other.name, set(range(0, other.width, block))))
