"""Ranked channels: which of a group stay at a given width."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import ChannelGroup


def highest(score: Tensor, group: ChannelGroup, width: int) -> tuple[int, ...]:
    """The ``width`` highest-scoring channels, the same positions in every partition, ascending."""
    partition = group.width // group.partitions
    order = score[:partition].argsort(descending=True, stable=True)[: width // group.partitions]
    stay = sorted(order.tolist())
    return tuple(start + place for start in range(0, group.width, partition) for place in stay)
