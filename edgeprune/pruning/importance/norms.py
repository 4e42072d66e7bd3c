"""Criteria on weights alone.

They score the filters of one layer; a group's score averages its layers, each divided by its own
mean so that no layer drowns the others. Depthwise filters count. The result has mean 1 in every
group, which makes groups comparable when channels compete across the whole network. ``rebuild.py``
scores channels by their consumers instead, and its scores are comparable as they are.

Sources: L1 norm, Li et al., arXiv:1608.08710; BatchNorm scale, Liu et al., arXiv:1708.06519;
geometric median, He et al., arXiv:1811.00250, equation 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.graph.layers import filter_rows, own_indices

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import ChannelGroup, TracedModel


@dataclass(frozen=True, slots=True)
class L1Norm:
    """Sum of absolute weights."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return _layer_by_layer(traced, lambda own: [rows.abs().sum(1) for rows in own.filters])


@dataclass(frozen=True, slots=True)
class L2Norm:
    """Euclidean norm of the weights."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return _layer_by_layer(traced, _l2_norms)


@dataclass(frozen=True, slots=True)
class BatchNormScale:
    """Magnitude of BatchNorm's γ; the L2 norm where the channels pass no BatchNorm."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return _layer_by_layer(
            traced, lambda own: [scale.abs() for scale in own.scales] or _l2_norms(own)
        )


@dataclass(frozen=True, slots=True)
class GeometricMedian:
    """Sum of distances to the layer's other filters: the most replaceable go first."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return _layer_by_layer(
            traced, lambda own: [torch.cdist(rows, rows).sum(1) for rows in own.filters]
        )


@dataclass(frozen=True, slots=True)
class Random:
    """Uniform noise: the control that every criterion must beat."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> dict[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return _layer_by_layer(
            traced,
            lambda own: [torch.rand(len(own.filters[0]), generator=generator, dtype=torch.float64)],
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """What a group's channels are made with.

    Attributes:
        filters: For each layer that makes or filters the channels, its filters (C, D).
        scales: For each BatchNorm that the channels pass, its scale γ (C,).
    """

    filters: list[Tensor]
    scales: list[Tensor]


@torch.no_grad()
def _layer_by_layer(
    traced: TracedModel, scored: Callable[[Weights], list[Tensor]]
) -> dict[str, Tensor]:
    """Scores of mean 1 in every group, from scores (C,) by each layer that counts."""
    module = traced.source.module
    return {
        group.name: _averaged(scored(_weights(module, group)), group) for group in traced.prunable
    }


def _weights(module: nn.Module, group: ChannelGroup) -> Weights:
    filters = [
        filter_rows(module.get_submodule(member.layer))[own_indices(member)]
        for member in group.having("producer", "depthwise")
        if member.is_one_to_one
    ]
    norms = [
        (module.get_submodule(member.layer).weight, own_indices(member))
        for member in group.having("norm")
        if member.is_one_to_one
    ]
    scales = [weight[own].double() for weight, own in norms if isinstance(weight, Tensor)]
    return Weights(filters, scales)


def _averaged(scores: list[Tensor], group: ChannelGroup) -> Tensor:
    """One score for each channel (C,): every layer counts equally, and so does every partition."""
    total = sum((_unit_mean(score) for score in scores), torch.zeros(group.width).double())
    return _unit_mean(total.reshape(group.partitions, -1).mean(0).repeat(group.partitions))


def _unit_mean(score: Tensor) -> Tensor:
    mean = score.double().mean()
    return score.double() / mean if mean > 0 else torch.ones_like(score, dtype=torch.float64)


def _l2_norms(own: Weights) -> list[Tensor]:
    return [rows.norm(dim=1) for rows in own.filters]
