"""ComposedFilters: inner products and constants are those of filters that are really composed."""

import pytest
import torch
import zoo
from composed_filters import composed, filters_of
from torch import nn
from torch.nn import functional as F
from traced_zoo import Calls, source_of, traced

from edgeprune.artifacts import BatchNormed, Depthwise, Filters, Scaled, Sum
from edgeprune.tracing import trace

ALL = [
    (name, group.name, member.layer)
    for name in zoo.NETWORKS
    for group in traced(name).groups
    for member in group.having("consumer")
    if member.reads is not None and group.locked_because is None
]


@pytest.mark.parametrize(("name", "group", "consumer"), ALL)
def test_what_every_consumer_of_the_zoo_reads_is_a_composition_of_filters(name, group, consumer):
    model = traced(name)
    found, reads, read = filters_of(model, group, consumer)
    filters, constants, raw = composed(model.source.module, found, reads)
    torch.testing.assert_close(read.gram, filters @ filters.T)
    torch.testing.assert_close(read.constant, constants)
    torch.testing.assert_close(read.raw, raw.square().sum(1))
    torch.testing.assert_close(
        read.gain, filters.square().sum(1) / raw.square().sum(1), rtol=1e-10, atol=0
    )


def linear_part(network, channels, size):
    """The (C, D) matrix and constants of a network that is affine, by feeding it unit images."""
    zero = torch.zeros(1, channels, size, size).double()
    constant = network(zero)[0, :, size // 2, size // 2]
    units = torch.eye(channels * size * size).double().reshape(-1, channels, size, size)
    rows = network(units)[:, :, size // 2, size // 2] - constant
    return rows.T.detach(), constant.detach()


@pytest.mark.parametrize(("kernel", "bias"), [(1, False), (1, True), (3, True)])
def test_composed_filters_are_what_the_layers_really_compute(kernel, bias):
    """Convolution, BatchNorm, depthwise convolution, BatchNorm: all but the activations."""
    last = 3 if kernel == 1 else 1  # a depthwise filter behind one with several taps overlaps
    body = nn.Sequential(
        nn.Conv2d(3, 8, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, last, padding=last // 2, groups=8, bias=bias), nn.BatchNorm2d(8),
    )  # fmt: skip
    for norm in (body[1], body[3]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    zoo.calibrated(body, torch.randn(16, 3, 8, 8))
    network = nn.Sequential(body, nn.Conv2d(8, 4, 1))
    _, _, read = filters_of(trace(source_of(network)), "0.0", "1")
    filters, constants = linear_part(body.double(), 3, 7)
    torch.testing.assert_close(read.gram, filters @ filters.T, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(read.constant, constants, rtol=1e-5, atol=1e-6)


def test_a_residual_sum_is_the_sum_of_its_branches():
    left, right = zoo.conv_bn(3, 8)[:2], zoo.conv_bn(3, 8, 1)[:2]
    network = Calls(
        lambda net, x, y: net.last(F.relu(net.left(x) + net.scale * net.right(y))),
        left=left, right=right, last=nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    network.scale = nn.Parameter(torch.randn(8, 1, 1))
    for norm in (left[1], right[1]):
        nn.init.normal_(norm.bias)
    model = trace(source_of(network, (1, 3, 7, 7), (1, 3, 7, 7)))
    _, _, read = filters_of(model, "left.0", "last")
    network.double()
    first, constant = linear_part(left, 3, 7)
    second, other = linear_part(lambda x: network.scale * right(x), 3, 7)
    torch.testing.assert_close(read.gram, first @ first.T + second @ second.T, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(read.constant, constant + other, rtol=1e-5, atol=1e-6)


def signals(signal):
    yield signal
    for part in getattr(signal, "terms", None) or [getattr(signal, "of", None)]:
        if part is not None:
            yield from signals(part)


@pytest.mark.parametrize(
    ("name", "group", "consumer", "kinds"),
    [
        ("chain", "0.0", "1.0", [BatchNormed, Filters]),
        ("no-norm", "0", "2", [Filters]),
        ("prelu", "0", "2.0", [Filters]),
        ("flatten", "0.0", "3", [BatchNormed, Filters]),
        ("depthwise", "0.0", "2.0", [BatchNormed, Depthwise, BatchNormed, Filters]),
        ("residual", "2.branch.1", "3.2", [Sum, BatchNormed, Filters, Filters]),
        ("layer-scale", "0.0", "2.2", [Sum, BatchNormed, Filters, Scaled, Filters]),
        ("concat", "0.0", "3.0", [BatchNormed, BatchNormed, Filters]),
        ("squeeze-excite", "0.0", "2.0", [BatchNormed, Filters]),
    ],
)
def test_what_lies_between_producer_and_consumer(name, group, consumer, kinds):
    _, reads, _ = filters_of(traced(name), group, consumer)
    assert sorted(type(s).__name__ for s in signals(reads)) == sorted(k.__name__ for k in kinds)


@pytest.mark.parametrize(
    ("name", "group", "consumer"),
    [("group-norm", "0", "3.0"), ("layer-scale", "0.0", "1.expand"), ("chunk", "0.0", "2.0"),
     ("shared", "0.0", "1.conv")],
)  # fmt: skip
def test_what_is_not_linear_has_no_signal(name, group, consumer):
    found = next(g for g in traced(name).groups if g.name == group)
    assert next(m.reads for m in found.having("consumer") if m.layer == consumer) is None


def test_norms_without_statistics_have_no_signal():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.Conv2d(8, 4, 1)
    )
    group = trace(source_of(network)).groups[0]
    assert group.having("consumer")[0].reads is None


def test_some_channels_of_composed_filters():
    _, _, read = filters_of(traced("chain"), "0.0", "1.0")
    some = torch.tensor([3, 1, 7])
    part = read.of(some)
    for row, i in enumerate(some.tolist()):
        assert part.constant[row] == read.constant[i]
        assert part.raw[row] == read.raw[i]
        for column, j in enumerate(some.tolist()):
            assert part.gram[row, column] == read.gram[i, j]


def made_by_one_convolution_and_norm(reads):
    return isinstance(reads, BatchNormed) and isinstance(reads.of, Filters)


@pytest.mark.parametrize(("name", "group", "consumer"), ALL)
def test_one_convolution_with_its_norm_can_be_taken_apart_and_folded_again(name, group, consumer):
    model = traced(name)
    _, reads, read = filters_of(model, group, consumer)
    made = read.unfolded
    assert (made is not None) == made_by_one_convolution_and_norm(reads)
    if made is None:
        return
    norm = model.source.module.get_submodule(reads.layer)
    gain = made.scale / (made.var + norm.eps).sqrt()
    torch.testing.assert_close(made.gram * gain[:, None] * gain, read.gram)
    torch.testing.assert_close(made.shift - gain * made.mean, read.constant)
    some = torch.tensor([1, 0])
    part = read.of(some)
    torch.testing.assert_close(part.unfolded.var, made.var[some])
    torch.testing.assert_close(part.unfolded.gram, made.gram[some][:, some])


def test_what_is_scaled_behind_its_norm_is_no_longer_one_convolution_with_its_norm():
    network = Calls(
        lambda net, x: net.last(net.scale * net.left(x)),
        left=zoo.conv_bn(3, 8)[:2], last=nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    network.scale = nn.Parameter(torch.randn(8, 1, 1))
    _, reads, read = filters_of(trace(source_of(network, (1, 3, 7, 7))), "left.0", "last")
    assert isinstance(reads, Scaled)
    assert read.unfolded is None
