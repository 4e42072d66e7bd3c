"""Which outputs of each layer are still there after surgery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor, nn

    from edgeprune.artifacts import PruningPlan, TracedModel

WIDTHS = ("out_channels", "out_features", "num_features")


def kept_outputs(
    traced: TracedModel, plan: PruningPlan, layers: Collection[str]
) -> dict[str, Tensor]:
    """The output channels that stay, of layers that lose some.

    Args:
        traced: The original with its groups.
        plan: What was removed.
        layers: Convolutions, linear layers and BatchNorms, by dotted name.

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
    """Every output channel of a convolution, linear layer or BatchNorm of the original, (C,)."""
    module: nn.Module = traced.source.module.get_submodule(layer)
    return torch.arange(
        next(int(getattr(module, name)) for name in WIDTHS if hasattr(module, name))
    )
