"""The released variants are the released arithmetic, channel by channel and pair by pair."""

import numpy as np
import pytest
import torch
import zoo
from composed_filters import filters_of, filters_read, split
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_zoo import outputs, plan_without, traced, unchanged

from edgeprune.errors import UsageError
from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging

METHODS = [Lbyl(released=True), NeuronMerging(released=True)]


def conv_and_norm(channels, *, bias=False, seed=0):
    """A convolution with BatchNorm whose scales have both signs, read by another convolution."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        conv, norm = nn.Conv2d(3, channels, 3, bias=bias), nn.BatchNorm2d(channels)
        for value in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(value)
        norm.running_var.uniform_(0.2, 3.0)
        return nn.Sequential(conv, norm, nn.ReLU(), nn.Conv2d(channels, 4, 1)).eval()


def parts(network):
    """Filters, γ, β, μ and the variance that the released codes take for σ, in numpy."""
    conv, norm = network[0], network[1]
    values = (conv.weight.flatten(1), norm.weight, norm.bias, norm.running_mean, norm.running_var)
    filters, scale, shift, mean, var = (value.detach().double().numpy() for value in values)
    if conv.bias is not None:
        mean = mean - conv.bias.detach().double().numpy()
    return filters, scale, shift, mean, var


def spread_by_hand(network, kept, removed, constant_weight, ridge):
    """Methods 1.6: one linear system for each removed channel, built entry by entry."""
    filters, scale, shift, mean, var = parts(network)
    rows = []
    for p in removed:
        zeros = [mean[k] - var[k] * shift[k] / scale[k] for k in kept]
        ratios = [(scale[p] / scale[k]) * (var[k] / var[p]) for k in kept]
        slope = scale[p] / var[p]
        matrix, target = np.zeros((len(kept), len(kept))), np.zeros(len(kept))
        for row, k in enumerate(kept):
            for column, other in enumerate(kept):
                matrix[row, column] = filters[k] @ filters[other]
            matrix[row, row] += constant_weight * slope**2 * sum(zero**2 for zero in zeros)
            matrix[row, row] += ridge * ratios[row] ** 2
            constant = constant_weight * slope * (slope * mean[p] - shift[p])
            target[row] = filters[k] @ filters[p] + constant * zeros[row]
        rows.append(np.linalg.solve(matrix, target))
    return torch.tensor(np.array(rows))


def merged_by_hand(network, kept, removed, threshold, balance):
    """Methods 2.4: every pair on its own, the roles of removed and kept swapped."""
    filters, scale, shift, mean, var = parts(network)
    result = torch.zeros(len(removed), len(kept)).double()
    for row, p in enumerate(removed):
        angles, coefficients, rests = [], [], []
        for k in kept:
            lengths = np.linalg.norm(filters[p]), np.linalg.norm(filters[k])
            ratio = lengths[0] / lengths[1]
            angles.append(1 - filters[p] @ filters[k] / (lengths[0] * lengths[1]))
            coefficients.append(ratio * (scale[k] / scale[p]) * (var[p] / var[k]))
            crossing = mean[p] - var[p] * shift[p] / scale[p]
            left = scale[k] / var[k] * (ratio * crossing - mean[k]) + shift[k]
            rests.append(abs(left) / coefficients[-1])
        span = (max(rests) - min(rests)) or 1.0
        losses = [
            balance * angle + (1 - balance) * (rest - min(rests)) / span
            for angle, rest in zip(angles, rests, strict=True)
        ]
        best = losses.index(min(losses))
        if not threshold or 1 - angles[best] >= threshold:
            result[row, best] = coefficients[best]
    return result


SPLITS = {"channels": st.integers(2, 16), "stay": st.integers(1, 15), "seed": st.integers(0, 99)}


@pytest.mark.parametrize("weights", [(1e-5, 1e-3), (1e-1, 1e-1), (0.0, 1e-2)])
@settings(max_examples=15, deadline=None)
@given(bias=st.booleans(), **SPLITS)
def test_lbyl_solves_the_released_system_of_every_channel(weights, channels, stay, seed, bias):
    network = conv_and_norm(channels, bias=bias, seed=seed)
    kept, removed = split(channels, min(stay, channels - 1), seed)
    mixing = Lbyl(*weights, released=True).mixing(filters_read(network), kept, removed)
    expected = spread_by_hand(network, kept.tolist(), removed.tolist(), *weights)
    torch.testing.assert_close(mixing, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [(0.1, 0.85), (0.3, 0.5), (-1.0, 0.0), (0.0, 1.0)])
@settings(max_examples=15, deadline=None)
@given(bias=st.booleans(), **SPLITS)
def test_merging_is_the_released_loop_over_pairs(options, channels, stay, seed, bias):
    network = conv_and_norm(channels, bias=bias, seed=seed)
    kept, removed = split(channels, min(stay, channels - 1), seed)
    mixing = NeuronMerging(*options, released=True).mixing(filters_read(network), kept, removed)
    expected = merged_by_hand(network, kept.tolist(), removed.tolist(), *options)
    torch.testing.assert_close(mixing, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", [Lbyl, NeuronMerging])
def test_where_batchnorm_does_nothing_merging_is_as_derived_and_lbyl_too_without_its_constant(
    method,
):
    network = conv_and_norm(16)
    with torch.no_grad():
        for value, fill in (
            ("weight", 1.0),
            ("running_var", 1.0),
            ("bias", 0),
            ("running_mean", 0),
        ):
            getattr(network[1], value).fill_(fill)
    network[1].eps = 0.0
    kept, removed = split(16, 8, 0)
    read = filters_read(network)
    derived, released = (method(released=wanted) for wanted in (False, True))
    torch.testing.assert_close(
        released.mixing(read, kept, removed), derived.mixing(read, kept, removed)
    )


def test_a_heavy_ridge_and_a_heavy_constant_both_drive_lbyl_to_zero():
    """‖h‖² on the diagonal is one more ridge: it shrinks coefficients and meets no constant."""
    read = filters_read(conv_and_norm(20))
    kept, removed = split(20, 10, 0)
    for heavy in (Lbyl(1e-5, 1e9, released=True), Lbyl(0.0, 1e9, released=True)):
        assert float(heavy.mixing(read, kept, removed).abs().max()) < 1e-6
    mixing = Lbyl(1e9, 1e-3, released=True).mixing(read, kept, removed)
    left = (read.constant[removed] - mixing @ read.constant[kept]).abs()
    exact = Lbyl(1e9, 1e-3).mixing(read, kept, removed) @ read.constant[kept]
    assert float(left.max()) > 1e-2
    torch.testing.assert_close(exact, read.constant[removed], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-30])
@pytest.mark.parametrize("silenced", [[0], [1], list(range(16))])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_not_carried(method, silenced, scale):
    network = conv_and_norm(16)
    with torch.no_grad():
        network[1].weight[silenced] = scale
    kept, removed = torch.arange(0, 16, 2), torch.arange(1, 16, 2)
    assert method.mixing(filters_read(network), kept, removed).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_the_step_says_that_it_was_the_released_one(method):
    model = traced("chain")
    pruned = prune(model, plan_without(model, "0.0", {0, 3}))
    with unchanged(pruned.module):
        recovered = method(model, pruned)
    assert [step.method.endswith("-released") for step in recovered.recovered_by] == [True]
    inputs = torch.randn(2, *zoo.INPUT_SHAPE[1:])
    before, after = (outputs(network.module, inputs)[0] for network in (pruned, recovered))
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    ("name", "group", "consumer"),
    [("no-norm", "0", "2"), ("depthwise", "0.0", "2.0"), ("residual", "2.branch.1", None)],
)
@pytest.mark.parametrize("method", METHODS)
def test_other_layers_are_refused_by_name(method, name, group, consumer):
    model = traced(name)
    width = next(g.width for g in model.groups if g.name == group)
    pruned = prune(model, plan_without(model, group, set(range(width // 2))))
    with pytest.raises(UsageError, match=f"'{consumer}'" if consumer else group):
        method(model, pruned)


@pytest.mark.parametrize("method", METHODS)
def test_other_filters_are_refused(method):
    read = filters_of(traced("no-norm"), "0", "2")[2]
    with pytest.raises(UsageError, match="convolution with its BatchNorm"):
        method.mixing(read, torch.tensor([0, 1]), torch.tensor([2]))
