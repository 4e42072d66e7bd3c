"""What a network costs as a function of the widths of its channel groups.

A convolution or linear layer costs its multiply-accumulates times the share of its outputs that
stay times the share of its inputs that stay; what passes a group (depthwise, norms) costs its
share. So any assignment of widths is priced without building the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgeprune.artifacts import ChannelGroup, TracedModel
    from edgeprune.costs import Costs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CostModel:
    """Multiply-accumulates and parameters as functions of group widths.

    For layer l and group g, ``out_per_channel[l, g]`` and ``in_per_channel[l, g]`` say which share
    of the layer's outputs and inputs one channel of the group stands for.

    Attributes:
        groups: The groups whose widths vary.
        macs: Multiply-accumulates of each layer at full width, (L,).
        weights: Parameters that scale with both sides, (L,).
        biases: Parameters that scale with the output side, (L,).
        out_per_channel: (L, G).
        in_per_channel: (L, G).
        other_macs: Multiply-accumulates that no width changes.
        other_params: Parameters that no width changes.
    """

    groups: tuple[ChannelGroup, ...]
    macs: Floats
    weights: Floats
    biases: Floats
    out_per_channel: Floats
    in_per_channel: Floats
    other_macs: float
    other_params: float

    @property
    def full(self) -> Floats:
        """Widths of the original, (G,)."""
        return np.array([group.width for group in self.groups], dtype=np.float64)

    def macs_at(self, widths: Floats) -> Floats:
        """Multiply-accumulates of the whole network at ``widths`` (…, G)."""
        out, into = self._shares(widths)
        return np.asarray((out * into) @ self.macs + self.other_macs)

    def params_at(self, widths: Floats) -> Floats:
        """Parameters of the whole network at ``widths`` (…, G)."""
        out, into = self._shares(widths)
        return np.asarray((out * into) @ self.weights + out @ self.biases + self.other_params)

    def channels_at(self, widths: Floats) -> Floats:
        """Channels of all groups together at ``widths`` (…, G)."""
        return np.asarray(widths.sum(axis=-1))

    def _shares(self, widths: Floats) -> tuple[Floats, Floats]:
        """Shares of outputs and of inputs that stay in each layer, (…, L) each."""
        gone = self.full - widths
        return 1 - gone @ self.out_per_channel.T, 1 - gone @ self.in_per_channel.T


def cost_model(traced: TracedModel, costs: Costs) -> CostModel:
    """Make the cost model of a network's prunable groups.

    Args:
        traced: The network with its groups.
        costs: Of the original, from :func:`edgeprune.costs.count`.

    Returns:
        A model that gives the original's own figures at full widths.
    """
    groups = traced.prunable
    layers = _touched_layers(traced, groups)
    rows = {name: row for row, name in enumerate(layers)}
    sides = {side: np.zeros((len(layers), len(groups))) for side in ("out", "in")}
    for column, group in enumerate(groups):
        for member in group.members:
            indices = sum(len(channel) for channel in member.channels)
            size = _channels(traced.source.module, member.layer, member.side)
            sides[member.side][rows[member.layer], column] += indices / group.width / size
    macs_by_layer = {layer.name: float(layer.macs) for layer in costs.layers}
    macs = np.array([macs_by_layer.get(name, 0.0) for name in layers])
    counts = [_parameters(traced.source.module, name) for name in layers]
    weights, biases = np.array(counts, dtype=np.float64).reshape(-1, 2).T
    return CostModel(
        groups, macs, weights, biases, sides["out"], sides["in"],
        other_macs=costs.macs - float(macs.sum()),
        other_params=costs.params - float(weights.sum() + biases.sum()),
    )  # fmt: skip


def _touched_layers(traced: TracedModel, groups: Sequence[ChannelGroup]) -> list[str]:
    """Every layer or parameter that some group shrinks, once."""
    return list(dict.fromkeys(member.layer for group in groups for member in group.members))


def _channels(module: nn.Module, layer: str, side: str) -> int:
    """How many channels a layer, or a parameter, has on one side."""
    owner = dict(module.named_modules()).get(layer)
    if owner is None:
        return module.get_parameter(layer).numel()
    for name in SIZE_ATTRIBUTES[side]:
        if hasattr(owner, name):
            value = getattr(owner, name)
            return int(value if isinstance(value, int) else value[-1])
    raise AttributeError(f"'{layer}' does not say how many channels it has")


SIZE_ATTRIBUTES = {
    "out": ("out_channels", "out_features", "num_features", "num_channels", "num_parameters",
            "normalized_shape"),
    "in": ("in_channels", "in_features"),
}  # fmt: skip
"""Where torch.nn's layers keep their sizes."""


def _parameters(module: nn.Module, layer: str) -> tuple[int, int]:
    """Parameters that scale with both sides, and with the output side only."""
    owner = dict(module.named_modules()).get(layer)
    if owner is None:
        return 0, module.get_parameter(layer).numel()
    total = sum(parameter.numel() for parameter in owner.parameters(recurse=False))
    depthwise = 1 < getattr(owner, "groups", 1) == getattr(owner, "out_channels", 0)
    if depthwise or not any(hasattr(owner, name) for name in SIZE_ATTRIBUTES["in"]):
        return 0, total
    weight = owner.get_parameter("weight").numel()
    return weight, total - weight
