"""What a network costs as a function of the widths of its channel groups.

A convolution or linear layer costs its multiply-accumulates times the share of its outputs that
stay times the share of its inputs that stay; what passes a group (depthwise, norms) costs its
share. So any assignment of widths is priced without building the network.

Each quantity that a budget can ask for is one :class:`Price`: a function of widths. A new one is a
class here and a line in :func:`cost_model`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, lil_array, vstack
from torch import nn

from edgeprune.graph.layers import is_depthwise, tensor_of
from edgeprune.layer_widths import ATTRIBUTES, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.artifacts import ChannelGroup, Member, TracedModel
    from edgeprune.artifacts.written import WrittenSizes
    from edgeprune.costs import Costs

Floats = NDArray[np.float64]


class Price(Protocol):
    """A quantity as a function of group widths."""

    def __call__(self, widths: Floats) -> Floats:
        """The quantity of the whole network.

        Args:
            widths: Widths of the groups, (…, G).

        Returns:
            (…), in the quantity's own unit.
        """
        ...


@dataclass(frozen=True, slots=True)
class CostModel:
    """What can be asked of a network's widths.

    Attributes:
        groups: The groups whose widths vary.
        prices: The price of each quantity, by name.
    """

    groups: tuple[ChannelGroup, ...]
    prices: Mapping[str, Price]

    @property
    def full(self) -> Floats:
        """Widths of the original, (G,)."""
        return np.array([group.width for group in self.groups], dtype=np.float64)

    def at(self, quantity: str, widths: Floats) -> Floats:
        """A quantity at ``widths`` (…, G)."""
        return self.prices[quantity](widths)

    def original(self, quantity: str) -> float:
        """A quantity of the original."""
        return float(self.at(quantity, self.full))


@dataclass(frozen=True, slots=True)
class LayerShares:
    """How much of each layer stays at given widths of the groups.

    For layer l and group g, ``out_per_channel[l, g]`` and ``in_per_channel[l, g]`` say which share
    of the layer's outputs and inputs one channel of the group stands for; hardly any layer has to
    do with more than two groups.

    Attributes:
        full: Widths of the original, (G,).
        out_per_channel: (L, G).
        in_per_channel: (L, G).
    """

    full: Floats
    out_per_channel: csr_array
    in_per_channel: csr_array

    def at(self, widths: Floats) -> tuple[Floats, Floats]:
        """Shares of outputs and of inputs that stay in each layer, (…, L) each."""
        gone = self.full - widths
        return self._left(self.out_per_channel, gone), self._left(self.in_per_channel, gone)

    def beside(self, others: lil_array) -> LayerShares:
        """More rows, for what is no layer: the share of it that one channel stands for, (M, G)."""
        no_inputs = csr_array(others.shape)
        return replace(
            self,
            out_per_channel=csr_array(vstack([self.out_per_channel, others])),
            in_per_channel=csr_array(vstack([self.in_per_channel, no_inputs])),
        )

    @staticmethod
    def _left(per_channel: csr_array, gone: Floats) -> Floats:
        *many, groups = gone.shape
        lost = per_channel @ gone.reshape(prod(many), groups).T  # (L, …)
        return 1 - np.ascontiguousarray(lost.T).reshape(*many, per_channel.shape[0])


@dataclass(frozen=True, slots=True)
class ProductPrice:
    """What grows with a layer's outputs times its inputs: multiply-accumulates, and its time.

    Attributes:
        shares: Shares of the layers that stay.
        amounts: What each layer costs at full width, (L,).
        others: What no width changes.
    """

    shares: LayerShares
    amounts: Floats
    others: float

    def __call__(self, widths: Floats) -> Floats:
        """The quantity at ``widths`` (…, G)."""
        out, into = self.shares.at(widths)
        return np.asarray((out * into) @ self.amounts + self.others)


@dataclass(frozen=True, slots=True)
class ParamsPrice:
    """Parameters.

    Attributes:
        shares: Shares of the layers that stay.
        weights: Parameters that scale with both sides, (L,).
        biases: Parameters that scale with the output side, (L,).
        others: Parameters that no width changes.
    """

    shares: LayerShares
    weights: Floats
    biases: Floats
    others: float

    def __call__(self, widths: Floats) -> Floats:
        """Parameters at ``widths`` (…, G)."""
        out, into = self.shares.at(widths)
        return np.asarray((out * into) @ self.weights + out @ self.biases + self.others)


def channels(widths: Floats) -> Floats:
    """Channels of all groups together at ``widths`` (…, G)."""
    return np.asarray(widths.sum(axis=-1))


def cost_model(traced: TracedModel, costs: Costs) -> CostModel:
    """Make the cost model of a network's prunable groups.

    Args:
        traced: The network with its groups.
        costs: Costs of the original, from :func:`edgeprune.costs.count`; latency has a price where
            they hold the layers' times.

    Returns:
        A model that gives the original's own figures at full widths.
    """
    groups = traced.prunable
    layers = list(dict.fromkeys(member.layer for group in groups for member in group.members))
    module = traced.source.module
    modules = dict(module.named_modules())
    shares = _shares(module, modules, groups, layers)
    macs_by_layer = {layer.name: float(layer.macs) for layer in costs.layers}
    macs = np.array([macs_by_layer.get(name, 0.0) for name in layers])
    counts = [_parameters(module, modules, name) for name in layers]
    if traced.written is not None:
        shares = shares.beside(map_products(traced.written, groups))
        macs = np.append(macs, [float(product.macs) for product in traced.written.products])
        counts += [(0, 0)] * len(traced.written.products)
    weights, biases = np.array(counts, dtype=np.float64).reshape(-1, 2).T
    prices: dict[str, Price] = {
        "macs": ProductPrice(shares, macs, costs.macs - float(macs.sum())),
        "params": ParamsPrice(
            shares, weights, biases, costs.params - float(weights.sum() + biases.sum())
        ),
        "channels": channels,
    }
    if costs.seconds:
        taken = np.array([costs.seconds.get(name, 0.0) for name in layers])
        taken = np.append(taken, np.zeros(len(macs) - len(taken)))
        prices["latency"] = ProductPrice(
            shares, taken, sum(costs.seconds.values()) - float(taken.sum())
        )
    return CostModel(groups, prices)


def _shares(
    module: nn.Module,
    modules: Mapping[str, nn.Module],
    groups: Sequence[ChannelGroup],
    layers: Sequence[str],
) -> LayerShares:
    rows = {name: row for row, name in enumerate(layers)}
    sides = {side: lil_array((len(layers), len(groups))) for side in ("out", "in")}
    for column, group in enumerate(groups):
        for member in group.members:
            indices = sum(len(channel) for channel in member.channels)
            size = _channels(module, modules, member)
            sides[member.side][rows[member.layer], column] += indices / group.width / size
    full = np.array([group.width for group in groups], dtype=np.float64)
    return LayerShares(full, sides["out"].tocsr(), sides["in"].tocsr())


def map_products(written: WrittenSizes, groups: Sequence[ChannelGroup]) -> lil_array:
    """Which share of each product of feature maps one channel of each group stands for, (M, G)."""
    shares = lil_array((len(written.products), len(groups)))
    for column, group in enumerate(groups):
        member = next(each for each in group.members if all(each.channels))
        own = [index for indices in member.channels for index in indices]
        sets = np.concatenate([each[own] for each in written.sides[member.layer, member.side]])
        for row, product in enumerate(written.products):
            inside = np.isin(product.sets, sets).sum()
            shares[row, column] = inside / group.width / len(product.sets)
    return shares


def _channels(module: nn.Module, modules: Mapping[str, nn.Module], member: Member) -> int:
    """How many channels a layer, or a tensor that no layer owns, has on the member's side."""
    owner = modules.get(member.layer)
    if owner is None:
        return tensor_of(module, member.layer).shape[member.axis]
    width = width_of(owner, member.side)
    if width is None:
        raise AttributeError(f"'{member.layer}' does not say how many channels it has")
    return width


def _parameters(module: nn.Module, modules: Mapping[str, nn.Module], layer: str) -> tuple[int, int]:
    """Parameters that scale with both sides, and with the output side only."""
    owner = modules.get(layer)
    if owner is None:
        tensor = tensor_of(module, layer)
        return 0, tensor.numel() if isinstance(tensor, nn.Parameter) else 0
    total = sum(parameter.numel() for parameter in owner.parameters(recurse=False))
    if is_depthwise(owner) or not any(hasattr(owner, name) for name in ATTRIBUTES["in"]):
        return 0, total
    weight = owner.get_parameter("weight").numel()
    return weight, total - weight
