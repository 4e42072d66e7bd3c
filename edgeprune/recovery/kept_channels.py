"""Which outputs of each layer are still there after surgery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from edgeprune.artifacts import PruningPlan, TracedModel

LAYERS = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
)
"""Layers whose output channels are known."""

WIDTHS = ("out_channels", "out_features", "num_features", "num_channels", "normalized_shape")


def kept_outputs(
    traced: TracedModel, plan: PruningPlan, layers: Collection[str]
) -> dict[str, Tensor]:
    """The output channels that stay, of layers that lose some.

    Args:
        traced: The original with its groups.
        plan: What was removed.
        layers: Some of :data:`LAYERS`, by dotted name.

    Returns:
        Ascending indices into the original's channels, (K,), int64; a layer that loses no output
        is not there.
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
    """Every output channel of one of :data:`LAYERS` of the original, (C,)."""
    module: nn.Module = traced.source.module.get_submodule(layer)
    width = next(getattr(module, name) for name in WIDTHS if hasattr(module, name))
    return torch.arange(width[-1] if isinstance(width, tuple) else int(width))


def channel_axis(module: nn.Module) -> int:
    """Where the channels are in what one of :data:`LAYERS` gives."""
    last = isinstance(module, nn.Linear) or type(module) is nn.LayerNorm  # others permute
    return -1 if last else 1
