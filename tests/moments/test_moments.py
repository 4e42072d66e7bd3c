"""What layers read, by name: against features where the assumptions hold, and on every coupling."""

import copy

import pytest
import torch
import zoo
from gaussian_images import (
    IMAGES,
    SPEC,
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

from edgeprune.artifacts import InputSpec
from edgeprune.moments import propagate, propagation
from edgeprune.moments.spatial import decayed, filtered, positions, tap_covariance
from edgeprune.tracing import trace


def test_decay_of_the_images_is_found_in_stored_variances():
    torch.manual_seed(9)
    network = trained(built(*spatial(), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    white = [torch.randn(2000, 3, 8, 8, dtype=torch.float64)]
    assert propagate(source_of(network)).reads["0"].decay == 0.9
    network = trained(copy.deepcopy(network), white)
    network[1].reset_running_stats()
    assert propagate(source_of(trained(network, white))).reads["0"].decay == 0.0


def test_dilation_is_zeros_between_the_taps():
    torch.manual_seed(17)
    dilated = nn.Sequential(nn.Conv2d(3, 8, 3, dilation=2), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    spread = nn.Sequential(nn.Conv2d(3, 8, 5), dilated[1], dilated[2])
    with torch.no_grad():
        spread[0].weight.zero_()[..., ::2, ::2] = dilated[0].weight
        spread[0].bias.copy_(dilated[0].bias)
        dilated[1].running_var.uniform_(0.5, 2)
    one, other = propagate(source_of(dilated)).reads, propagate(source_of(spread)).reads
    torch.testing.assert_close(one["2"].cov, other["2"].cov)
    assert one["2"].decay == pytest.approx(other["2"].decay)


def test_batch_norm_reads_what_it_has_stored():
    torch.manual_seed(10)
    network = trained(built(*spatial(), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    check(propagate(source_of(network)).reads["1"], sampled(network, "1", IMAGES), slack=1e-4)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_layer_of_every_coupling_gets_moments(name):
    network = zoo.build(name)
    before = copy.deepcopy(network.state_dict())
    propagation = propagate(source_of(network, InputSpec(shapes=(zoo.INPUT_SHAPE,))))
    layers = {
        layer
        for layer, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d)
    }
    assert set(propagation.reads) == layers
    assert propagation.guessed == ()
    for moments in propagation.reads.values():
        assert moments.mean.isfinite().all()
        assert 0 <= moments.decay < 1
        lowest = torch.linalg.eigvalsh(moments.cov)[0]
        assert lowest > -1e-6 * moments.variance.mean()
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_permuted_channels_are_read_permuted():
    torch.manual_seed(11)
    network = trained(
        built(*spatial(), nn.ReLU(), *spatial(8, 6), nn.ReLU(), probe=nn.Conv2d(6, 2, 1)), IMAGES
    )
    order = torch.randperm(8)
    permuted = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in [*permuted[0].parameters(), *permuted[1].parameters()]:
            tensor.copy_(tensor[order])
        for tensor in (permuted[1].running_mean, permuted[1].running_var):
            tensor.copy_(tensor[order])
        permuted[3].weight.copy_(permuted[3].weight[:, order])
    one, other = propagate(source_of(network)).reads, propagate(source_of(permuted)).reads
    torch.testing.assert_close(other["3"].cov, one["3"].cov[order][:, order])
    torch.testing.assert_close(other["6"].cov, one["6"].cov)
    torch.testing.assert_close(other["6"].mean, one["6"].mean)


def test_a_dead_channel_is_a_constant():
    torch.manual_seed(12)
    network = trained(built(*spatial(), nn.ReLU(), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    with torch.no_grad():
        network[1].weight[2] = 0
        network[1].bias[2] = 0.7
    moments = propagate(source_of(network)).reads["3"]
    assert float(moments.mean[2]) == pytest.approx(0.7)
    assert (moments.cov[2] == 0).all()


def test_a_layer_used_twice_is_read_the_first_time():
    torch.manual_seed(13)
    network = trained(built(*pointwise(), zoo.Twice(8), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    check(propagate(source_of(network)).reads["2.conv"], sampled(network, "2.conv", IMAGES), 1e-4)


def sorted_channels(x: Tensor) -> Tensor:
    """No rule follows this."""
    return x.sort(1).values


def test_what_no_rule_follows_is_named_until_the_next_batch_norm():
    torch.manual_seed(14)
    network = built(
        *pointwise(),
        Function(sorted_channels),
        nn.Conv2d(8, 6, 1),
        nn.ReLU(),
        nn.Conv2d(6, 5, 1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        probe=nn.Conv2d(5, 2, 1),
    )
    network = trained(network, IMAGES)
    propagation = propagate(source_of(network))
    assert propagation.guessed == ("3", "5", "6")
    assert set(propagation.reads) == {"0", "1", "8"}
    uncorrelated = propagation.reads["8"].cov
    assert torch.equal(uncorrelated, torch.diag(uncorrelated.diagonal()))


def test_a_batch_norm_behind_a_flatten_keeps_its_own_statistics():
    torch.manual_seed(18)
    flat = [nn.Flatten(), nn.BatchNorm1d(4 * 64), nn.ReLU()]
    network = trained(built(*pointwise(3, 4), *flat, probe=nn.Linear(4 * 64, 2)), IMAGES)
    propagation = propagate(source_of(network))
    assert propagation.guessed == ("3",)
    features = sampled(network, "5", IMAGES)[..., 0]
    moments = propagation.reads["5"]
    errors = features.std(0) / len(features) ** 0.5
    assert ((moments.mean - features.mean(0)).abs() < 5 * errors + 1e-3).all()
    torch.testing.assert_close(moments.variance, features.var(0), rtol=0.2, atol=1e-3)


def write_through_a_view(x: Tensor) -> Tensor:
    x[:, :4].relu_()
    return x


def test_a_tensor_written_to_through_a_view_is_not_followed():
    torch.manual_seed(15)
    network = trained(
        built(*pointwise(), Function(write_through_a_view), probe=nn.Conv2d(8, 2, 1)), IMAGES
    )
    assert propagate(source_of(network)).guessed == ("3",)


@pytest.mark.parametrize("colours", [1, 3, 4])
def test_the_prior_is_in_the_units_of_the_network(colours):
    network = nn.Sequential(nn.Conv2d(colours, 4, 3))
    spec = InputSpec(shapes=((1, colours, 8, 8),), mean=(0.2,) * colours, std=(0.5,) * colours)
    moments = propagate(source_of(network, spec)).reads["0"]
    assert moments.mean.tolist() == pytest.approx([0.5] * colours)
    assert moments.variance.tolist() == pytest.approx([0.25] * colours)
    assert moments.decay == 0.9


def test_frozen_batch_norm_made_of_arithmetic_is_exact():
    torch.manual_seed(16)
    network = trained(built(*pointwise(), Frozen(8), probe=nn.Conv2d(8, 2, 1)), IMAGES)
    check(propagate(source_of(network)).reads["3"], sampled(network, "3", IMAGES), slack=1e-4)


class Frozen(nn.Module):
    """torchvision's FrozenBatchNorm2d: a gain and a shift computed from buffers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "mean", "var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        gain = self.weight.reshape(1, -1, 1, 1) * (self.var.reshape(1, -1, 1, 1) + 1e-5).rsqrt()
        return x * gain + (self.bias.reshape(1, -1, 1, 1) - self.mean.reshape(1, -1, 1, 1) * gain)


def test_inputs_of_the_specification_are_those_of_the_samples():
    network = trained(nn.Sequential(nn.Conv2d(3, 4, 1)), IMAGES)
    check(propagate(source_of(network, SPEC)).reads["0"], sampled(network, "0", IMAGES), slack=0)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_layer_asked_for_is_told_once_and_in_running_order(name):
    source = source_of(zoo.NETWORKS[name](), InputSpec(shapes=(zoo.INPUT_SHAPE,)))
    everything = propagate(source)
    asked = [*everything.guessed, *list(everything.reads)[1::2][::-1], "nowhere"]
    found = everything.of_layers(asked)
    assert found.keys() == set(asked)
    assert all(found[layer] is everything.reads.get(layer) for layer in asked)
    known = [layer for layer in found if found[layer] is not None]
    assert known == list(everything.reads)[1::2]


def test_a_traced_network_is_propagated_once(monkeypatch):
    traced = trace(source_of(zoo.build("residual"), InputSpec(shapes=(zoo.INPUT_SHAPE,))))
    first = propagate(traced.source)
    monkeypatch.setattr(propagation, "_reads_by_layer", None)
    assert propagate(traced.source) is first
    assert propagate(traced.with_locks({}).source) is first


@pytest.mark.parametrize(("groups", "read"), [(1, 300), (4, 75), (300, 1)])
def test_large_products_in_single_precision_are_off_by_a_millionth(monkeypatch, groups, read):
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(300, 300, generator=draw).double()
    cov, weight = root @ root.T, torch.randn(600, read, 9, generator=draw)
    taps = positions((3, 3), (1.0, 1.0))
    filters = torch.zeros(600, 300, 9).double()
    for made in range(600):
        start = made // (600 // groups) * read
        filters[made, start : start + read] = weight[made]
    spread = torch.einsum("oca,ab->ocb", filters, decayed(taps, 0.5)).flatten(1)
    mixed = torch.einsum("oca,cd->oda", filters, cov).flatten(1)
    expected = spread @ mixed.T
    std = expected.diagonal().sqrt()
    for large, slack in ((1e15, 1e-12), (0, 2e-6)):
        monkeypatch.setattr("edgeprune.moments.spatial.LARGE", large)
        found = filtered(cov, weight, decayed(taps, 0.5), groups)
        assert float(((found - expected) / std / std[:, None]).abs().max()) < slack
        pairs = tap_covariance(cov, weight, groups)
        torch.testing.assert_close(
            (pairs * decayed(taps, 0.5)).sum((1, 2)), expected.diagonal(), rtol=slack, atol=0
        )
