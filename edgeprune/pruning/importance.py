"""How much each channel of a group matters, from weights alone.

A criterion scores the filters of one layer; a group's score averages its layers, each divided by
its own mean so that no layer drowns the others. Depthwise filters count. The result has mean 1
in every group, which makes groups comparable when channels compete across the whole network.

Sources: L1 norm, Li et al., arXiv:1608.08710; BatchNorm scale, Liu et al., arXiv:1708.06519;
geometric median, He et al., arXiv:1811.00250, equation 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from edgeprune.choices import Choices
from edgeprune.filters import filter_rows, own_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.artifacts import ChannelGroup, TracedModel


class Criterion(Protocol):
    """Scores the channels of one group; larger stays longer."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score every channel, once for each layer that has a say.

        Args:
            filters: For each layer that makes or filters the channels, its filters (C, D).
            scales: For each BatchNorm that the channels pass, its scale γ (C,).
            generator: For criteria that draw.

        Returns:
            Non-negative scores (C,), one tensor for each layer that has a say.
        """
        ...


@dataclass(frozen=True, slots=True)
class L1Norm:
    """Sum of absolute weights."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score as :class:`Criterion` says."""
        return [rows.abs().sum(1) for rows in filters]


@dataclass(frozen=True, slots=True)
class L2Norm:
    """Euclidean norm of the weights."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score as :class:`Criterion` says."""
        return [rows.norm(dim=1) for rows in filters]


@dataclass(frozen=True, slots=True)
class BatchNormScale:
    """Magnitude of BatchNorm's γ; the L2 norm where the channels pass no BatchNorm."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score as :class:`Criterion` says."""
        return [scale.abs() for scale in scales] or L2Norm()(filters, scales, generator)


@dataclass(frozen=True, slots=True)
class GeometricMedian:
    """Sum of distances to the layer's other filters: the most replaceable go first."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score as :class:`Criterion` says."""
        return [torch.cdist(rows, rows).sum(1) for rows in filters]


@dataclass(frozen=True, slots=True)
class Random:
    """Uniform noise: the control that every criterion must beat."""

    def __call__(
        self, filters: Sequence[Tensor], scales: Sequence[Tensor], generator: torch.Generator
    ) -> list[Tensor]:
        """Score as :class:`Criterion` says."""
        return [torch.rand(len(filters[0]), generator=generator, dtype=filters[0].dtype)]


def importance(traced: TracedModel, criterion: Criterion, *, seed: int = 0) -> dict[str, Tensor]:
    """Score the channels of every prunable group.

    Args:
        traced: The network with its groups.
        criterion: A row of :data:`CRITERIA`, or your own.
        seed: For criteria that draw.

    Returns:
        For each prunable group its scores (C,), float64, of mean 1. In a group that must be cut
        alike in several blocks, the channels at the same position share one score.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        group.name: _group_scores(traced.source.module, group, criterion, generator)
        for group in traced.prunable
    }


@torch.no_grad()
def _group_scores(
    module: nn.Module, group: ChannelGroup, criterion: Criterion, generator: torch.Generator
) -> Tensor:
    """Scores (C,) of one group."""
    filters = [
        filter_rows(module.get_submodule(member.layer))[own_indices(member)]
        for member in group.having("producer", "depthwise")
    ]
    norms = [(module.get_submodule(m.layer).weight, own_indices(m)) for m in group.having("norm")]
    scales = [weight[own].double() for weight, own in norms if isinstance(weight, Tensor)]
    scores = criterion(filters, scales, generator)
    total = sum((_unit_mean(score) for score in scores), torch.zeros(group.width).double())
    shared = total.reshape(group.blocks, -1).mean(0).repeat(group.blocks)
    return _unit_mean(shared)


def _unit_mean(score: Tensor) -> Tensor:
    mean = score.double().mean()
    return score.double() / mean if mean > 0 else torch.ones_like(score, dtype=torch.float64)


CRITERIA: Choices[Callable[[], Criterion]] = Choices(
    "importance criterion",
    {
        "l1": L1Norm,
        "l2": L2Norm,
        "bn": BatchNormScale,
        "geometric-median": GeometricMedian,
        "random": Random,
    },
)
