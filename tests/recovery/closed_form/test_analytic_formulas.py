"""Analytic's formulas, by loops, by Kronecker products and by regression on samples."""

import math

import numpy as np
import pytest
import torch
import zoo
from torch import nn
from traced_zoo import random_plan, traced

from edgeprune.moments.propagation import Moments, propagate
from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.analytic import LEAST, MOST, Analytic, coefficients, rebuild


def mixed_samples(count=500, channels=9):
    draw = torch.Generator().manual_seed(5)
    mixing = torch.randn(channels, channels, generator=draw, dtype=torch.float64)
    return torch.randn(count, channels, generator=draw, dtype=torch.float64) @ mixing


KEPT, LOST = torch.tensor([0, 3, 4, 7, 8]), torch.tensor([6, 1, 2, 5])


@pytest.mark.parametrize("ridge", [1e-13, 1e-3, 0.5])
def test_coefficients_are_those_of_a_regression_on_samples(ridge):
    samples = mixed_samples()
    samples = samples - samples.mean(0)
    cov = samples.T @ samples / len(samples)
    penalty = math.sqrt(ridge * float(cov.diagonal()[KEPT].mean()) * len(samples))
    inputs = torch.cat([samples[:, KEPT], penalty * torch.eye(len(KEPT)).double()])
    targets = torch.cat([samples[:, LOST], torch.zeros(len(KEPT), len(LOST)).double()])
    expected = torch.linalg.lstsq(inputs, targets).solution.T
    torch.testing.assert_close(coefficients(cov, KEPT, LOST, ridge), expected)


@pytest.mark.parametrize("ridge", [1e-30, 1e-3, math.inf])
def test_kept_channels_that_never_vary_carry_nothing(ridge):
    cov = torch.diag((torch.arange(9) == 6).double())
    assert coefficients(cov, KEPT, LOST, ridge).count_nonzero() == 0


def test_mean_and_variance_left_over_are_those_of_the_whole_kronecker_product():
    samples = mixed_samples()
    cov, mean = torch.cov(samples.T), samples.mean(0)
    draw = torch.Generator().manual_seed(6)
    weight = torch.randn(4, 9, 6, generator=draw).double()
    correlation = 0.5 ** (torch.arange(6)[:, None] - torch.arange(6)).abs().double()
    lost = torch.zeros(9, dtype=torch.bool).index_fill(0, LOST, value=True)
    left, change = rebuild(weight, Moments(mean, cov, 0.5), lost, correlation, 0.1)
    inner = cov[KEPT][:, KEPT]
    level = 0.1 * inner.diagonal().mean()
    mixing = np.linalg.solve(
        (inner + level * torch.eye(5).double()).numpy(), cov[KEPT][:, LOST].numpy()
    ).T
    expected = weight[:, KEPT].numpy() + np.einsum("olt,lk->okt", weight[:, LOST], mixing)
    np.testing.assert_allclose(left, expected, rtol=1e-10)
    whole = np.kron(cov, correlation)
    rest = np.kron(inner, correlation)
    for output in range(4):
        before, after = weight[output].flatten().numpy(), expected[output].ravel()
        ratio = (after @ rest @ after) / (before @ whole @ before)
        assert float(change.variance[output]) == pytest.approx(ratio)
        gap = (weight[output].sum(1) @ mean) - expected[output].sum(1) @ mean[KEPT].numpy()
        assert float(change.mean[output]) == pytest.approx(float(gap))


def test_where_nothing_is_lost_nothing_is_left_over():
    samples, weight = mixed_samples(), torch.randn(4, 9, 6).double()
    moments = Moments(samples.mean(0), torch.cov(samples.T), 0.5)
    none = torch.zeros(9, dtype=torch.bool)
    left, change = rebuild(weight, moments, none, torch.eye(6).double(), 1e-3)
    assert torch.equal(left, weight)
    assert torch.equal(change.mean, torch.zeros(4).double())
    assert torch.equal(change.variance, torch.ones(4).double())


def by_loops(weight, groups, moments, lost, ridge):
    """New weight (O, K, T) and mean left over, (O,): every group of every layer on its own."""
    outputs, each = weight.shape[:2]
    pixels = each * groups // len(moments.mean)
    mean = np.repeat(moments.mean.numpy(), pixels)
    cov = moments.cov.numpy()
    rows, deltas = [], []
    for output in range(outputs):
        start = output // (outputs // groups) * each
        own = range(start, start + each)
        stay = [i for i in own if i not in lost]
        row = {i: weight[output, i - start].numpy().copy() for i in stay}
        channels = sorted({i // pixels for i in stay})
        inner = cov[np.ix_(channels, channels)]
        inner = inner + ridge * np.trace(inner) / len(channels) * np.eye(len(channels))
        delta = 0.0
        for gone in (i for i in own if i in lost):
            share = np.linalg.solve(inner, cov[channels, gone // pixels])
            carried = weight[output, gone - start].numpy()
            delta += carried.sum() * mean[gone]
            for part, channel in zip(share, channels, strict=True):
                index = channel * pixels + gone % pixels
                row[index] += part * carried
                delta -= part * carried.sum() * mean[index]
        rows.append(np.stack([row[i] for i in stay]))
        deltas.append(delta)
    return np.stack(rows), np.array(deltas)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_consumer_is_what_a_loop_over_its_channels_makes_of_it(name):
    model = traced(name)
    plan = random_plan(model, 3, most=0.7)
    pruned = prune(model, plan)
    done = Analytic(ridge=0.01)(model, pruned).module
    reads, lost = propagate(model.source).reads, model.removed(plan)
    for layer in (layer for layer, side in lost if side == "in"):
        was, now = model.source.module.get_submodule(layer), done.get_submodule(layer)
        before, after = was.weight.detach().double(), now.weight.detach()
        if isinstance(was, nn.ConvTranspose2d):
            before, after = before.transpose(0, 1), after.transpose(0, 1)
        groups = getattr(was, "groups", 1)
        expected, delta = by_loops(
            before.flatten(1)[..., None] if before.dim() == 2 else before.flatten(2),
            groups, reads[layer], lost[layer, "in"], 0.01,
        )  # fmt: skip
        gone = lost.get((layer, "out"), set())
        rows = [o for o in range(len(expected)) if o not in gone]
        np.testing.assert_allclose(
            after.reshape(len(rows), *expected.shape[1:]), expected[rows], rtol=1e-3, atol=1e-5
        )
        if not pruned_norm_moved(pruned, done, layer) and was.bias is not None:
            overlap = math.prod(was.stride) if isinstance(was, nn.ConvTranspose2d) else 1
            moved = (now.bias - was.bias[rows]).detach()
            np.testing.assert_allclose(moved, delta[rows] / overlap, rtol=1e-3, atol=1e-5)


def pruned_norm_moved(pruned, done, layer):
    """Whether the bias was left alone, because a BatchNorm took the mean."""
    before, after = pruned.module.get_submodule(layer), done.get_submodule(layer)
    return before.bias is not None and torch.equal(before.bias, after.bias)


def test_batch_norm_takes_the_mean_and_a_bounded_share_of_the_variance():
    model = traced("chain")
    plan = random_plan(model, 3, most=0.7)
    pruned = prune(model, plan)
    done = Analytic()(model, pruned).module
    gone = model.removed(plan)["1.0", "out"]
    rows = [o for o in range(32) if o not in gone]
    old, new, sliced = (
        each.get_submodule("1.1") for each in (model.source.module, done, pruned.module)
    )
    share = new.running_var / old.running_var[rows]
    assert (share >= LEAST * (1 - 1e-6)).all()
    assert (share <= MOST * (1 + 1e-6)).all()
    assert not torch.equal(new.running_mean, old.running_mean[rows])
    assert torch.equal(new.weight, sliced.weight)
    assert torch.equal(new.bias, sliced.bias)
