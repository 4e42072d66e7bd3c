"""How much of a network pruning can reach, and why not the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.report.document import Coverage, Locked

if TYPE_CHECKING:
    from edgeprune.artifacts import ChannelGroup, TracedModel
    from edgeprune.report.compare import Counted


def coverage(traced: TracedModel, costs: Counted) -> Coverage:
    """Shares of the original's MACs that can and cannot be reached.

    Args:
        traced: The network with its groups, those that failed the proof locked.
        costs: Costs of the original.

    Returns:
        The share of MACs in layers that lose inputs or outputs with some prunable group, and for
        each locked group the share of the layers that make its channels.
    """
    macs = {layer.name: layer.macs for layer in costs.layers}
    reached = {m.layer for group in traced.prunable for m in group.members}
    locked = tuple(
        Locked(group.name, group.locked_because, _share(_producers(group), macs, costs.macs))
        for group in traced.groups
        if group.locked_because is not None
    )
    return Coverage(_share(reached, macs, costs.macs), locked)


def _producers(group: ChannelGroup) -> set[str]:
    return {member.layer for member in group.having("producer", "depthwise")}


def _share(layers: set[str], macs: dict[str, int], total: int) -> float:
    return sum(macs.get(layer, 0) for layer in layers) / total if total else 0.0
