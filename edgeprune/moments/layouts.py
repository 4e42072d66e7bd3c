"""Moments through operators that move elements, join tensors or take parts of them.

An operator that moves an element moves the index of its channel: the operator is run once more on
the channels' indices, and the result holds the channel of each element. So one rule covers every
reshape and permutation, a channel shuffle included.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeprune.graph.rerun import rerun
from edgeprune.moments.feature import FeatureMoments, Moments, labels_of, relabelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.moments.calls import Call


def identity(call: Call) -> FeatureMoments | None:
    """Operators that change no element: clone, dropout in eval mode, a cast."""
    return call.feature()


def reshape(call: Call) -> FeatureMoments | None:
    """The same elements in the same order, in another shape."""
    feature, before = call.feature(), call.operation.reads[0].shape
    if feature is None or before == call.shape:
        return feature
    return relabelled(feature, labels_of(feature, before).reshape(call.shape), before)


def restrided(call: Call) -> FeatureMoments | None:
    """Other strides for a map of one pixel, as channels-last pooling sets; else unknown."""
    same = call.operation.reads[0].shape == call.shape and math.prod(call.shape[2:]) == 1
    return call.feature() if same else None


def moved(call: Call) -> tuple[FeatureMoments | None, ...]:
    """Permutations, slices, splits: operators that move or select elements."""
    feature, before = call.feature(), call.operation.reads[0].shape
    if feature is None:
        return ()
    labels = labels_of(feature, before)
    result = rerun(call.operation, lambda _: labels)
    parts = [result] if isinstance(result, Tensor) else result or []
    return tuple(relabelled(feature, part, before) for part in parts)


def sliced(call: Call) -> tuple[FeatureMoments | None, ...]:
    """A slice; every s-th pixel of a map has neighbours s pixels apart: τ becomes τ^s.

    Each of the map's d dimensions is sliced by its own operator: s^(1/d) for each makes s.
    """
    feature, step = call.feature(), call.argument(4)
    dimension = (call.argument(1) or 0) % len(call.shape)
    if feature is None or feature.labels is not None or dimension == feature.axis or feature.grid:
        return moved(call)
    apart = step ** (1 / max(1, len(call.shape) - 2))
    further = replace(feature.origin, decay=feature.origin.decay**apart)
    return (replace(feature, origin=further),)


def concatenated(call: Call) -> FeatureMoments | None:
    """Tensors side by side along their channels, taken to be independent."""
    parts = call.operands()
    count = len(call.shape)
    dimension = (call.argument(1) or 0) % count
    features = [
        part if not isinstance(part, Tensor) else _constant_map(part, dimension) for part in parts
    ]
    known = [part for part in features if part]
    plain = all(part.labels is None and part.axis == dimension for part in known)
    if len(known) < len(parts) or not plain or len({part.grid for part in known}) > 1:
        return None
    return replace(known[0], origin=_side_by_side([part.moments for part in known]), curve=None)


def padded(call: Call) -> FeatureMoments | None:
    """Constant channels at either end; padding around a map is ignored."""
    feature, shape = call.feature(), call.operation.reads[0].shape
    if feature is None or feature.labels is not None or feature.grid:
        return None
    pad = tuple(call.argument(1))
    start = 2 * (len(shape) - 1 - feature.axis)
    around = pad[start : start + 2]
    if not any(around):
        return feature
    moments = feature.moments
    mean = F.pad(moments.mean, around, value=float(call.argument(2)))
    return FeatureMoments(
        Moments(mean, F.pad(moments.cov, around * 2), moments.decay), axis=feature.axis
    )


def zeros(call: Call) -> FeatureMoments | None:
    """A tensor of zeros in the shape of another: a feature without variance."""
    constant = torch.zeros(1, dtype=torch.float64).expand(call.shape)
    return _constant_map(constant, 1) if len(call.shape) > 1 else None


def _constant_map(constant: Tensor, axis: int) -> FeatureMoments | None:
    """A constant with one value a channel."""
    by_channel = constant.movedim(axis, 0).flatten(1).double()
    if not bool((by_channel == by_channel[:, :1]).all()):
        return None
    mean = by_channel[:, 0]
    return FeatureMoments(Moments(mean, mean.new_zeros(len(mean), len(mean)), 0.0), axis=axis)


def _side_by_side(parts: Sequence[Moments]) -> Moments:
    """Independent channels: the covariance is block-diagonal."""
    powers = [float(part.variance.sum()) for part in parts]
    decays = [part.decay * power for part, power in zip(parts, powers, strict=True)]
    total = math.fsum(powers)
    return Moments(
        torch.cat([part.mean for part in parts]),
        _block_diagonal([part.cov for part in parts]),
        math.fsum(decays) / total if total > 0 else 0.0,
    )


def _block_diagonal(blocks: Sequence[Tensor]) -> Tensor:
    size = sum(map(len, blocks))
    result, start = blocks[0].new_zeros(size, size), 0
    for block in blocks:
        end = start + len(block)
        result[start:end, start:end] = block
        start = end
    return result
