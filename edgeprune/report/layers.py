"""What each layer had before compression and has left: its channels, MACs and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from edgeprune.layer_widths import width_of
from edgeprune.report.document import Layer, LayerCost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from edgeprune.report.compare import Counted, CountedLayer

    Network: TypeAlias = tuple[nn.Module, Counted]
    """A network and what was counted in it."""


def layers(original: Network, compressed: Network) -> tuple[Layer, ...]:
    """The layers that compute or hold something, in the order they first run.

    Args:
        original: The network that went in.
        compressed: The one that came out; its layers have the names they had.
    """
    before, after = (_by_name(counted) for _, counted in (original, compressed))
    modules, left = (dict(module.named_modules()) for module, _ in (original, compressed))
    return tuple(
        Layer(
            name=name,
            kind=type(modules[name]).__name__ if name in modules else "",
            before=_cost(found, modules),
            after=_cost(after[name], left) if name in after else None,
        )
        for name, found in before.items()
    )


def _by_name(counted: Counted) -> dict[str, CountedLayer]:
    return {layer.name: layer for layer in counted.layers if layer.macs or layer.params}


def _cost(found: CountedLayer, modules: Mapping[str, nn.Module]) -> LayerCost:
    return LayerCost(width_of(modules.get(found.name)), found.macs, found.params)
