"""Moments through normalisation layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.moments.feature import FeatureMoments, Moments
from edgeprune.moments.gaussian import correlation

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.moments.calls import Call

UNKNOWN_DECAY = 0.5
"""τ after a BatchNorm whose input is unknown: the middle of the values in real networks."""

MOST_FEATURES = 8192
"""Largest number of channels of unknown input; more are a flattened map, not channels."""


def batch_norm_reads(call: Call) -> Moments | None:
    """Moments that a BatchNorm reads: its stored mean and variance, predicted correlations."""
    feature, mean, var = call.channels(), call.constant(3), call.constant(4)
    if call.argument(5) or feature is None or mean is None or var is None:
        return None
    read, std = feature.moments, var.double().sqrt()
    cov = correlation(read.cov, closest=1.0).mul_(std[:, None]).mul_(std)
    return Moments(mean.double(), cov, read.decay)


def batch_norm(call: Call) -> FeatureMoments | None:
    """Mean β and standard deviation |γ| √(var/(var+ε)), exactly, for any input.

    The correlations are those of the input, with the signs of γ; none where the input is unknown
    or where each pixel of a flattened map has statistics of its own.
    """
    mean, var, eps = call.constant(3), call.constant(4), call.argument(7)
    if call.argument(5) or mean is None or var is None or len(call.shape) < 2:
        return None
    read = call.read
    if read is None:
        if len(mean) > MOST_FEATURES:
            return None
        read = Moments(mean.double(), torch.diag(var.double()), UNKNOWN_DECAY)
    gain = _or(call.constant(1), torch.ones_like(mean)) / (var.double() + eps).sqrt()
    moments = Moments(read.mean - mean.double(), read.cov, read.decay).scaled(gain)
    shift = _or(call.constant(2), torch.zeros_like(mean))
    return FeatureMoments(Moments(moments.mean + shift, moments.cov, moments.decay))


def layer_norm(call: Call) -> FeatureMoments | None:
    """LayerNorm over channels that lie along the last dimension.

    Each position's mean over channels is subtracted; its standard deviation over channels is
    replaced by the root mean square one.
    """
    feature = call.feature()
    last = len(call.shape) - 1
    if feature is None or feature.labels is not None or feature.grid or feature.axis != last:
        return None
    if len(call.argument(1)) != 1:
        return None
    moments = feature.moments
    mean = moments.mean - moments.mean.mean()
    rows = moments.cov - moments.cov.mean(0)
    cov = rows - rows.mean(1, keepdim=True)
    std = (cov.diagonal().mean() + mean.square().mean() + call.argument(4)).sqrt()
    scaled = Moments(mean, cov, moments.decay).scaled(1 / std)
    return FeatureMoments(_affine(call, scaled, (2, 3)), axis=feature.axis)


def group_norm(call: Call) -> FeatureMoments | None:
    """GroupNorm: each group's mean and variance over channels and positions as constants."""
    feature = call.channels()
    if feature is None:
        return None
    moments = feature.moments
    groups, eps = call.argument(6), call.argument(7)
    means = moments.mean.reshape(groups, -1)
    power = moments.variance.reshape(groups, -1) + (means - means.mean(1, keepdim=True)).square()
    size = means.shape[1]
    std = (power.mean(1) + eps).sqrt().repeat_interleave(size)
    centre = means.mean(1).repeat_interleave(size)
    centred = Moments(moments.mean - centre, moments.cov, moments.decay)
    return FeatureMoments(_affine(call, centred.scaled(1 / std), (1, 2)))


def _affine(call: Call, moments: Moments, positions: tuple[int, int]) -> Moments:
    weight, bias = (call.constant(position) for position in positions)
    scaled = moments if weight is None else moments.scaled(weight.double())
    return Moments(
        scaled.mean if bias is None else scaled.mean + bias.double(), scaled.cov, scaled.decay
    )


def _or(constant: Tensor | None, default: Tensor) -> Tensor:
    return (default if constant is None else constant).double()
