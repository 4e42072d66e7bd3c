"""Gaussian channels through element-wise functions: means and covariances in closed form.

A function f of n = m + s z, z standard normal, expands in Hermite polynomials He_k:

    f(n) = Σ_k c_k/k! He_k(z),   c_k = E[f(m + s z) He_k(z)]

For jointly Gaussian n_i and n_j with correlation ρ only equal orders correlate, so that

    E f(n_i) = c_0,   Cov(f(n_i), f(n_j)) = Σ_{k≥1} ρ^k/k! · c_k,i c_k,j

The series is cut off after ``ORDERS`` terms; the variances are exact, so the diagonal holds the
rest of the series. Every term is positive semidefinite (Schur), and so is the sum. For ReLU the
coefficients are known: c_1 = s Φ(α), c_k = ± s φ(α) He_{k−2}(α), α = m/s, where the signs cancel in
products. For every other function they are integrated numerically, by the trapezoid rule: on
Gaussian tails it converges as fast as Gauss–Hermite nodes do for smooth functions, and 401 nodes
resolve the kinks of ReLU6 or hard-swish to 1e-4, which 64 Gauss–Hermite nodes, 0.4 s apart, do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Curve: TypeAlias = Callable[[Tensor], Tensor]
"""An element-wise function of (C, Z) values, each row one channel; float64 in and out."""

ORDERS = 14
NODES = 401
REACH = 8.0
CLOSEST = 0.995
ENTRIES = 32_000  # PyTorch shares larger element-wise work out among threads, which costs more


def relu(values: Tensor) -> Tensor:
    """The curve whose expansion is known in closed form."""
    return values.relu()


@dataclass(frozen=True, slots=True)
class Expansion:
    """A function of Gaussian channels in normalised Hermite polynomials.

    Attributes:
        mean: c_0, (C,).
        variance: Exact variances, (C,); at least the sum of the squared coefficients.
        coefficients: c_k/√k! for k = 1…ORDERS, (C, ORDERS).
    """

    mean: Tensor
    variance: Tensor
    coefficients: Tensor


def expand(curve: Curve, mean: Tensor, std: Tensor) -> Expansion:
    """Expand a function of Gaussian channels.

    Args:
        curve: Element-wise function.
        mean: Mean of each channel, (C,), float64.
        std: Standard deviation of each channel, (C,), float64; may be 0.

    Returns:
        The expansion.
    """
    return _expand_relu(mean, std) if curve is relu else _integrate(curve, mean, std)


def covariance(expansion: Expansion, correlations: Tensor) -> Tensor:
    """Covariance of the function of correlated channels.

    Args:
        expansion: The function of each channel, C of them.
        correlations: Correlations of the Gaussian channels, (C, C).

    Returns:
        Covariance, (C, C); positive semidefinite where the correlations are.
    """
    total = torch.zeros_like(correlations)
    columns = expansion.coefficients.T.flip(0).contiguous()
    # Horner, ρ(a₁a₁ᵀ + ρ(a₂a₂ᵀ + …)), on so few rows at a time that they stay in the cache.
    step = max(1, ENTRIES // max(1, len(total)))
    for start in range(0, len(total), step):
        rows = slice(start, start + step)
        for terms in columns:
            total[rows].addr_(terms[rows], terms).mul_(correlations[rows])
    total.diagonal().copy_(expansion.variance)
    return total


def correlation_through(expansion: Expansion, correlation: float) -> float:
    """Correlation of a channel with itself at another position, after the function.

    Args:
        expansion: The function of each channel.
        correlation: Correlation of a channel with itself at another position, before the function.

    Returns:
        Mean over the channels, weighted by their variance.
    """
    powers = correlation ** torch.arange(1, ORDERS + 1, dtype=torch.float64)
    shared = expansion.coefficients.square().sum(0).cpu() @ powers
    return float(shared / expansion.variance.sum().clamp_min(1e-300))


def correlation(cov: Tensor, closest: float = CLOSEST) -> Tensor:
    """Correlations of a covariance, with 0 for channels without variance.

    Where two channels are closer than ``closest``, all correlations shrink by the same factor:
    unlike a clamp of single entries, that keeps the matrix positive semidefinite.

    Args:
        cov: Covariance, (C, C).
        closest: Largest correlation of two channels; the series converges slowly beyond.

    Returns:
        Correlations, (C, C), ones on the diagonal.
    """
    std = cov.diagonal().clamp_min(0).sqrt()
    inverse = torch.where(std > 1e-150, 1 / std, 0.0)
    result = (cov * inverse[:, None]).mul_(inverse)
    result.fill_diagonal_(0.0)
    lowest, highest = result.aminmax()
    largest = float(torch.maximum(-lowest, highest))
    if largest > closest:
        result *= closest / largest
    return result.fill_diagonal_(1.0)


def _expand_relu(mean: Tensor, std: Tensor) -> Expansion:
    """Mean m Φ(α) + s φ(α), and the series of the module's docstring."""
    alpha = (mean / std.clamp_min(1e-150)).clamp(-40, 40)  # beyond, φ(α) is 0 and α^12 no trouble
    density = torch.exp(-alpha.square() / 2) / math.sqrt(2 * math.pi)
    probability = torch.special.ndtr(alpha)
    lower = _hermite(alpha, ORDERS - 2)
    orders = torch.arange(2, ORDERS + 1, dtype=mean.dtype, device=mean.device)
    higher = (std * density)[:, None] * lower / (orders * (orders - 1)).sqrt()
    coefficients = torch.cat([(std * probability)[:, None], higher], 1)
    first = mean * probability + std * density
    second = (mean.square() + std.square()) * probability + mean * std * density
    return _expansion(first, second - first.square(), coefficients)


def _integrate(curve: Curve, mean: Tensor, std: Tensor) -> Expansion:
    """Coefficients of any function, by the trapezoid rule."""
    nodes = torch.linspace(-REACH, REACH, NODES, dtype=mean.dtype, device=mean.device)
    weights = torch.softmax(-nodes.square() / 2, 0)
    values = curve(mean[:, None] + std[:, None] * nodes)
    first = values @ weights
    centred = (values - first[:, None]) * weights
    coefficients = centred @ _hermite(nodes, ORDERS)[:, 1:]
    return _expansion(first, ((values - first[:, None]) * centred).sum(1), coefficients)


def _expansion(mean: Tensor, variance: Tensor, coefficients: Tensor) -> Expansion:
    """Make an expansion; a variance is at least the sum of its series, in spite of rounding."""
    return Expansion(mean, torch.maximum(variance, coefficients.square().sum(1)), coefficients)


def _hermite(z: Tensor, highest: int) -> Tensor:
    """He_k(z)/√k! for k = 0…highest, (Z, highest + 1)."""
    polynomials = [torch.ones_like(z), z]
    for k in range(1, highest):
        following = (z * polynomials[k] - math.sqrt(k) * polynomials[k - 1]) / math.sqrt(k + 1)
        polynomials.append(following)
    return torch.stack(polynomials[: highest + 1], 1)
