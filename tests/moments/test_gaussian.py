"""Closed-form moments of functions of Gaussians, against sampling, scipy and known kernels."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor
from torch.nn import functional as F

from edgeprune.moments.gaussian import (
    CLOSEST,
    correlation,
    correlation_through,
    covariance,
    expand,
    relu,
)

CURVES = {
    "relu": relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "leaky_relu": F.leaky_relu,
    "hardtanh": F.hardtanh,
    "elu": F.elu,
    "softplus": F.softplus,
    "square": torch.square,
}


def random_gaussian(channels: int, seed: int, factors: int = 4) -> tuple[Tensor, Tensor]:
    """Means and a covariance with strong correlations and different scales."""
    generator = torch.Generator().manual_seed(seed)
    loading = torch.randn(channels, factors, generator=generator, dtype=torch.float64)
    own = torch.rand(channels, generator=generator, dtype=torch.float64)
    cov = loading @ loading.T / factors + torch.diag(0.3 * own)
    return torch.randn(channels, generator=generator, dtype=torch.float64), cov


def moments_through(curve, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of ``curve(n)`` for jointly Gaussian n."""
    expansion = expand(curve, mean, cov.diagonal().clamp_min(0).sqrt())
    return expansion.mean, covariance(expansion, correlation(cov))


def lowest_eigenvalue(cov: Tensor) -> float:
    return float(torch.linalg.eigvalsh(cov)[0])


@pytest.mark.parametrize("name", CURVES)
def test_moments_are_those_of_samples(name):
    mean, cov = random_gaussian(5, seed=1)
    draws = 400_000
    z = torch.randn(draws, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    samples = CURVES[name](mean + z @ torch.linalg.cholesky(cov).T)
    predicted_mean, predicted_cov = moments_through(CURVES[name], mean, cov)
    centred = samples - samples.mean(0)
    products = centred[:, :, None] * centred[:, None]
    assert ((samples.mean(0) - predicted_mean).abs() < 5 * samples.std(0) / math.sqrt(draws)).all()
    allowed = 5 * products.std(0) / math.sqrt(draws) + 1e-4 * predicted_cov.diagonal().mean()
    assert ((products.mean(0) - predicted_cov).abs() < allowed).all()


@pytest.mark.parametrize("rho", [-0.95, -0.5, 0.0, 0.3, 0.8, 0.95])
def test_relu_of_centred_channels_has_the_arc_cosine_kernel(rho):
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    _, made = moments_through(relu, torch.zeros(2, dtype=torch.float64), cov)
    kernel = (math.sqrt(1 - rho**2) + rho * (math.pi - math.acos(rho))) / (2 * math.pi)
    assert float(made[0, 1]) == pytest.approx(kernel - 1 / (2 * math.pi), abs=5e-4)


@pytest.mark.parametrize("curve", [relu, F.relu6, F.hardswish], ids=["relu", "relu6", "hardswish"])
@pytest.mark.parametrize(("mean", "std"), [(0.4, 1.3), (-2.0, 0.7), (5.0, 2.0)])
def test_mean_and_variance_equal_scipys_integrals(curve, mean, std):
    def power(exponent: int) -> float:
        def integrand(n: float) -> float:
            value = float(curve(torch.tensor([[n]], dtype=torch.float64)))
            return value**exponent * float(stats.norm.pdf(n, mean, std))

        points = [each for each in (-3, 0, 3, 6) if abs(each - mean) < 9 * std]
        return integrate.quad(integrand, mean - 9 * std, mean + 9 * std, points=points)[0]

    expansion = expand(curve, torch.tensor([mean]).double(), torch.tensor([std]).double())
    assert float(expansion.mean) == pytest.approx(power(1), abs=2e-4)
    assert float(expansion.variance) == pytest.approx(power(2) - power(1) ** 2, abs=2e-3)


def test_closed_form_and_integration_agree():
    mean, cov = random_gaussian(6, seed=3)
    closed = moments_through(relu, mean, cov)
    integrated = moments_through(lambda values: values.clamp_min(0), mean, cov)
    for one, other in zip(closed, integrated, strict=True):
        torch.testing.assert_close(one, other, atol=3e-4, rtol=0)


def test_a_straight_line_keeps_covariances():
    mean, cov = random_gaussian(6, seed=4)
    made_mean, made_cov = moments_through(lambda values: 3 - 2 * values, mean, cov)
    torch.testing.assert_close(made_mean, 3 - 2 * mean)
    torch.testing.assert_close(made_cov, 4 * cov)


@pytest.mark.parametrize("name", CURVES)
def test_channels_without_variance_become_constants(name):
    mean, cov = random_gaussian(3, seed=5)
    cov[1] = cov[:, 1] = 0
    made_mean, made_cov = moments_through(CURVES[name], mean, cov)
    torch.testing.assert_close(made_mean[1], CURVES[name](mean[1]))
    assert (made_cov[1].abs() < 1e-12).all()
    assert made_cov.isfinite().all()


def test_means_many_deviations_away_give_the_line_or_nothing():
    mean = torch.tensor([1e6, -1e6, 1e6], dtype=torch.float64)
    _, cov = random_gaussian(3, seed=6)
    made_mean, made_cov = moments_through(relu, mean, cov * 1e-6)
    torch.testing.assert_close(made_mean, mean.clamp_min(0))
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(made_cov[kept][:, kept], cov[kept][:, kept] * 1e-6)
    assert (made_cov[1] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000), st.sampled_from(sorted(CURVES)))
def test_covariances_stay_positive_semidefinite(channels, seed, name):
    mean, cov = random_gaussian(channels, seed, factors=2)
    _, made = moments_through(CURVES[name], mean, cov)
    torch.testing.assert_close(made, made.T)
    assert lowest_eigenvalue(made) > -1e-6 * float(made.diagonal().mean())


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(7)), st.integers(0, 10_000), st.sampled_from(sorted(CURVES)))
def test_permuted_channels_have_permuted_moments(permutation, seed, name):
    order = torch.tensor(permutation)
    mean, cov = random_gaussian(7, seed)
    made_mean, made_cov = moments_through(CURVES[name], mean, cov)
    of_permuted = moments_through(CURVES[name], mean[order], cov[order][:, order])
    torch.testing.assert_close(of_permuted[0], made_mean[order])
    torch.testing.assert_close(of_permuted[1], made_cov[order][:, order])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_negative_gain_turns_means_and_correlations_around(seed):
    mean, cov = random_gaussian(5, seed)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    turned = moments_through(relu, signs * mean, cov * signs[:, None] * signs)
    gained = moments_through(lambda v: (signs[:, None] * v).relu(), mean, cov)
    for one, other in zip(turned, gained, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_equal_channels_leave_a_positive_definite_matrix():
    mean, cov = random_gaussian(4, seed=7)
    twice = torch.tensor([0, 1, 1, 2, 3, 0])
    correlations = correlation(cov[twice][:, twice])
    assert float(correlations.fill_diagonal_(0).abs().max()) == pytest.approx(CLOSEST)
    made = moments_through(relu, mean[twice], cov[twice][:, twice])[1]
    assert lowest_eigenvalue(made) > 0


@pytest.mark.parametrize("decay", [0.0, 0.4, 0.9])
def test_correlation_of_a_channel_with_its_neighbour_goes_through_the_curve_too(decay):
    expansion = expand(relu, torch.zeros(3).double(), torch.ones(3).double())
    pair = torch.tensor([[1.0, decay], [decay, 1.0]], dtype=torch.float64)
    made = moments_through(relu, torch.zeros(2).double(), pair)[1]
    expected = float(made[0, 1] / made[0, 0])
    assert correlation_through(expansion, decay) == pytest.approx(expected)
