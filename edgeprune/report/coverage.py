"""How much of a network pruning can reach, group by group, and why not the rest.

A convolution's or linear layer's multiply-accumulates go with the channels that it makes and with
those that it reads: it can shrink with either. So a share that can shrink says little of how far;
beside it stands the share whose output channels stay.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from edgeprune.layer_widths import width_of
from edgeprune.report.document import Coverage, Locked, Shrinking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprune.artifacts import ChannelGroup, TracedModel
    from edgeprune.report.compare import Counted


def coverage(traced: TracedModel, costs: Counted) -> Coverage:
    """Shares of the original's MACs that can and cannot shrink.

    Args:
        traced: The network with its groups, those that failed the proof locked.
        costs: Costs of the original.

    Returns:
        The share of MACs that goes as the channels of all prunable groups go, that of layers whose
        outputs stay, what goes with each group, and for each locked group the share of the layers
        that make its channels.
    """
    layers = _Layers(traced, {layer.name: layer.macs for layer in costs.layers}, costs.macs)
    free, locked = traced.prunable, [g for g in traced.groups if g.locked_because is not None]
    return Coverage(
        layers.share_that_goes(free),
        tuple(Locked(g.name, g.locked_because or "", layers.share_of_makers(g)) for g in locked),
        layers.share_that_keeps_outputs(free),
        tuple(Shrinking(g.name, g.width, layers.share_that_goes([g])) for g in free),
    )


class _Layers:
    """Multiply-accumulates of layers, and how much of their sides groups hold."""

    def __init__(self, traced: TracedModel, macs: dict[str, int], total: int) -> None:
        self._modules = dict(traced.source.module.named_modules())
        self._macs = macs
        self._total = total

    def share_that_goes(self, groups: Iterable[ChannelGroup]) -> float:
        """The share of all MACs that goes with all channels of some groups."""
        held = self._held(groups)
        return self._share(
            self._macs.get(layer, 0) * (1 - (1 - sides["out"]) * (1 - sides["in"]))
            for layer, sides in held.items()
        )

    def share_that_keeps_outputs(self, groups: Iterable[ChannelGroup]) -> float:
        """The share of all MACs that compute outputs which are in none of some groups."""
        held = self._held(groups)
        return self._share(
            macs * (1 - (held[layer]["out"] if layer in held else 0.0))
            for layer, macs in self._macs.items()
        )

    def share_of_makers(self, group: ChannelGroup) -> float:
        """The share of all MACs in layers that make channels of a group."""
        makers = {member.layer for member in group.having("producer", "depthwise")}
        return self._share(self._macs.get(layer, 0) for layer in makers)

    def _held(self, groups: Iterable[ChannelGroup]) -> dict[str, dict[Literal["in", "out"], float]]:
        """For each layer the shares of its inputs and outputs that belong to some groups."""
        held: dict[str, dict[Literal["in", "out"], float]] = defaultdict(
            lambda: {"in": 0.0, "out": 0.0}
        )
        for group in groups:
            for member in group.members:
                width = width_of(self._modules.get(member.layer), member.side)
                if width:
                    held[member.layer][member.side] += sum(map(len, member.channels)) / width
        return held

    def _share(self, macs: Iterable[float]) -> float:
        return min(1.0, sum(macs) / self._total) if self._total else 0.0
