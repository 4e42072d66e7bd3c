"""The consumers of a group's channels as two matrices each: all that removal costs depend on.

A consumer is one convolution group of one layer. Its outputs count in the units of what comes after
the BatchNorm behind them, v_o |γ_o| / σ_o; where there is none, each output has variance 1. Its
kernel's taps are weighed by how pixels correlate (R, ``moments/spatial.py``). What it loses is
given as a share of the variance of the layer's outputs, alike for a narrow and for a wide layer.

Means do not count: recovery puts them into a BatchNorm or a bias. So a constant channel is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.graph.batch_norms import norm_after
from edgeprune.graph.layers import filter_rows, group_count
from edgeprune.moments.propagation import Moments, propagate
from edgeprune.moments.spatial import tap_correlation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprune.artifacts import ChannelGroup, Member, TracedModel

CONSTANT = 1e-12
"""A channel with less than this share of the mean variance is constant."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a consumer's outputs stand to lose.

    Attributes:
        gram: G_pq = Σ_o v_op R v_oqᵀ as a share of the layer's output variance, (I, I).
        inverse: H⁻¹ of the channels that it reads, (I, I).
        columns: Which of the I channels each position of the group is, (P, k). A position that
            the consumer reads less than k times has columns of its own that carry nothing.
    """

    gram: Tensor
    inverse: Tensor
    columns: Tensor


def consumers_of(
    traced: TracedModel, ridge: float
) -> Iterator[tuple[ChannelGroup, Sequence[Consumer]]]:
    """Every prunable group with its consumers; with its producers, where it has none.

    Args:
        traced: The network with its groups.
        ridge: λ of H = C + λ̄ I, a share of the mean variance.
    """
    module = traced.source.module
    reads = propagate(traced.source).reads
    norms = norm_after(traced.record)
    for group in traced.prunable:
        consumers: list[Consumer] = []
        for member in group.having("consumer"):
            layer = module.get_submodule(member.layer)
            gains = _gains(module, norms.get(member.layer))
            indices = _by_position(member, group.partitions)
            moments = reads.get(member.layer)
            if moments is None:
                consumers.append(_unaware(_kernel(layer), indices, gains))
            else:
                consumers += _aware(layer, indices, moments, gains, ridge)
        yield group, consumers or [_made_by(module, m, group) for m in group.having("producer")]


def _aware(
    layer: nn.Module,
    indices: Sequence[set[int]],
    moments: Moments,
    gains: Tensor | None,
    ridge: float,
) -> list[Consumer]:
    """Consumers of channels whose moments are known, one for each convolution group."""
    kernel = _kernel(layer)
    partitions, outputs, inputs, taps = kernel.shape
    pixels = partitions * inputs // len(moments.mean)  # more than one behind a flatten
    each = inputs // pixels
    root = _root(tap_correlation(layer, pixels, moments.decay)).to(kernel)
    rooted = kernel.reshape(partitions, outputs, each, pixels * taps) @ root
    own = torch.arange(partitions * each, device=kernel.device).reshape(partitions, each)
    covs = moments.cov[own[:, :, None], own[:, None, :]]
    if gains is None:
        gains = _inverse_or_zero(
            (torch.einsum("bij,boit->bojt", covs, rooted) * rooted).sum((2, 3)).sqrt()
        )
    rooted = rooted * gains.reshape(partitions, outputs, 1, 1)
    grams = torch.einsum("boit,bojt->bij", rooted, rooted)
    grams = grams * _inverse_or_zero((grams * covs).sum())
    found = []
    for partition in range(partitions):
        places = [
            sorted({i // pixels - partition * each for i in one if i // inputs == partition})
            for one in indices
        ]
        if any(places):
            found.append(_padded(grams[partition], covs[partition], places, ridge))
    return found


def _padded(gram: Tensor, cov: Tensor, places: Sequence[Sequence[int]], ridge: float) -> Consumer:
    """A consumer from G, C and the columns of each position, padded with columns of nothing."""
    varies = cov.diagonal() > CONSTANT * cov.diagonal().mean()
    gram = gram * varies * varies[:, None]
    most, size = max(map(len, places)), len(cov)
    columns = []
    for place in places:
        missing = most - len(place)
        columns.append([*place, *range(size, size + missing)])
        size += missing
    padded, inverse = gram.new_zeros(size, size), torch.eye(size).to(gram)
    padded[: len(cov), : len(cov)] = gram
    inverse[: len(cov), : len(cov)] = _ridged_inverse(cov, ridge)
    return Consumer(padded, inverse, torch.tensor(columns))


def _unaware(kernel: Tensor, indices: Sequence[set[int]], gains: Tensor | None) -> Consumer:
    """A consumer of uncorrelated channels of variance 1: squared norms of the weights."""
    partitions, outputs = kernel.shape[:2]
    if gains is None:
        gains = _inverse_or_zero(kernel.square().sum((2, 3)).sqrt())
    scaled = kernel * gains.reshape(partitions, outputs, 1, 1)
    return _uncorrelated(scaled.square().sum((1, 3)).flatten(), indices)


def _made_by(module: nn.Module, member: Member, group: ChannelGroup) -> Consumer:
    """Stand-in for a consumer: squared norms of the weights that make the channels."""
    rows = filter_rows(module.get_submodule(member.layer)).square().sum(1)
    return _uncorrelated(rows, _by_position(member, group.partitions))


def _uncorrelated(strengths: Tensor, indices: Sequence[set[int]]) -> Consumer:
    """A consumer from the strength of each of the layer's own indices, (N,)."""
    shares = strengths * _inverse_or_zero(strengths.sum())
    lost = torch.stack([shares[sorted(one)].sum() for one in indices])
    return Consumer(lost.diag(), torch.eye(len(lost)).to(lost), torch.arange(len(lost))[:, None])


def _by_position(member: Member, partitions: int) -> list[set[int]]:
    """The layer's own indices of all channels at each position."""
    partition = len(member.channels) // partitions
    return [
        {index for channel in member.channels[place::partition] for index in channel}
        for place in range(partition)
    ]


def _kernel(layer: nn.Module) -> Tensor:
    """A layer's weight by convolution group, (groups, O, I, T), float64."""
    rows, partitions = filter_rows(layer), group_count(layer)
    taps = layer.get_parameter("weight").shape[2:].numel()
    return rows.reshape(partitions, len(rows) // partitions, -1, taps)


def _gains(module: nn.Module, norm: str | None) -> Tensor | None:
    """|γ| / σ of the BatchNorm behind a layer, (O,); None where there is none."""
    layer = None if norm is None else module.get_submodule(norm)
    if not isinstance(layer, _BatchNorm) or layer.running_var is None:
        return None
    scale = torch.rsqrt(layer.running_var.double() + layer.eps)
    return scale if layer.weight is None else scale * layer.weight.detach().double().abs()


def _root(matrix: Tensor) -> Tensor:
    """L with L Lᵀ = the matrix, for one that has no negative eigenvalues but by rounding."""
    strengths, directions = torch.linalg.eigh(matrix)
    root: Tensor = directions * strengths.clamp_min(0).sqrt()
    return root


def _ridged_inverse(cov: Tensor, ridge: float) -> Tensor:
    """(C + λ̄ I)⁻¹, of a C that may have lost its definiteness to approximations."""
    level = ridge * cov.diagonal().mean().clamp_min(torch.finfo(cov.dtype).tiny ** 0.5)
    strengths, directions = torch.linalg.eigh(cov)
    inverse: Tensor = (directions / (strengths.clamp_min(0) + level)) @ directions.T
    return inverse


def _inverse_or_zero(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values, 0.0)
