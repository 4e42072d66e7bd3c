"""Moments through convolutions and linear layers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from edgeprune.moments import spatial
from edgeprune.moments.feature import FeatureMoments, Moments

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.moments.calls import Call


def convolution_reads(call: Call) -> Moments | None:
    """Moments that a convolution reads; τ fitted to the BatchNorm after it, if there is one."""
    feature, weight = call.channels(), call.constant(1)
    if feature is None or weight is None:
        return None
    read = feature.moments
    if call.stored_var is None or call.argument(6) or math.prod(weight.shape[2:]) == 1:
        return read
    taps = spatial.positions(weight.shape[2:], call.argument(5))
    pairs = spatial.tap_covariance(read.cov, weight.flatten(2), call.argument(8))
    return replace(read, decay=spatial.fit_decay(pairs, taps, call.stored_var, read.decay))


def convolution(call: Call) -> FeatureMoments | None:
    """Mean Σ_a w_a m + bias and covariance of ``spatial.filtered``; τ_out follows from the model.

    Zero padding is ignored: means near the border are those of the interior.
    """
    weight = call.constant(1)
    if call.read is None or weight is None:
        return None
    if call.argument(6):
        return _transposed(call, call.read, weight)
    groups, stride = call.argument(8), call.argument(3)
    taps = spatial.positions(weight.shape[2:], call.argument(5))
    filters = weight.flatten(2)
    made = _filtered(call.read, filters, taps, groups)
    decay = call.read.decay ** stride[-1]
    if len(taps) > 1:
        pairs = spatial.tap_covariance(call.read.cov, filters, groups)
        decay = spatial.filtered_decay(pairs, taps, call.read.decay, stride)
    return FeatureMoments(_with_bias(replace(made, decay=decay), call.constant(2)))


def _transposed(call: Call, read: Moments, weight: Tensor) -> FeatureMoments:
    """Each output position reads the taps of its phase only; moments are those over all phases.

    Phases differ in their means: over a map that difference is variance too. Dilation is ignored.
    """
    stride, groups = call.argument(3), call.argument(8)
    filters = spatial.by_group(weight, groups).transpose(1, 2).flatten(0, 1)
    phases = []
    for start in itertools.product(*map(range, stride)):
        steps = tuple(slice(first, None, step) for first, step in zip(start, stride, strict=True))
        of_phase = filters[(slice(None), slice(None), *steps)]
        taps = spatial.positions(of_phase.shape[2:], [1.0] * len(stride))
        phases.append(_filtered(read, of_phase.flatten(2), taps, groups))
    means = torch.stack([phase.mean for phase in phases])
    spread = torch.cov(means.T, correction=0).reshape(len(filters), len(filters))
    within = sum(phase.cov for phase in phases) / len(phases)
    made = Moments(means.mean(0), within + spread, read.decay ** (1 / max(stride)))
    return FeatureMoments(_with_bias(made, call.constant(2)))


def addmm_reads(call: Call) -> Moments | None:
    """Moments that a linear layer with a bias reads."""
    return _linear_reads(call, 1)


def mm_reads(call: Call) -> Moments | None:
    """Moments that a linear layer without a bias reads."""
    return _linear_reads(call, 0)


def addmm(call: Call) -> FeatureMoments | None:
    """Bias + x Wᵀ, for a bias and a weight that are constants."""
    if call.argument(3) != 1 or call.argument(4) != 1:
        return None
    made = _linear(call, 1)
    return made and replace(made, origin=_with_bias(made.origin, call.constant(0)))


def mm(call: Call) -> FeatureMoments | None:
    """X Wᵀ, for a weight that is a constant."""
    return _linear(call, 0)


def _linear_reads(call: Call, position: int) -> Moments | None:
    feature, weight = call.feature(position), call.constant(position + 1)
    if feature is None or weight is None or feature.axis != 1 or feature.labels is not None:
        return None
    return feature.moments


def _linear(call: Call, position: int) -> FeatureMoments | None:
    """A 1×1 convolution; after a flatten, a convolution with a kernel as large as the map."""
    feature, weight = call.feature(position), call.constant(position + 1)
    if feature is None or weight is None or call.read is None:
        return None
    extent = feature.grid or (1,)
    filters = weight.T.reshape(weight.shape[1], len(call.read.mean), -1)
    taps = spatial.positions(extent, [1.0] * len(extent))
    made = _filtered(call.read, filters, taps, groups=1)
    return FeatureMoments(replace(made, decay=0.0) if math.prod(extent) > 1 else made)


def _filtered(read: Moments, filters: Tensor, taps: Tensor, groups: int) -> Moments:
    """Filters (C_out, C_in/groups, T) on a map, without bias; τ left as it was."""
    sums = spatial.by_group(filters.sum(2, dtype=read.mean.dtype), groups)
    mean = (sums @ read.mean.reshape(groups, -1, 1)).flatten()
    correlation = spatial.decayed(taps, read.decay)
    return replace(read, mean=mean, cov=spatial.filtered(read.cov, filters, correlation, groups))


def _with_bias(moments: Moments, bias: Tensor | None) -> Moments:
    return moments if bias is None else replace(moments, mean=moments.mean + bias.double())
