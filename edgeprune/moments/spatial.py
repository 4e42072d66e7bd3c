"""The separable model of a feature map, and its moments after filters and pooling.

Two elements of a map, channels i and j, positions a and b, have the covariance

    C_ij · R_ab,   R_ab = τ^‖a−b‖

with the channels' covariance C and one decay τ for all channels; ‖a−b‖ is the distance in pixels.
A filter w_o of taps a has Cov(z_o, z_p) = Σ_ab R_ab w_oaᵀ C w_pb. With the eigenvectors q_k
and eigenvalues λ_k of R that is Σ_k V_k C V_kᵀ, V_k = √λ_k Σ_a q_ka w_a: the Kronecker product
C ⊗ R is never formed. Zero padding is ignored: borders read the same moments as the interior.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

DECAYS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

LARGE = 10**8
"""Multiply-accumulates beyond which products run in single precision: four times as fast on a CPU,
with errors of 1e-6 of a standard deviation; sums of products stay in double."""

AT_ONCE = 2**22
"""Number of filter taps in one piece of work: 32 MiB in double precision."""


def positions(extent: Sequence[int], spacing: Sequence[float]) -> Tensor:
    """Positions of the taps of a window, row by row.

    Args:
        extent: Number of taps along each dimension.
        spacing: Pixels between neighbouring taps, along each dimension.

    Returns:
        Positions in pixels, (T, dimensions), float64.
    """
    grid = list(itertools.product(*map(range, extent)))
    scale = torch.tensor(tuple(spacing), dtype=torch.float64)
    return torch.tensor(grid, dtype=torch.float64).reshape(len(grid), len(scale)) * scale


def decayed(taps: Tensor, decay: float, shift: Tensor | float = 0.0) -> Tensor:
    """R_ab between the taps of a window and those of the same window, perhaps shifted.

    Args:
        taps: Positions in pixels, (T, dimensions).
        decay: τ, dimensionless.
        shift: Pixels along each dimension, (dimensions,); 0 for none.

    Returns:
        R, (T, T), float64.
    """
    distance = (taps[:, None] - taps + shift).square().sum(-1).sqrt()
    return torch.as_tensor(decay, dtype=torch.float64) ** distance


def tap_correlation(layer: nn.Module, pixels: int, decay: float) -> Tensor:
    """R between the taps of a layer; the identity between the pixels of a flattened map.

    Args:
        layer: A convolution, or a linear layer.
        pixels: Number of the layer's inputs that are one channel; more than one after a flatten.
        decay: τ of the map that the layer reads.

    Returns:
        R, (T, T), float64.
    """
    if pixels > 1 or not isinstance(layer, nn.modules.conv._ConvNd):
        return torch.eye(pixels, dtype=torch.float64)
    return decayed(positions(layer.kernel_size, layer.dilation), decay)


def filtered(cov: Tensor, weight: Tensor, correlation: Tensor, groups: int = 1) -> Tensor:
    """Covariance of a map after filters.

    Args:
        cov: Covariance of the channels read, (C_in, C_in).
        weight: Filters, (C_out, C_in/groups, T), of any precision.
        correlation: R between the taps, (T, T).
        groups: Number of groups of channels.

    Returns:
        Covariance of the filtered channels, (C_out, C_out).
    """
    made, read, taps = weight.shape
    correlation = correlation.to(cov.device)
    if read == 1:
        return _depthwise(cov, weight[:, 0].double(), correlation)
    precision = _precision(taps * made * read * (read + made))
    strengths, directions = torch.linalg.eigh(correlation)
    root = (directions * strengths.clamp_min(0).sqrt()).to(precision)
    total, cov = cov.new_zeros(made, made), cov.to(precision)
    for few in torch.split(root, max(1, AT_ONCE // (made * read)), dim=1):
        for mixed in (weight.to(precision) @ few).unbind(2):
            if groups == 1:
                _add_lower(total, mixed @ cov, mixed)
            else:
                total += _sandwiched(by_group(mixed, groups), cov)
    return _mirrored(total) if groups == 1 else total


def _precision(products: int) -> torch.dtype:
    """Floating-point type for a product of so many multiply-accumulates."""
    return torch.float32 if products > LARGE else torch.float64


def _depthwise(cov: Tensor, rows: Tensor, correlation: Tensor) -> Tensor:
    """Covariance C_ij w_iᵀ R w_j of filters (C_out, T) of one channel each, (C_out, C_out)."""
    made: Tensor = (rows @ correlation) @ rows.T
    each = len(rows) // len(cov)
    return made.mul_(cov.repeat_interleave(each, 0).repeat_interleave(each, 1) if each > 1 else cov)


def _add_lower(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left rightᵀ, which is symmetric, below the diagonal and in the blocks along it."""
    for rows in _stripes(len(total)):
        total[rows, : rows.stop] += left[rows] @ right[: rows.stop].T


def _mirrored(total: Tensor) -> Tensor:
    """The symmetric matrix, from the part that ``_add_lower`` filled."""
    for rows in _stripes(len(total)):
        total[rows, rows.stop :] = total[rows.stop :, rows].T
    return total


def _stripes(size: int) -> list[slice]:
    """Rows in up to eight stripes; smaller products would be no faster."""
    step = max(256, -(-size // 8))
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def by_group(rows: Tensor, groups: int) -> Tensor:
    """Rows of each group under one index, (groups, C_out/groups, …)."""
    return rows.reshape(groups, -1, *rows.shape[1:])


def _sandwiched(mixed: Tensor, cov: Tensor) -> Tensor:
    """V C Vᵀ for a V that is block-diagonal, given as its blocks (groups, O, I)."""
    groups, made, read = mixed.shape
    right = mixed @ cov.reshape(groups, read, -1)
    right = right.reshape(groups * made, groups, read).transpose(0, 1)
    return (right @ mixed.mT).transpose(0, 1).reshape(groups * made, groups * made)


def tap_covariance(cov: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    """w_oaᵀ C w_ob, the share of each pair of taps in a filter's variance, without R.

    Args:
        cov: Covariance of the channels read, (C_in, C_in).
        weight: Filters, (C_out, C_in/groups, T), of any precision.
        groups: Number of groups of channels.

    Returns:
        Covariance of taps, (C_out, T, T).
    """
    made, read, taps = weight.shape
    precision = _precision(made * taps * read * read)
    blocks = cov[None]
    if groups > 1:
        own = torch.arange(len(cov), device=cov.device).reshape(groups, read)
        blocks = cov[own[:, :, None], own[:, None, :]]
    blocks, found = blocks.to(precision), []
    step = max(1, AT_ONCE // (groups * read * taps))
    for some in torch.split(by_group(weight, groups), step, dim=1):
        filters = some.to(precision)
        mixed = filters.mT.flatten(1, 2) @ blocks
        found.append((mixed.reshape(filters.mT.shape) @ filters).to(cov.dtype))
    return torch.cat(found, 1).flatten(0, 1)


def fit_decay(pairs: Tensor, taps: Tensor, stored: Tensor, fallback: float) -> float:
    """The τ under which filters have the variances that a BatchNorm has stored.

    The best τ is the one for which the difference of predicted and stored logarithms of variance
    is closest to a constant.

    Args:
        pairs: Result of ``tap_covariance``, (C_out, T, T).
        taps: Positions of the taps in pixels, (T, dimensions).
        stored: Stored variances, (C_out,).
        fallback: τ where the variances hold no information: a single tap, a single channel.

    Returns:
        One of ``DECAYS``, or the fallback.
    """
    alive = stored > 1e-8 * stored.max()
    if len(taps) < 2 or int(alive.sum()) < 2:
        return fallback
    weights = torch.stack([decayed(taps, decay) for decay in DECAYS]).to(pairs.device)
    predicted = torch.einsum("oab,dab->do", pairs[alive], weights)
    mismatch = (predicted.clamp_min(1e-30).log() - stored[alive].log()).var(1)
    return DECAYS[int(mismatch.argmin())]


def filtered_decay(pairs: Tensor, taps: Tensor, decay: float, stride: Sequence[int]) -> float:
    """τ of a map after filters: a channel's correlation with itself one output away.

    Args:
        pairs: Result of ``tap_covariance``, (C_out, T, T).
        taps: Positions of the taps in pixels, (T, dimensions).
        decay: τ of the map before.
        stride: Pixels from one output to the next, along each dimension.

    Returns:
        Mean over the dimensions and over all channels with equal weight, as after a BatchNorm;
        between 0 and 0.98.
    """
    shifts = torch.diag(torch.tensor(tuple(stride), dtype=torch.float64))
    moved = torch.stack([decayed(taps, decay, shift) for shift in shifts]).mean(0)
    weights = torch.stack([moved, decayed(taps, decay)]).to(pairs.device)
    covariance, variance = torch.einsum("oab,kab->ko", pairs, weights)
    alive = variance > 1e-8 * variance.max()
    return _plausible(float((covariance[alive] / variance[alive]).sum() / max(1, alive.sum())))


def window_correlation(window: Sequence[int], decay: float, shift: int = 0) -> float:
    """Mean of R between all pixels of a window and all pixels of one shifted sideways.

    Without a shift, it is the share of a variance that remains after averaging over the window.

    Args:
        window: Pixels along each dimension.
        decay: τ of the map.
        shift: Pixels along the last dimension.

    Returns:
        Mean correlation, 0 to 1.
    """
    squared, share = torch.zeros(()).double(), torch.ones(()).double()
    for dimension, size in enumerate(window):
        lags = torch.arange(1 - size, size, dtype=torch.float64)
        moved = lags + shift if dimension == len(window) - 1 else lags
        squared = squared[..., None] + moved.square()
        share = share[..., None] * (size - lags.abs()) / size**2
    return float((share * torch.as_tensor(decay).double() ** squared.sqrt()).sum())


def window_decay(window: Sequence[int], decay: float, stride: int) -> float:
    """τ of a map averaged over windows.

    Args:
        window: Pixels along each dimension.
        decay: τ of the map.
        stride: Pixels from one window to the next.

    Returns:
        Correlation of neighbouring averages, 0 to 0.98.
    """
    return _plausible(window_correlation(window, decay, stride) / window_correlation(window, decay))


def largest_of(window: Sequence[int], decay: float) -> tuple[float, float]:
    """Moments of the largest pixel in a window of standard Gaussian ones.

    All pairs are taken to have the mean correlation r of the window: the pixels are then
    √r z_0 + √(1−r) z_a with independent z, and the largest of the z_a has known moments.

    Args:
        window: Pixels along each dimension.
        decay: τ of the map.

    Returns:
        Mean, in standard deviations of one pixel, and variance, in variances of one pixel.
    """
    count = math.prod(window)
    if count == 1:
        return 0.0, 1.0
    common = (count * window_correlation(window, decay) - 1) / (count - 1)
    z = torch.linspace(-10, 10, 2001, dtype=torch.float64)
    weights = torch.softmax(-z.square() / 2 + (count - 1) * torch.special.log_ndtr(z), 0)
    mean = float(weights @ z)
    variance = float(weights @ (z - mean).square())
    return math.sqrt(1 - common) * mean, common + (1 - common) * variance


def _plausible(decay: float) -> float:
    return min(max(decay, 0.0), 0.98)
