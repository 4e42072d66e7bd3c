"""LBYL: the vectorised solution is that of the loss in raw filter space, channel by channel."""

import pytest
import torch
import zoo
from composed_filters import composed, filters_of, filters_read, split
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_zoo import source_of, traced

from edgeprune.artifacts import BatchNormed
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.tracing import trace

WEIGHTS = [(1e-5, 1e-3), (1e-2, 1e-1), (1.0, 1e-6), (0.0, 1e-2)]


def conv_and_norm(channels, *, inputs=3, kernel=3, bias=False, affine=True, seed=0):
    """A convolution with BatchNorm whose scales have both signs, read by another convolution."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        conv = nn.Conv2d(inputs, channels, kernel, bias=bias)
        norm = nn.BatchNorm2d(channels, affine=affine)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 3.0)
        if affine:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        return nn.Sequential(conv, norm, nn.ReLU(), nn.Conv2d(channels, 4, 1))


def raw_space(network):
    """u, g, β, μ and h of every channel, a convolution's own bias taken off μ."""
    conv, norm = network[0], network[1]
    filters = conv.weight.detach().double().flatten(1)
    std = (norm.running_var.double() + norm.eps).sqrt()
    ones = torch.ones(len(filters)).double()
    scale = ones if norm.weight is None else norm.weight.detach().double()
    shift = 0 * ones if norm.bias is None else norm.bias.detach().double()
    mean = norm.running_mean.double()
    if conv.bias is not None:
        mean = mean - conv.bias.detach().double()
    return filters, scale / std, shift, mean, mean - std * shift / scale


def solved_one_by_one(network, kept, removed, constant_weight, ridge):
    filters, gain, shift, mean, zero = raw_space(network)
    rows = []
    for p in removed.tolist():
        ratio = gain[p] / gain[kept]
        matrix = (
            filters[kept] @ filters[kept].T
            + constant_weight * gain[p] ** 2 * torch.outer(zero[kept], zero[kept])
            + ridge * torch.diag(ratio**2)
        )
        target = filters[kept] @ filters[p] + (
            constant_weight * gain[p] * (gain[p] * mean[p] - shift[p]) * zero[kept]
        )
        rows.append(ratio * torch.linalg.solve(matrix, target))
    return torch.stack(rows)


@pytest.mark.parametrize(("constant_weight", "ridge"), WEIGHTS)
@settings(max_examples=15, deadline=None)
@given(
    channels=st.integers(2, 20), share=st.floats(0.1, 0.9), seed=st.integers(0, 99),
    options=st.fixed_dictionaries(
        {"inputs": st.integers(1, 4), "bias": st.booleans(), "affine": st.booleans()}
    ),
)  # fmt: skip
def test_it_solves_the_normal_equations_of_every_channel(
    constant_weight, ridge, channels, share, seed, options
):
    network = conv_and_norm(channels, seed=seed, **options)
    kept, removed = split(channels, max(1, min(channels - 1, round(share * channels))), seed)
    read = filters_read(network, options["inputs"])
    mixing = Lbyl(constant_weight, ridge).mixing(read, kept, removed)
    assert mixing.shape == (len(removed), len(kept))
    expected = solved_one_by_one(network, kept, removed, constant_weight, ridge)
    torch.testing.assert_close(mixing, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("constant_weight", "ridge"), WEIGHTS)
def test_the_gradient_of_the_loss_is_zero(constant_weight, ridge):
    network = conv_and_norm(24)
    kept, removed = split(24, 14, 1)
    filters, gain, shift, mean, zero = raw_space(network)
    mixing = Lbyl(constant_weight, ridge).mixing(filters_read(network), kept, removed)
    for row, p in zip(mixing, removed.tolist(), strict=True):
        ratio = gain[p] / gain[kept]

        def loss(r, p=p, ratio=ratio):
            residual = filters[p] - filters[kept].T @ r
            constant = shift[p] - gain[p] * mean[p] + gain[p] * (r * zero[kept]).sum()
            size = (ratio * r).square().sum()
            return residual.square().sum() + constant_weight * constant**2 + ridge * size

        raw = (row / ratio).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(raw), raw)
        nothing = torch.zeros_like(raw, requires_grad=True)
        (start,) = torch.autograd.grad(loss(nothing), nothing)
        assert float(gradient.norm()) <= 1e-8 * float(start.norm())


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_it_minimises_the_folded_loss_of_every_consumer_of_the_zoo(name):
    """A least-squares problem for each removed channel, over filters that are really composed."""
    model, method = traced(name), Lbyl(1e-3, 1e-2)
    consumers = [
        (group, member)
        for group in model.prunable
        for member in group.having("consumer")
        if member.reads is not None
    ]
    for group, member in consumers:
        _, reads, read = filters_of(model, group.name, member.layer)
        filters, constants, raw = composed(model.source.module, group, reads)
        kept, removed = split(group.width, group.width // 2, 3)
        mixing = method.mixing(read, kept, removed)
        for row, p in zip(mixing, removed.tolist(), strict=True):
            gain = float(filters[p].square().sum() / raw[p].square().sum())
            heavy = method.constant_weight * gain if read.normed else 1.0
            coordinates = torch.cat([filters, heavy**0.5 * constants[:, None]], 1)
            design = torch.cat([
                coordinates[kept].T, (method.ridge * gain) ** 0.5 * torch.eye(len(kept)).double(),
            ])  # fmt: skip
            target = torch.cat([coordinates[p], torch.zeros(len(kept)).double()])
            expected = torch.linalg.lstsq(design, target[:, None]).solution[:, 0]
            torch.testing.assert_close(row, expected, rtol=1e-6, atol=1e-9)


def test_a_heavy_constant_is_met_exactly():
    network = conv_and_norm(20)
    read = filters_read(network)
    kept, removed = split(20, 10, 0)
    left = [
        (
            read.constant[removed]
            - Lbyl(heavy, 1e-3).mixing(read, kept, removed) @ read.constant[kept]
        ).abs().max()
        for heavy in (0.0, 1.0, 1e3, 1e9)
    ]  # fmt: skip
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1e-6 * left[0]


def test_a_heavy_ridge_drives_the_coefficients_to_zero():
    read = filters_read(conv_and_norm(20))
    kept, removed = split(20, 10, 0)
    sizes = [
        float(Lbyl(1e-5, ridge).mixing(read, kept, removed).norm())
        for ridge in (1e-6, 1e-3, 1.0, 1e9)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1e-6


@pytest.mark.parametrize("factor", [2.0, 0.01, -3.0])
def test_a_multiple_of_a_kept_filter_is_carried_by_it_alone(factor):
    """Filter and BatchNorm scaled alike, u_p = 2 u_k, μ_p = 2 μ_k, σ_p = 2 σ_k: the same map."""
    network = conv_and_norm(16)
    with torch.no_grad():
        conv, norm = network[0], network[1]
        conv.weight[5] = factor * conv.weight[4]
        norm.running_mean[5] = factor * norm.running_mean[4]
        norm.running_var[5] = factor**2 * (norm.running_var[4] + norm.eps) - norm.eps
        norm.weight[5] = norm.weight[4] * (1 if factor > 0 else -1)
        norm.bias[5] = norm.bias[4]
    kept, removed = torch.arange(0, 16, 2), torch.tensor([5])
    mixing = Lbyl(1e-5, 1e-10).mixing(filters_read(network), kept, removed)
    expected = (kept == 4).double()[None]
    torch.testing.assert_close(mixing, expected, rtol=0, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(channels=st.integers(3, 16), stay=st.integers(1, 15), seed=st.integers(0, 99))
def test_permuted_channels_have_permuted_coefficients(channels, stay, seed):
    read = filters_read(conv_and_norm(channels, seed=seed))
    kept, removed = split(channels, min(stay, channels - 1), seed)
    order = torch.randperm(channels, generator=torch.Generator().manual_seed(seed + 1))
    place = order.argsort()
    mixing = Lbyl().mixing(read, kept, removed)
    permuted = Lbyl().mixing(read.of(order), place[kept], place[removed])
    torch.testing.assert_close(mixing, permuted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, -1e-8])
@pytest.mark.parametrize("channels", [[0], [1], [0, 1], list(range(16))])
def test_channels_that_batchnorm_silences_give_bounded_coefficients(scale, channels):
    network = conv_and_norm(16)
    with torch.no_grad():
        network[1].weight[channels] = scale
    read = filters_read(network)
    kept, removed = torch.arange(0, 16, 2), torch.arange(1, 16, 2)
    mixing = Lbyl().mixing(read, kept, removed)
    assert mixing.isfinite().all()
    assert float(mixing.abs().max()) < 1e3


@pytest.mark.parametrize("zeroed", [[0], [1], [0, 1], list(range(8))])
def test_filters_of_zeros_give_finite_coefficients(zeroed):
    network = conv_and_norm(8)
    with torch.no_grad():
        network[0].weight[zeroed] = 0
    kept, removed = torch.arange(0, 8, 2), torch.arange(1, 8, 2)
    assert Lbyl().mixing(filters_read(network), kept, removed).isfinite().all()


def test_more_filters_than_dimensions_are_no_obstacle():
    network = conv_and_norm(64, inputs=1)
    kept, removed = split(64, 40, 0)
    for ridge in (0.0, 1e-3):
        mixing = Lbyl(1e-5, ridge).mixing(filters_read(network, 1), kept, removed)
        assert mixing.isfinite().all()
        assert float(mixing.abs().max()) < 100


def test_without_a_norm_the_bias_is_one_more_coordinate():
    network = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    model = trace(source_of(network, (1, 6)))
    _, reads, read = filters_of(model, "0", "2")
    assert not isinstance(reads, BatchNormed)
    kept, removed = split(12, 5, 0)
    rows = torch.cat([network[0].weight, network[0].bias[:, None]], 1).detach().double()
    design = torch.cat([rows[kept].T, 0.1 * torch.eye(5).double()])
    target = torch.cat([rows[removed].T, torch.zeros(5, 7).double()])
    expected = torch.linalg.lstsq(design, target).solution.T
    mixing = Lbyl(constant_weight=123.0, ridge=0.01).mixing(read, kept, removed)
    torch.testing.assert_close(mixing, expected)
