"""Which outputs of each layer are still there after surgery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.layer_widths import width_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor, nn

    from edgeprune.artifacts import PruningPlan, TracedModel


def kept_outputs(
    traced: TracedModel, plan: PruningPlan, layers: Collection[str]
) -> dict[str, Tensor]:
    """The output channels that stay, of layers that lose some.

    Args:
        traced: The original with its groups.
        plan: What was removed.
        layers: Some of :data:`~edgeprune.graph.layers.CHANNEL_LAYERS`, by dotted name.

    Returns:
        Ascending indices into the original's channels, (K,), int64, by layer; layers that lose no
        output are left out.
    """
    lost = {
        layer: gone
        for (layer, side), gone in traced.removed(plan).items()
        if side == "out" and gone and layer in layers
    }
    return {
        layer: torch.tensor([i for i in all_outputs(traced, layer).tolist() if i not in gone])
        for layer, gone in lost.items()
    }


def all_outputs(traced: TracedModel, layer: str) -> Tensor:
    """Every output channel of a layer of the original, (C,)."""
    module: nn.Module = traced.source.module.get_submodule(layer)
    width = width_of(module)
    assert width is not None, f"'{layer}' is no layer of channels"
    return torch.arange(width)
