"""The protocol of an importance criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from edgeprune.artifacts import TracedModel


class Criterion(Protocol):
    """Scores the channels of a network; larger stays longer."""

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Score every channel of every prunable group.

        Args:
            traced: The network with its groups.
            generator: Generator of criteria that are random.

        Returns:
            For each prunable group its scores (C,), float64, non-negative. In a group that must
            be cut alike in several partitions, the channels at the same position share one score.
        """
        ...
