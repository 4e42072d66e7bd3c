"""Moments through pooling and resampling: the correlations between channels stay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from edgeprune.moments import spatial
from edgeprune.moments.feature import FeatureMoments, Moments
from edgeprune.moments.gaussian import NODES, REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgeprune.moments.calls import Call
    from edgeprune.moments.gaussian import Curve


def max_pool(call: Call) -> FeatureMoments | None:
    """The largest of the window's Gaussian pixels, ``spatial.largest_of``, taken as Gaussian.

    A function that never falls and the maximum can change places: ReLU is applied after.
    """
    window = tuple(call.argument(1))
    return _largest(call, window, call.argument(2) or window)


def adaptive_max_pool(call: Call) -> FeatureMoments | None:
    """Max pooling over windows that tile the map."""
    window = _tiles(call)
    return _largest(call, window, window)


def average_pool(call: Call) -> FeatureMoments | None:
    """Averages over a window: variances shrink by ``spatial.window_correlation``."""
    window = tuple(call.argument(1))
    return _averaged(call, window, call.argument(2) or window)


def adaptive_average_pool(call: Call) -> FeatureMoments | None:
    """Average pooling over windows that tile the map."""
    window = _tiles(call)
    return _averaged(call, window, window)


def mean(call: Call) -> FeatureMoments | None:
    """Global average pooling: a mean over all dimensions but the batch's and the channels'."""
    shape = call.operation.reads[0].shape
    over = {dimension % len(shape) for dimension in call.argument(1) or ()}
    feature = call.feature()
    if feature is None or feature.labels is not None or feature.axis in over or feature.grid:
        return None
    if over != set(range(1, len(shape))) - {feature.axis}:
        return None
    made = _averaged(call, tuple(shape[each] for each in sorted(over)), (1,))
    kept_axis = feature.axis if call.argument(2) else 1
    return made and replace(made, axis=kept_axis, origin=replace(made.origin, decay=0.0))


def upsample(call: Call) -> FeatureMoments | None:
    """Enlargement by a factor s: τ becomes τ^(1/s)."""
    feature = call.channels()
    if feature is None:
        return None
    factor = call.shape[-1] / call.operation.reads[0].shape[-1]
    return replace(
        feature, origin=replace(feature.origin, decay=feature.origin.decay ** (1 / factor))
    )


def _averaged(call: Call, window: Sequence[int], stride: Sequence[int]) -> FeatureMoments | None:
    feature = call.feature()
    if feature is None or feature.labels is not None or feature.grid:
        return None
    moments = feature.moments
    remaining = spatial.window_correlation(window, moments.decay)
    decay = spatial.window_decay(window, moments.decay, stride[-1])
    return FeatureMoments(Moments(moments.mean, moments.cov * remaining, decay), axis=feature.axis)


def _largest(call: Call, window: Sequence[int], stride: Sequence[int]) -> FeatureMoments | None:
    feature = call.channels()
    if feature is None:
        return None
    if feature.curve and not _never_falls(feature.curve, feature.origin):
        feature = FeatureMoments(feature.moments)
    origin = feature.origin
    raised, remaining = spatial.largest_of(window, origin.decay)
    decay = spatial.window_decay(window, origin.decay, stride[-1])
    made = Moments(origin.mean + raised * origin.std, origin.cov * remaining, decay)
    return replace(feature, origin=made)


def _never_falls(curve: Curve, origin: Moments) -> bool:
    """Whether a larger value never gives a smaller one, for any channel."""
    nodes = torch.linspace(-REACH, REACH, NODES).to(origin.mean)
    values: Tensor = curve(origin.mean[:, None] + origin.std[:, None] * nodes)
    return bool((values.diff(dim=1) >= -1e-12).all())


def _tiles(call: Call) -> tuple[int, ...]:
    """Pixels that each output of an adaptive pooling reads, along each dimension."""
    before, after = call.operation.reads[0].shape[2:], call.shape[2:]
    return tuple(max(1, round(old / new)) for old, new in zip(before, after, strict=True))
