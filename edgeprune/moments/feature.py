"""Known moments of a tensor: those of its channels, and along which dimension these lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from edgeprune.moments.gaussian import Curve, correlation, correlation_through, covariance, expand


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and covariance of the channels of a feature map.

    Attributes:
        mean: Mean of each channel, (C,), float64.
        cov: Covariance of the channels at one position, (C, C), float64.
        decay: τ, the correlation of a channel with itself one pixel away; at distance d the
            covariance of all channels is τ^d times that at one position.
    """

    mean: Tensor
    cov: Tensor
    decay: float

    @property
    def variance(self) -> Tensor:
        """Variance of each channel, (C,)."""
        return self.cov.diagonal()

    @property
    def std(self) -> Tensor:
        """Standard deviation of each channel, (C,); a variance that rounding made negative is 0."""
        return self.variance.clamp_min(0).sqrt()

    def scaled(self, gain: Tensor | float) -> Moments:
        """Moments after multiplication of each channel by its gain, (C,) or one for all."""
        gains = torch.as_tensor(gain).to(self.mean)
        return Moments(self.mean * gains, (self.cov * gains).mul_(gains[..., None]), self.decay)

    def of(self, channels: Tensor) -> Moments:
        """Moments of some channels, by index, in that order."""
        return Moments(self.mean[channels], self.cov[channels][:, channels], self.decay)


@dataclass(frozen=True)
class FeatureMoments:
    """A tensor whose moments are known: an element-wise function of Gaussian channels.

    Attributes:
        origin: Moments of the Gaussian channels.
        curve: The function; None for the identity. It is kept rather than applied, so that
            x·sigmoid(x), however it is written, is one function of x.
        axis: Dimension of the tensor along which its channels lie.
        grid: Extent of the map that a flatten put along that dimension too, each channel's
            pixels next to each other; empty where every channel has one index.
        labels: Channel of each element, in the shape of the tensor, where the channels lie along
            no single dimension (halfway through a channel shuffle); else None.
    """

    origin: Moments
    curve: Curve | None = None
    axis: int = 1
    grid: tuple[int, ...] = ()
    labels: Tensor | None = None

    @cached_property
    def moments(self) -> Moments:
        """Moments of the tensor itself."""
        if self.curve is None:
            return self.origin
        expansion = expand(self.curve, self.origin.mean, self.origin.std)
        return Moments(
            expansion.mean,
            covariance(expansion, correlation(self.origin.cov)),
            correlation_through(expansion, self.origin.decay),
        )

    @property
    def is_map(self) -> bool:
        """Whether every index along the second dimension is one channel, as convolutions read."""
        return self.labels is None and self.axis == 1 and not self.grid

    def laid_out_like(self, other: FeatureMoments) -> bool:
        """Whether two tensors of one shape have their channels in the same places."""
        if self.labels is not None or other.labels is not None:
            return self.labels is other.labels
        return self.axis == other.axis and self.grid == other.grid


def labels_of(feature: FeatureMoments, shape: tuple[int, ...]) -> Tensor:
    """The channel that each element of the tensor belongs to, in the tensor's shape."""
    if feature.labels is not None:
        return feature.labels.reshape(shape)
    channels = torch.arange(len(feature.origin.mean), dtype=torch.int32)
    along = channels.repeat_interleave(math.prod(feature.grid))
    others = [1] * (len(shape) - feature.axis - 1)
    return along.reshape(-1, *others).expand(shape).contiguous()


def relabelled(feature: FeatureMoments, labels: Tensor, shape: tuple[int, ...]) -> FeatureMoments:
    """The feature after its elements have moved.

    Args:
        feature: Moments of the tensor before.
        labels: Channel of each element after; any shape.
        shape: Shape of the tensor before, which gives the extent of a map that is now flattened.

    Returns:
        The feature with channels in their new order; some may be gone.
    """
    last = labels.dim() - 1
    for axis in dict.fromkeys((min(1, last), last, *range(labels.dim()))):
        along = labels.movedim(axis, 0).flatten(1)
        if along.shape[1] and bool((along == along[:, :1]).all()):
            order, runs = torch.unique_consecutive(along[:, 0], return_counts=True)
            taps = int(runs[0])
            distinct = len(order.unique()) == len(order) and bool((runs == taps).all())
            if distinct and (taps == 1 or labels.dim() == 2):
                grid = _flattened(feature, shape, taps)
                return replace(_reordered(feature, order), axis=axis, grid=grid, labels=None)
    return replace(feature, labels=labels)


def _flattened(feature: FeatureMoments, shape: tuple[int, ...], taps: int) -> tuple[int, ...]:
    """The extent of a flattened map of ``taps`` pixels, from the tensor's shape before."""
    if taps == 1:
        return ()
    extent = feature.grid or tuple(n for d, n in enumerate(shape) if d not in (0, feature.axis))
    return extent if math.prod(extent) == taps else (taps,)


def _reordered(feature: FeatureMoments, order: Tensor) -> FeatureMoments:
    """Channels by index; a curve may differ by channel, so it is applied first."""
    if torch.equal(order.cpu(), torch.arange(len(feature.origin.mean), dtype=order.dtype)):
        return feature
    return FeatureMoments(feature.moments.of(order.long()))
