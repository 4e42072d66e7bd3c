"""Torch-Pruning's dependency graph, made safe: the only file that imports it.

Which channels depend on which is Torch-Pruning's to find (Fang et al., "DepGraph: Towards Any
Structural Pruning", arXiv:2301.12900); which of them go is decided elsewhere, and whether the cut
was right is proved elsewhere. Here its sharp edges are covered: the graph is traced with
gradients enabled and a batch of two, a view that splits the channel axis does not crash it, and
what it looks up by walking through lists is looked up by hash, so that deep networks take time in
proportion to their depth.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch_pruning._helpers import GroupItem as GraphItem
from torch_pruning._helpers import UnwrappedParameters, _HybridIndex
from torch_pruning.dependency.dependency import Dependency
from torch_pruning.dependency.node import Node
from torch_pruning.ops import OPTYPE, module2type
from torch_pruning.pruner.function import PrunerBox

from edgeprune.errors import ModelUnsupported, VerificationFailed, failing_as, first_line
from edgeprune.graph.liveness import nothing_saved
from edgeprune.graph.shared_parameters import sharing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from edgeprune.artifacts import Side

__all__ = ["OPTYPE", "DependencyGraph", "GraphItem", "Node", "cut", "groups"]


PRODUCERS = (OPTYPE.CONV, OPTYPE.DEPTHWISE_CONV, OPTYPE.LINEAR)
"""Layers that make channels of their own."""


class DependencyGraph(torch_pruning.DependencyGraph):  # type: ignore[misc]
    """A dependency graph that also knows where channels leave the network or lose their order.

    Attributes:
        outputs: Nodes whose value the network returns.
        splits_channels: Nodes after which channel indices mean nothing: views with more dimensions
            than images have, as channel shuffle takes.
        bare: Names of the parameters that no known layer owns.
        sharing: For each module that shares a parameter with another, that one's name.
    """

    model: nn.Module
    outputs: set[Node]
    splits_channels: set[Node]
    bare: Collection[str]
    sharing: Mapping[nn.Module, str]

    def trace(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Run ``module``, whose parameters must all require gradients, and read its graph.

        Args:
            module: A copy of the network: its mode is changed.
            inputs: One tensor for each positional input, batch of two.

        Raises:
            ModelUnsupported: If the network cannot be traced.
        """
        returned: list[Tensor] = []

        def remember(output: object) -> object:
            returned.extend(leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor))
            return returned

        failing = failing_as(ModelUnsupported, "cannot trace the network")
        with failing, torch.enable_grad(), nothing_saved(), _quiet():
            self.build_dependency(
                module,
                tuple(inputs),
                forward_fn=lambda network, given: network(*given),  # the default calls it twice
                output_transform=remember,
                verbose=False,
            )
        gradients = {tensor.grad_fn for tensor in returned}
        self.outputs = {node for node in self.module2node.values() if node.grad_fn in gradients}
        self.sharing = sharing(module)

    @property
    def extent(self) -> str:
        """How much there is to trace, in words; none of it before the network has run."""
        nodes = list(getattr(self, "module2node", {}).values())
        layers = sum(node.type in PRODUCERS for node in nodes)
        couplings = sum(len(node.dependencies) for node in nodes)
        found = f"{layers} layers, {len(nodes)} operations, {couplings} couplings"
        return f"{found}, attention among them" if any(map(_attends, nodes)) else found

    def _build_dependency(self, module2node: dict[object, Node]) -> None:
        split = {node for node in module2node.values() if _splits_channels(node)}
        merged = {after for node in split for after in node.outputs if after.type == OPTYPE.RESHAPE}
        self.splits_channels = split | merged
        for node in self.splits_channels:
            node.type = OPTYPE.ELEMENTWISE  # its own index arithmetic would fail on these
        super()._build_dependency(module2node)

    def _detect_unwrapped_parameters(
        self, given: object
    ) -> tuple[dict[nn.Parameter, str], list[UnwrappedParameters]]:
        """Parameters that no known layer owns: their names, and the axis that would shrink."""
        owned = {
            id(parameter)
            for layer in self.model.modules()
            if module2type(layer) != OPTYPE.ELEMENTWISE
            for parameter in layer.parameters()
        }
        names = {p: name for name, p in self.model.named_parameters() if id(p) not in owned}
        self.bare = set(names.values())
        axes = {parameter: _channel_axis(parameter) for parameter in names}
        return names, [UnwrappedParameters(p, axis) for p, axis in axes.items() if axis is not None]

    def name_of(self, node: Node) -> str:
        """Dotted name of a node's module or parameter; what the operation is, without one."""
        if node.type == OPTYPE.PARAMETER:
            return str(self._param_to_name[node.module])
        return str(self._module2name.get(node.module, node.module))


def groups(graph: DependencyGraph) -> Iterator[tuple[Node, Sequence[GraphItem], str | None]]:
    """Find every group of dependent layers, each with all of its channels.

    Args:
        graph: The network's dependency graph.

    Yields:
        The layer that a group starts from, the group's layers with their indices, and None; or
        no layers and the reason, where the graph's index arithmetic fails.
    """
    seen: set[object] = set()
    roots = [node for node in graph.module2node.values() if node.type in PRODUCERS]
    for root in roots:
        if root.module in seen:
            continue
        try:
            items = _merged(_dependent(graph, root))
        except Exception as cause:  # it knows convolution chains better than index tricks
            yield root, (), f"dependencies cannot be followed from it ({type(cause).__name__})"
            continue
        seen |= {
            i.dep.target.module for i in items if graph.is_out_channel_pruning_fn(i.dep.handler)
        }
        yield root, items, None


def _dependent(graph: DependencyGraph, root: Node) -> list[tuple[Any, tuple[_HybridIndex, ...]]]:
    """All that must follow when every channel of ``root`` goes, in the order it is met."""
    pruner = graph.get_pruner_of_module(root.module)
    cut_root = pruner.prune_out_channels
    every = tuple(_HybridIndex(i, i) for i in range(pruner.get_out_channels(root.module)))
    met = [(Dependency(cut_root, cut_root, source=root, target=root), every)]
    known = {(root, cut_root, every)}
    visited: set[Node] = set()
    stack = list(met)
    while stack:
        reached, indices = stack.pop()
        visited.add(reached.target)
        for dependency in reached.target.dependencies:
            if not dependency.is_triggered_by(reached.handler):
                continue
            mapped = indices
            for mapping in dependency.index_mapping:
                mapped = mapped if mapping is None else tuple(mapping(mapped))
            cut_here = (dependency.target, dependency.handler, mapped)
            if not mapped or (dependency.target in visited and cut_here in known):
                continue
            known.add(cut_here)
            met.append((dependency, mapped))
            stack.append((dependency, mapped))
    return met


def _merged(met: Sequence[tuple[Any, tuple[_HybridIndex, ...]]]) -> list[GraphItem]:
    """One item for each side of a layer; where it was met more than once, with each index once."""
    merged: dict[object, tuple[Any, tuple[_HybridIndex, ...]]] = {}
    for dependency, indices in met:
        key = (dependency.target, dependency.handler)
        if key in merged:
            first, so_far = merged[key]
            roots: dict[int, int] = {}
            for index in (*so_far, *indices):
                roots.setdefault(index.idx, index.root_idx)
            merged[key] = first, tuple(_HybridIndex(*pair) for pair in roots.items())
        else:
            merged[key] = dependency, indices
    items = []
    for dependency, indices in merged.values():
        item = GraphItem(dependency, [index.idx for index in indices])
        item.root_idxs = [index.root_idx for index in indices]
        items.append(item)
    return items


def cut(module: nn.Module, lost: Mapping[tuple[str, Side], Collection[int]]) -> None:
    """Remove channels of layers and parameters, in place.

    Args:
        module: The network.
        lost: Indices of the channels that go, by dotted name and side.

    Raises:
        VerificationFailed: Names what cannot be cut so.
    """
    names = {name for name, _ in module.named_modules()}
    kinds = {name: module2type(module.get_submodule(name)) for name, _ in lost if name in names}
    for (name, side), channels in lost.items():
        gone = sorted(channels)
        pruner = PrunerBox[kinds.get(name, OPTYPE.PARAMETER)]
        try:
            if name in names:
                pruner.pruning_dim = -1  # LayerNorm counts channels last
                shrink = pruner.prune_in_channels if side == "in" else pruner.prune_out_channels
                shrink(module.get_submodule(name), gone)
            else:
                parent, _, leaf = name.rpartition(".")
                whole = module.get_parameter(name)
                pruner.pruning_dim = _channel_axis(whole)
                setattr(module.get_submodule(parent), leaf, pruner.prune_out_channels(whole, gone))
        except Exception as cause:  # a layer that it does not know how to cut
            raise VerificationFailed(f"'{name}' cannot be cut: {first_line(cause)}") from cause


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Torch-Pruning's warnings: what they warn of is locked, or fails the proof."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch_pruning")
        yield


def _channel_axis(parameter: Tensor) -> int | None:
    """The axis that a parameter of no known layer counts channels on: the last that is longer."""
    longer = [axis for axis, size in enumerate(parameter.shape) if size > 1]
    return longer[-1] if longer else None


def _attends(node: Node) -> bool:
    """Whether a node is attention, or a softmax that a product of maps reads."""
    if node.type == OPTYPE.MHA or _is_one_of(node, "ScaledDotProduct"):
        return True
    stack, seen = list(node.outputs) if _is_one_of(node, "Softmax") else [], {node}
    while stack:
        after = stack.pop()
        if after in seen or after.type not in (OPTYPE.RESHAPE, OPTYPE.EXPAND, OPTYPE.ELEMENTWISE):
            continue
        if _is_one_of(after, "Bmm"):
            return True
        seen.add(after)
        stack.extend(after.outputs)
    return False


def _is_one_of(node: Node, *operations: str) -> bool:
    return str(getattr(node.module, "_grad_fn", "")).startswith(operations)


def _splits_channels(node: Node) -> bool:
    """Whether a node views feature maps in more than four dimensions, as channel shuffle does."""
    metadata = getattr(node.grad_fn, "_input_metadata", ())
    return any(len(value.shape) > 4 for value in metadata) and not isinstance(
        node.module, nn.modules.conv._ConvNd | nn.modules.batchnorm._BatchNorm
    )
