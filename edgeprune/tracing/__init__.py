"""SourceModel → TracedModel: which channels can only be removed together, and which never.

Groups come from the dependency graph; each is described by layer names and index maps, so that
nothing after this stage needs the graph to know what shrinks with what.
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING

from edgeprune.artifacts import (
    ChannelGroup,
    Channels,
    Member,
    Role,
    SourceModel,
    TracedModel,
)
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported
from edgeprune.graph import dependency
from edgeprune.graph.cpu_limit import cpu_limit
from edgeprune.graph.dependency import OPTYPE, DependencyGraph, GraphItem, Node
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.recording import operators_of
from edgeprune.random_inputs import random_inputs
from edgeprune.tracing.linear_paths import LinearPaths
from edgeprune.tracing.locks import lock_reason, matching_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROLES: dict[OPTYPE, Role] = {
    OPTYPE.CONV: "producer",
    OPTYPE.LINEAR: "producer",
    OPTYPE.BN: "norm",
    OPTYPE.LN: "norm",
    OPTYPE.GN: "norm",
    OPTYPE.IN: "norm",
    OPTYPE.DEPTHWISE_CONV: "depthwise",
    OPTYPE.PRELU: "parameter",
    OPTYPE.PARAMETER: "parameter",
}
"""Role of a layer whose output side is pruned, by the kind of layer."""

IN_CHANNELS = "prune_in_channels"  # the graph's name of the cut on a layer's input side


@with_room
def trace(
    source: SourceModel, *, keep: Sequence[str] = (), time_limit_s: float = 120.0
) -> TracedModel:
    """Find the channel groups of a network, and lock those that must stay whole.

    Args:
        source: The network; it is copied, not changed.
        keep: Globs of dotted layer names whose output channels stay, with all coupled to them.
        time_limit_s: CPU seconds after which to give up; there is index arithmetic without end.

    Returns:
        All groups, locked ones with their reason.

    Raises:
        ModelUnsupported: If the network cannot be traced, or has no channel groups.
        UsageError: If a glob of ``keep`` matches no layer.
    """
    module = light_copy(source.module)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    kept_layers = matching_layers(module, keep)
    order = {name: place for place, (name, _) in enumerate(module.named_modules())}
    graph = DependencyGraph()
    groups: list[ChannelGroup] = []

    def too_slow() -> str:
        return (
            f"tracing '{source.name}' took more than {time_limit_s:g} s of CPU time and was "
            f"stopped: {graph.extent}; {len(groups)} channel groups found by then"
        )

    with cpu_limit(time_limit_s, too_slow):
        graph.trace(module, random_inputs(source.input, batch=2))
        for root, items, why in dependency.groups(graph):
            groups.append(
                _group(graph, items, kept_layers, order) if why is None else _lost(graph, root, why)
            )
    if not groups:
        raise ModelUnsupported(
            f"'{source.name}' has no convolution or linear layer that tracing can see"
        )
    groups.sort(key=lambda group: order[group.name])
    recorded = replace(source, record=operators_of(source))
    return TracedModel(source=recorded, groups=tuple(groups))


def _group(
    graph: DependencyGraph,
    items: Sequence[GraphItem],
    kept_layers: Mapping[str, str],
    order: Mapping[str, int],
) -> ChannelGroup:
    """Describe one group of the graph by names and index maps, and lock it if it must be."""
    width = len(items[0].idxs)
    nodes = [item.dep.target for item in items]
    paths = LinearPaths(graph, set(nodes))
    members = []
    for item, node in zip(items, nodes, strict=True):
        role = _role(item)
        if role is not None:
            channels = _index_map(width, item)
            reads = paths.read_by(node) if role == "consumer" else None
            members.append(Member(graph.name_of(node), role, channels, reads))
    partitions = lcm(*(_partitions(node) for node in nodes))
    members.sort(key=lambda member: order.get(member.layer, len(order)))
    group = ChannelGroup(_first_producer(members, nodes, graph), width, tuple(members), partitions)
    reason = lock_reason(graph, group, nodes, kept_layers)
    return group if reason is None else group.locked(reason)


def _lost(graph: DependencyGraph, root: Node, why: str) -> ChannelGroup:
    """A layer whose dependencies are not known: locked, with itself as the only member."""
    width = int(graph.get_out_channels(root.module))
    alone = Member(graph.name_of(root), "producer", tuple((index,) for index in range(width)))
    return ChannelGroup(alone.layer, width, (alone,), locked_because=why)


def _first_producer(
    members: Sequence[Member], nodes: Sequence[Node], graph: DependencyGraph
) -> str:
    """Name of the earliest layer that makes the group's channels in their own order."""
    producers = (m for m in members if m.role == "producer" and _in_order(m.channels))
    return next((producer.layer for producer in producers), graph.name_of(nodes[0]))


def _in_order(channels: Channels) -> bool:
    return all(indices == (place,) for place, indices in enumerate(channels))


def _role(item: GraphItem) -> Role | None:
    """What a layer is to the group; None for operations that own no channels."""
    node = item.dep.target
    if node.type == OPTYPE.PRELU and node.module.num_parameters == 1:
        return None
    if node.type in (OPTYPE.CONV, OPTYPE.LINEAR) and item.dep.handler.__name__ == IN_CHANNELS:
        return "consumer"
    return ROLES.get(node.type)


def _index_map(width: int, item: GraphItem) -> Channels:
    """The layer's own indices for each channel of the group."""
    channels: list[list[int]] = [[] for _ in range(width)]
    for index, root in zip(item.idxs, item.root_idxs, strict=True):
        channels[root].append(index)
    return tuple(tuple(sorted(indices)) for indices in channels)


def _partitions(node: Node) -> int:
    """Into how many partitions a layer splits its channels, of which equal parts must go."""
    if node.type == OPTYPE.CONV:
        return int(node.module.groups)
    if node.type == OPTYPE.GN:
        return int(node.module.num_groups)
    parts = node.module.split_sizes if node.type == OPTYPE.SPLIT else None
    return len(parts) if parts and len(set(parts)) == 1 else 1
