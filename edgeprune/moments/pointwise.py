"""Moments through element-wise operators: activations, sums, gains, gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.graph.rerun import rerun
from edgeprune.moments.feature import FeatureMoments, Moments
from edgeprune.moments.gaussian import relu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.artifacts.recorded import Operation, TensorView
    from edgeprune.moments.calls import Call
    from edgeprune.moments.gaussian import Curve

MOST_STEPS = 64
"""Operators in one curve; beyond, its result is taken to be Gaussian, and a new curve begins.

A curve runs all its operators at each evaluation, so that a chain of thousands would take the
square of its length. No activation that is written out has more than about ten.
"""


def pointwise(call: Call) -> FeatureMoments | None:
    """Any element-wise operator: a new curve, if all its inputs are curves of the same Gaussian.

    Constants may differ by channel, not by position. Features of different origin are passed to
    the rule for their sum or product.
    """
    operands = call.operands()
    features = [each for each in operands if isinstance(each, FeatureMoments)]
    if not features or any(each is None for each in operands):
        return None
    first = features[0]
    if any(each.origin is not first.origin for each in features):
        rule = COMBINED.get(call.operation.name)
        return rule(call) if rule and len(operands) == len(features) == 2 else None
    if not all(each.laid_out_like(first) for each in features):
        return None
    curve = _curve(call, first)
    if curve is None or not _holds(curve, first.origin):
        return None
    through = replace(first, curve=curve)
    return _like(through, through.moments) if _steps(curve) >= MOST_STEPS else through


def _curve(call: Call, feature: FeatureMoments) -> Curve | None:
    """The operator as a function of the feature's Gaussian channels."""
    operation = call.operation
    if operation.name == "relu" and feature.curve is None:
        return relu
    curves: dict[TensorView, Curve | Tensor | None] = {}
    for view, known in zip(operation.reads, call.operands(), strict=True):
        if isinstance(known, Tensor):
            column = _by_channel(known, feature, call.shape)
            if column is None:
                return None
            curves[view] = column
        elif isinstance(known, FeatureMoments):
            curves[view] = known.curve
    return _Composed(operation, curves)


@dataclass(frozen=True)
class _Composed:
    """An operator after the curves that it reads, or constants, by tensor; None: the identity."""

    operation: Operation
    curves: Mapping[TensorView, Curve | Tensor | None]

    @cached_property
    def steps(self) -> int:
        """Number of operators that one evaluation runs."""
        return 1 + sum(_steps(each) for each in self.curves.values())

    def __call__(self, values: Tensor) -> Tensor:
        def value_of(view: TensorView) -> Tensor:
            inner = self.curves[view]
            if isinstance(inner, Tensor):
                return inner.to(values.device)
            return values if inner is None else inner(values)

        result = rerun(self.operation, value_of)
        return result.double() if isinstance(result, Tensor) else values * torch.nan


def _steps(curve: Curve | Tensor | None) -> int:
    return curve.steps if isinstance(curve, _Composed) else int(curve is relu)


def _by_channel(constant: Tensor, feature: FeatureMoments, shape: Sequence[int]) -> Tensor | None:
    """A constant as one number a channel, (C, 1), or one for all; None where it is neither."""
    if constant.numel() == 1:
        return constant.double().reshape(1, 1) if constant.dim() else constant.double()
    from_right = constant.dim() - (len(shape) - feature.axis)
    in_place = from_right >= 0 and constant.shape[from_right] == constant.numel()
    if feature.labels is not None or feature.grid or not in_place:
        return None
    return constant.double().reshape(-1, 1)


def _holds(curve: Curve, origin: Moments) -> bool:
    """Whether the function is finite, and element-wise, within 8 standard deviations."""
    std = origin.std
    values = curve(origin.mean[:, None] + std[:, None] * torch.linspace(-8, 8, 5).to(std))
    return values.shape == (len(std), 5) and bool(values.isfinite().all())


def plus(call: Call) -> FeatureMoments | None:
    """A sum of two features of different origin, taken to be independent."""
    return _summed(call, float(call.argument(2)))


def minus(call: Call) -> FeatureMoments | None:
    """A difference of two features of different origin, taken to be independent."""
    return _summed(call, -float(call.argument(2)))


def _summed(call: Call, factor: float) -> FeatureMoments | None:
    pair = _aligned(call)
    if pair is None:
        return None
    wide, one, other = pair[0], pair[1].moments, pair[2].moments
    other = other if factor == 1 else other.scaled(factor)
    variances = torch.stack([one.variance.mean(), other.variance.mean()])
    decay = _weighted([one.decay, other.decay], variances)
    return _like(wide, Moments(one.mean + other.mean, one.cov + other.cov, decay))


def times(call: Call) -> FeatureMoments | None:
    """A product: a gate without extent is replaced by its mean, maps are taken to be independent.

    For independent a and b, Cov(a_i b_i, a_j b_j) = A_ij B_ij + A_ij β_i β_j + B_ij α_i α_j with
    their means α, β and covariances A, B.
    """
    pair = _aligned(call)
    if pair is None:
        return None
    wide, one, other = pair
    extents = [_extent(view.shape, wide.axis) for view in call.operation.reads]
    if extents[0] != extents[1]:
        gate, gated = (one, other) if extents[0] < extents[1] else (other, one)
        if len(gated.origin.mean) == len(wide.origin.mean):
            return _like(wide, gated.moments.scaled(gate.moments.mean))
    return _like(wide, _product(one.moments, other.moments))


def _product(one: Moments, other: Moments) -> Moments:
    both = one.cov * other.cov
    from_one = one.cov * other.mean[:, None] * other.mean
    from_other = other.cov * one.mean[:, None] * one.mean
    parts = torch.stack([each.diagonal().mean() for each in (both, from_one, from_other)])
    decay = _weighted([one.decay * other.decay, one.decay, other.decay], parts)
    return Moments(one.mean * other.mean, both + from_one + from_other, decay)


def _aligned(call: Call) -> tuple[FeatureMoments, FeatureMoments, FeatureMoments] | None:
    """The feature with more channels, and both operands, if their channels match one to one.

    One operand may have a single channel for all those of the other.
    """
    one, other = call.feature(0), call.feature(1)
    if one is None or other is None:
        return None
    (a, b), count = call.operation.reads, len(call.shape)
    same = len(a.shape) == len(b.shape) == count and one.laid_out_like(other)
    sizes = len(one.origin.mean), len(other.origin.mean)
    if not same or (sizes[0] != sizes[1] and min(sizes) != 1):
        return None
    return (one if sizes[0] >= sizes[1] else other), one, other


def _extent(shape: Sequence[int], axis: int) -> int:
    """Number of positions of a map, all dimensions but the channels'."""
    positions = 1
    for dimension, size in enumerate(shape):
        positions *= 1 if dimension == axis else size
    return positions


def _like(feature: FeatureMoments, moments: Moments) -> FeatureMoments:
    return replace(feature, origin=moments, curve=None)


def _weighted(decays: Sequence[float], weights: Tensor) -> float:
    """Mean of correlations, weighted by the variances that they belong to."""
    total = float(weights.sum())
    if total <= 0:
        return max(decays)
    return float(weights.cpu() @ torch.tensor(decays, dtype=weights.dtype)) / total


COMBINED = {"add": plus, "sub": minus, "mul": times}
