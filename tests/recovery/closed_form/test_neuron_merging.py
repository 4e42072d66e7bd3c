"""Neuron merging: the choice and the scale are those of a loop over pairs of channels."""

import math

import pytest
import torch
import zoo
from composed_filters import composed, filters_of, filters_read
from torch import nn
from traced_zoo import traced

from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging


def merged_by_hand(filters, constants, kept, removed, method, normed):
    """Coefficients (R, K) by looking at every pair."""
    if not normed:
        filters = torch.cat([filters, constants[:, None]], 1)
    balance = method.balance if normed else 1.0
    result = torch.zeros(len(removed), len(kept)).double()
    for row, p in enumerate(removed):
        cosines, scales, rests = [], [], []
        for k in kept:
            size_p, size_k = float(filters[p].norm()), float(filters[k].norm())
            cosines.append(float(filters[p] @ filters[k]) / (size_p * size_k))
            scales.append(size_p / size_k)
            left = float(constants[p]) - scales[-1] * float(constants[k])
            rests.append(abs(left) / scales[-1])
        span = max(rests) - min(rests)
        losses = [
            balance * (1 - cosine)
            + (1 - balance) * ((rest - min(rests)) / span if span > 0 else 0.0)
            for cosine, rest in zip(cosines, rests, strict=True)
        ]
        best = losses.index(min(losses))
        if cosines[best] >= method.threshold:
            result[row, best] = scales[best]
    return result


@pytest.mark.parametrize("method", [
    NeuronMerging(), NeuronMerging(0.3, 0.5), NeuronMerging(-1.0, 1.0), NeuronMerging(0.0, 0.0),
])  # fmt: skip
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_it_is_the_loop_over_pairs(name, method):
    model = traced(name)
    for group in model.prunable:
        for member in group.having("consumer"):
            if member.reads is None:
                continue
            _, reads, read = filters_of(model, group.name, member.layer)
            filters, constants, _ = composed(model.source.module, group, reads)
            order = torch.randperm(group.width, generator=torch.Generator().manual_seed(1))
            kept, removed = order[: group.width // 2], order[group.width // 2 :]
            expected = merged_by_hand(
                filters, constants, kept.tolist(), removed.tolist(), method, read.normed
            )
            mixing = method.mixing(read, kept, removed)
            torch.testing.assert_close(mixing, expected, rtol=1e-9, atol=1e-12)


def norm_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(*zoo.conv_bn(3, 16), nn.Conv2d(16, 4, 1))
        nn.init.normal_(network[1].weight)
        nn.init.normal_(network[1].bias)
        return zoo.calibrated(network, torch.randn(8, 3, 8, 8))


KEPT, REMOVED = torch.arange(0, 16, 2), torch.arange(1, 16, 2)


def test_a_removed_channel_is_carried_by_one_with_a_positive_coefficient():
    mixing = NeuronMerging(-1.0).mixing(filters_read(norm_network()), KEPT, REMOVED)
    assert (mixing.count_nonzero(dim=1) == 1).all()
    assert (mixing >= 0).all()


def test_nothing_alike_is_merged_with_nothing():
    mixing = NeuronMerging(threshold=0.999).mixing(filters_read(norm_network()), KEPT, REMOVED)
    assert mixing.count_nonzero() == 0


@pytest.mark.parametrize("factor", [1.0, 0.01, 250.0])
def test_a_multiple_is_recognised_with_its_factor(factor):
    network = norm_network()
    with torch.no_grad():
        network[0].weight[5] = network[0].weight[4]
        for value in (network[1].running_mean, network[1].running_var):
            value[5] = value[4]
        for value in (network[1].weight, network[1].bias):
            value[5] = factor * value[4]
    mixing = NeuronMerging().mixing(filters_read(network), KEPT, REMOVED)
    row = mixing[REMOVED.tolist().index(5)]
    assert row.argmax() == KEPT.tolist().index(4)
    assert float(row.max()) == pytest.approx(factor, rel=1e-6)


def test_a_multiple_whose_norm_undoes_it_is_merged_as_it_is():
    """Filter and BatchNorm scaled alike, u_p = 2 u_k, μ_p = 2 μ_k, σ_p = 2 σ_k: the same map."""
    network = norm_network()
    with torch.no_grad():
        conv, norm = network[0], network[1]
        conv.weight[5], norm.running_mean[5] = 2 * conv.weight[4], 2 * norm.running_mean[4]
        norm.running_var[5] = 4 * (norm.running_var[4] + norm.eps) - norm.eps
        norm.weight[5], norm.bias[5] = norm.weight[4], norm.bias[4]
    mixing = NeuronMerging().mixing(filters_read(network), KEPT, REMOVED)
    row = mixing[REMOVED.tolist().index(5)]
    torch.testing.assert_close(row, (KEPT == 4).double(), rtol=0, atol=1e-6)


def test_permuted_channels_have_permuted_coefficients():
    read, order = filters_read(norm_network()), torch.randperm(16)
    place = order.argsort()
    torch.testing.assert_close(
        NeuronMerging().mixing(read, KEPT, REMOVED),
        NeuronMerging().mixing(read.of(order), place[KEPT], place[REMOVED]),
    )


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.1])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, -1e-8])
@pytest.mark.parametrize("silenced", [[0], [1], [0, 1], list(range(16))])
def test_a_channel_that_batchnorm_silences_carries_nothing_large(silenced, scale, threshold):
    network = norm_network()
    with torch.no_grad():  # the removed channel 1 looks exactly like the kept channel 0
        network[0].weight[1] = network[0].weight[0]
        network[1].weight[silenced] = scale
    mixing = NeuronMerging(threshold).mixing(filters_read(network), KEPT, REMOVED)
    assert mixing.isfinite().all()
    assert float(mixing.max()) < 1e4
    assert math.isfinite(float(mixing.sum()))
