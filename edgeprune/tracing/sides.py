"""The sides of layers and the tensors that channels run along, as a group's members.

A parameter or buffer that meets channels element by element shrinks with them, along the one axis
whose indices tell its channels apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from edgeprune.tracing.couplings.disjoint_sets import alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.artifacts import Role
    from edgeprune.tracing.couplings.disjoint_sets import Ints
    from edgeprune.tracing.couplings.labels import ChannelLabels, LabelSource

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a layer, or one tensor.

    Attributes:
        layer: Dotted name of a module, or of a parameter or buffer.
        role: What it is to its channels.
        sets: The set of each of its own indices, (C,).
        axis: For a tensor, the axis along which its channels lie.
    """

    layer: str
    role: Role
    sets: Ints
    axis: int = 0


def sides(
    labels: ChannelLabels, module: nn.Module, order: Mapping[str, int]
) -> tuple[list[Side], list[tuple[Ints, str]]]:
    """Every side of every layer, in the network's order.

    Args:
        labels: All labels, joined as far as they go together.
        module: The network.
        order: Place of each module in the network.

    Returns:
        The sides; and sets that must stay, with the reason, because a tensor does not say which
        of its axes counts channels.
    """
    found: list[Side] = []
    locks: list[tuple[Ints, str]] = []
    every = labels.all_sets()
    for source in labels.sources.values():
        sets = every[source.labels]
        if source.role is not None:
            found.append(Side(source.layer, source.role, sets))
        elif source.shape != (1,):
            side = _of_tensor(source, sets, module)
            if isinstance(side, Side):
                found.append(side)
            else:
                locks.append((sets, side))
    found.sort(key=lambda side: order.get(side.layer, len(order)))
    return found, locks


def _of_tensor(source: LabelSource, sets: Ints, module: nn.Module) -> Side | str:
    """A tensor's side, or why it has none."""
    owner, _, leaf = source.layer.rpartition(".")
    layer = module.get_submodule(owner)
    if isinstance(layer, WEIGHTED) and leaf == "weight":
        return f"the weight of '{owner}' is used outside of its layer"
    arranged = sets.reshape(source.shape)
    axis = _axis(arranged)
    if axis is None:
        shape = "x".join(map(str, source.shape))
        return f"'{source.layer}' ({shape}) does not say which of its axes counts channels"
    others = tuple(each for each in range(arranged.ndim) if each != axis)
    along = arranged.max(axis=others)
    name = owner if isinstance(layer, nn.PReLU) else source.layer
    return Side(name, "parameter", along, axis)


def _axis(sets: Ints) -> int | None:
    """The axis along which sets differ; the first that is longer than one if none do."""
    apart = [axis for axis in range(sets.ndim) if not alike(sets, axis)]
    longer = [axis for axis, size in enumerate(sets.shape) if size > 1]
    if len(apart) > 1:
        return None
    return (apart or longer or [None])[0]  # type: ignore[list-item]
