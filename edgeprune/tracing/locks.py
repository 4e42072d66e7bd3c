"""Why a channel group must stay whole.

Each rule gives a reason in plain words why a group is locked, or None. What no rule foresees is
found by the proof after surgery, which then locks the group.
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgeprune.errors import UsageError
from edgeprune.graph.dependency import OPTYPE, DependencyGraph, Node
from edgeprune.graph.layers import group_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from edgeprune.artifacts import ChannelGroup, Member

UNSUPPORTED = {
    OPTYPE.LSTM: "a recurrent layer",
    OPTYPE.MHA: "attention",
    OPTYPE.EMBED: "an embedding",
}


def matching_layers(module: nn.Module, globs: Sequence[str]) -> dict[str, str]:
    """Layers that the user keeps.

    Args:
        module: The network.
        globs: Patterns over dotted names; one that names a container keeps all inside.

    Returns:
        For each layer that matches, the glob that it matches.

    Raises:
        UsageError: If a glob matches nothing; names what is close.
    """
    names = [name for name, _ in module.named_modules() if name]
    owners = [name for name in names if _owns_channels(module.get_submodule(name))]
    found: dict[str, str] = {}
    for glob in globs:
        matched = {n: glob for n in owners if fnmatchcase(n, glob) or fnmatchcase(n, f"{glob}.*")}
        if not matched:
            close = [name for name in difflib.get_close_matches(glob, names, n=4) if name != glob]
            hint = f"; close to it: {', '.join(close)}" if close else ""
            raise UsageError(f"--keep '{glob}' matches no layer that has channels{hint}")
        found |= matched
    return found


def lock_reason(
    graph: DependencyGraph,
    group: ChannelGroup,
    nodes: Sequence[Node],
    kept_layers: Mapping[str, str],
) -> str | None:
    """Why no channel of ``group`` may go; None when they may.

    Args:
        graph: The network's dependency graph.
        group: The group, described by names.
        nodes: The group's nodes in the graph.
        kept_layers: From :func:`matching_layers`.

    Returns:
        The first reason that applies, in words that fit behind the group's name.
    """
    for member in group.members:
        if member.side == "out" and member.layer in kept_layers:
            return f"kept by --keep '{kept_layers[member.layer]}'"
    consumers = {member.layer for member in group.having("consumer")}
    if any(node in graph.outputs and graph.name_of(node) not in consumers for node in nodes):
        return "its channels are the network's output"
    for node in nodes:
        reason = _node_reason(graph, node)
        if reason is not None:
            return reason
    for member in group.members:
        reason = _member_reason(graph, group, member)
        if reason is not None:
            return reason
    return None


def _owns_channels(layer: nn.Module) -> bool:
    """Whether a layer has parameters or statistics of its own."""
    own = (layer.parameters(recurse=False), layer.buffers(recurse=False))
    return any(True for tensors in own for _ in tensors)


def _node_reason(graph: DependencyGraph, node: Node) -> str | None:
    """Reasons that lie in the kind of one operation."""
    layer, module = graph.name_of(node), node.module
    if node in graph.splits_channels:
        return "its channels pass a view that splits the channel axis, as channel shuffle does"
    if node.type in UNSUPPORTED:
        return f"'{layer}' is {UNSUPPORTED[node.type]}, which is not supported"
    if node.type == OPTYPE.PARAMETER and sum(size > 1 for size in module.shape) != 1:
        shape = "x".join(map(str, module.shape))
        return f"parameter '{layer}' ({shape}) does not say which of its axes counts channels"
    if node.type == OPTYPE.DEPTHWISE_CONV and module.in_channels != module.out_channels:
        return f"'{layer}' has several input channels for each of its filters"
    shared = graph.sharing.get(module)
    if shared is not None:
        return f"'{layer}' and '{shared}' share a parameter"
    return None


def _member_reason(graph: DependencyGraph, group: ChannelGroup, member: Member) -> str | None:
    """Reasons that lie in how a layer's indices meet the group's channels."""
    indices = [index for channel in member.channels for index in channel]
    size = _size(graph, member)
    if indices and max(indices) >= size:
        return f"'{member.layer}' has {size} channels, fewer than what is added to it or padded"
    if member.role != "consumer" and any(len(channel) != 1 for channel in member.channels):
        return f"only a part of its channels reaches '{member.layer}'"
    convolution = member.role in ("producer", "consumer")
    if convolution and len(indices) != size and _is_grouped(graph, member):
        return f"the grouped convolution '{member.layer}' reads only a part of them"
    if group.partitions > 1 and group.width % group.partitions:
        return f"its {group.width} channels do not divide into {group.partitions} partitions"
    if group.width == 1:
        return "it has a single channel"
    if group.partitions == group.width:
        return f"each of its channels is a partition of its own in '{member.layer}'"
    return None


def _is_grouped(graph: DependencyGraph, member: Member) -> bool:
    return group_count(graph.model.get_submodule(member.layer)) > 1


def _size(graph: DependencyGraph, member: Member) -> int:
    """Number of the layer's own channels on the side that the group uses."""
    if member.layer in graph.bare:
        return int(graph.model.get_parameter(member.layer).numel())
    module = graph.model.get_submodule(member.layer)
    if member.role == "consumer":
        return int(graph.get_in_channels(module))
    return int(graph.get_out_channels(module))
