"""Least squares: the fit is the textbook's, and patches are what the layer really sees."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.recovery.layerwise import least_squares
from edgeprune.recovery.layerwise.least_squares import can_refit, refit, ridge_towards, samples


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the regression -------------------------------------------------------------------------------


def by_normal_equations(prior, inputs, targets, ridge):
    """One group at a time, by a general solver."""
    found = []
    for w, a, z in zip(prior.numpy(), inputs.numpy(), targets.numpy(), strict=True):
        level = ridge * np.mean(a**2)
        matrix = a.T @ a / len(a) + level * np.eye(a.shape[1])
        found.append(np.linalg.solve(matrix, a.T @ z / len(a) + level * w.T).T)
    return np.stack(found)


@pytest.mark.parametrize("count", [4, 9, 10, 40])  # fewer, as many and more samples than inputs
@pytest.mark.parametrize("ridge", [1e-3, 1.0, 30.0])
def test_the_fit_solves_the_normal_equations(count, ridge):
    prior, inputs, targets = noise(2, 5, 9), noise(2, count, 9, seed=1), noise(2, count, 5, seed=2)
    inputs[1] *= 7  # each group has its own level
    found = ridge_towards(prior, inputs, targets, ridge)
    expected = by_normal_equations(prior, inputs, targets, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("count", [4, 40])
def test_a_large_ridge_keeps_the_prior_and_a_small_one_the_regression(count):
    prior, inputs, targets = noise(1, 5, 9), noise(1, count, 9, seed=1), noise(1, count, 5, seed=2)
    torch.testing.assert_close(ridge_towards(prior, inputs, targets, 1e12), prior)
    # of many solutions the one nearest to the prior, as lstsq gives for the correction
    rest = (targets - inputs @ prior.mT)[0]
    step = torch.linalg.lstsq(inputs[0], rest, driver="gelsd").solution.T
    found = ridge_towards(prior, inputs, targets, 1e-12)
    torch.testing.assert_close(found[0], prior[0] + step, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("count", [4, 40])
@pytest.mark.parametrize("silent", [[3], list(range(9))])
def test_inputs_that_are_always_zero_leave_the_prior(count, silent):
    prior, inputs, targets = noise(1, 5, 9), noise(1, count, 9, seed=1), noise(1, count, 5, seed=2)
    inputs[..., silent] = 0
    found = ridge_towards(prior, inputs, targets, 1e-2)
    torch.testing.assert_close(found[..., silent], prior[..., silent])
    assert found.isfinite().all()


# --- the layers -----------------------------------------------------------------------------------

LAYERS = {
    "dense": (nn.Conv2d(6, 4, 3), (6, 9, 8)),
    "grouped": (nn.Conv2d(6, 9, 3, groups=3, padding=1), (6, 7, 7)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6, padding=1), (6, 7, 7)),
    "depth multiplier": (nn.Conv2d(6, 12, 3, groups=6), (6, 7, 7)),
    "dilated": (nn.Conv2d(6, 4, (3, 2), dilation=(2, 3), padding=2), (6, 9, 8)),
    "strided": (nn.Conv2d(6, 4, 3, stride=(2, 3), padding=(1, 2)), (6, 9, 8)),
    "same": (nn.Conv2d(6, 4, (3, 5), dilation=(2, 1), padding="same"), (6, 7, 9)),
    "reflected": (nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"), (6, 7, 7)),
    "circular": (nn.Conv2d(6, 4, 3, padding=(0, 2), padding_mode="circular"), (6, 7, 7)),
    "one tap": (nn.Conv2d(6, 4, 1, stride=2), (6, 7, 7)),
    "one dimension": (nn.Conv1d(6, 4, 5, stride=2, padding=3, groups=2), (6, 31)),
    "one dimension, same": (nn.Conv1d(6, 4, 4, dilation=2, padding="same"), (6, 31)),
    "linear": (nn.Linear(6, 4), (6,)),
    "linear on a sequence": (nn.Linear(6, 4), (5, 6)),
    "linear on a map": (nn.Linear(6, 4), (5, 3, 6)),
}


@torch.no_grad()
def exercise(name, *, bias, normed=False, ridge=1e-12, images=40):
    """Targets of a layer with other weights, and how far a refitted copy is from them."""
    made, shape = LAYERS[name]
    if name == "linear":
        images *= 4
    draw = torch.Generator().manual_seed(3)
    wanted = copy.deepcopy(made)
    for parameter in wanted.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw))
    layer = copy.deepcopy(made)
    if not bias:
        layer.bias = None
    if not bias and not normed:
        wanted.bias = None
    # uncentred inputs, so that a wrong mean shows
    inputs = torch.randn(images, *shape, generator=draw) + 2
    targets = wanted(inputs)
    refit(layer, inputs, targets, ridge=ridge, normed=normed, generator=draw)
    return layer, wanted, layer(inputs) - targets


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_targets_that_are_linear_in_the_inputs_are_met_exactly(name, bias):
    layer, wanted, gap = exercise(name, bias=bias)
    torch.testing.assert_close(layer.weight, wanted.weight, rtol=1e-3, atol=1e-4)
    assert float(gap.abs().max()) < 1e-3


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_norm_behind_takes_the_mean(name):
    layer, wanted, gap = exercise(name, bias=False, normed=True)
    torch.testing.assert_close(layer.weight, wanted.weight, rtol=1e-3, atol=1e-4)
    axis = -1 if isinstance(layer, nn.Linear) else 1
    shift = gap.movedim(axis, 0).flatten(1)
    torch.testing.assert_close(shift, -wanted.bias[:, None].expand_as(shift), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_an_endless_ridge_moves_nothing_but_the_mean(name):
    layer, _, gap = exercise(name, bias=True, ridge=1e12)
    torch.testing.assert_close(layer.weight, LAYERS[name][0].weight)
    axis = -1 if isinstance(layer, nn.Linear) else 1
    mean = gap.movedim(axis, 0).flatten(1).mean(1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_patches_belong_to_their_targets(name, monkeypatch):
    """Samples of a few positions, random in each chunk of images."""
    monkeypatch.setattr(least_squares, "LEAST_SAMPLES", 30)
    monkeypatch.setattr(least_squares, "SAMPLES_PER_INPUT", 0)
    monkeypatch.setattr(least_squares, "CHUNK", 10000)
    layer, shape = LAYERS[name]
    inputs = torch.randn(12, *shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        targets = layer(inputs)
        rows, wanted = samples(layer, inputs, targets, torch.Generator().manual_seed(5))
        groups = getattr(layer, "groups", 1)
        weight = layer.weight.double().reshape(groups, wanted.shape[2], -1)
        made = rows @ weight.mT + layer.bias.double().reshape(groups, 1, -1)
    assert min(30, targets[:, 0].numel()) <= rows.shape[1] == wanted.shape[1] <= 42
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-5)


def test_positions_follow_the_generator():
    layer, inputs = nn.Conv2d(2, 3, 1), torch.randn(2, 2, 64, 64)
    targets = layer(inputs).detach()

    def at(seed):
        return samples(layer, inputs, targets, torch.Generator().manual_seed(seed))[0]

    assert torch.equal(at(1), at(1))
    assert not torch.equal(at(1), at(2))
    assert at(1).shape == (1, 4096, 2)


def test_what_can_be_refitted():
    normalised = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 1))
    assert all(can_refit(layer) for layer, _ in LAYERS.values())
    for other in (nn.Conv3d(2, 2, 1), nn.ConvTranspose2d(2, 2, 1), nn.BatchNorm2d(2), normalised):
        assert not can_refit(other)
