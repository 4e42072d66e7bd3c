"""Torch-Pruning's dependency graph, made safe: the only file that imports it.

Which channels depend on which is Torch-Pruning's to find (Fang et al., "DepGraph: Towards Any
Structural Pruning", arXiv:2301.12900); which of them go is decided elsewhere, and whether the cut
was right is proved elsewhere. Here its sharp edges are covered: the graph is traced with
gradients enabled and a batch of two, a view that splits the channel axis does not crash it, and
tracing is limited in time.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch_pruning._helpers import GroupItem as GraphItem
from torch_pruning.dependency.node import Node
from torch_pruning.ops import OPTYPE

from edgeprune.errors import ModelUnsupported, Unstoppable, failing_as

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["OPTYPE", "DependencyGraph", "GraphItem", "Node", "build", "cut", "groups", "time_limit"]


PRODUCERS = (OPTYPE.CONV, OPTYPE.DEPTHWISE_CONV, OPTYPE.LINEAR)
"""Layers that make channels of their own."""


class DependencyGraph(torch_pruning.DependencyGraph):  # type: ignore[misc]
    """A dependency graph that also knows where channels leave the network or lose their order.

    Attributes:
        outputs: Nodes whose value the network returns.
        splits_channels: Nodes after which channel indices mean nothing: views with more dimensions
            than images have, as channel shuffle takes.
        live: Names of the parameters that take part in inference.
    """

    model: nn.Module
    outputs: set[Node]
    splits_channels: set[Node]
    live: set[str]

    def _build_dependency(self, module2node: dict[object, Node]) -> None:
        split = {node for node in module2node.values() if _splits_channels(node)}
        merged = {after for node in split for after in node.outputs if after.type == OPTYPE.RESHAPE}
        self.splits_channels = split | merged
        for node in self.splits_channels:
            node.type = OPTYPE.ELEMENTWISE  # its own index arithmetic would fail on these
        super()._build_dependency(module2node)

    def name_of(self, node: Node) -> str:
        """Dotted name of a node's module or parameter; what the operation is, without one."""
        if node.type == OPTYPE.PARAMETER:
            return str(self._param_to_name[node.module])
        return str(self._module2name.get(node.module, node.module))


def build(module: nn.Module, inputs: Sequence[Tensor]) -> DependencyGraph:
    """Trace ``module``, whose parameters must all require gradients, into a dependency graph.

    Args:
        module: A copy of the network: its mode is changed, and :func:`cut` will cut it.
        inputs: One tensor for each positional input, batch of two.

    Returns:
        The graph, bound to ``module``.

    Raises:
        ModelUnsupported: If the network cannot be traced.
    """
    graph = DependencyGraph()
    returned: list[Tensor] = []

    def remember(output: object) -> object:
        returned.extend(leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor))
        return returned

    with failing_as(ModelUnsupported, "cannot trace the network"), torch.enable_grad(), _quiet():
        graph.build_dependency(
            module,
            tuple(inputs),
            forward_fn=lambda network, given: network(*given),  # the default calls it twice
            output_transform=remember,
            verbose=False,
        )
    gradients = {tensor.grad_fn for tensor in returned}
    graph.outputs = {node for node in graph.module2node.values() if node.grad_fn in gradients}
    live = _leaf_ids(gradients)
    graph.live = {name for name, value in module.named_parameters() if id(value) in live}
    return graph


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
        pruner = graph.get_pruner_of_module(root.module)
        every = list(range(pruner.get_out_channels(root.module)))
        try:
            with _quiet():
                items = graph.get_pruning_group(root.module, pruner.prune_out_channels, every).items
        except Exception as cause:  # it knows convolution chains better than index tricks
            yield root, (), f"dependencies cannot be followed from it ({type(cause).__name__})"
            continue
        seen |= {
            i.dep.target.module for i in items if graph.is_out_channel_pruning_fn(i.dep.handler)
        }
        yield root, items, None


def cut(graph: DependencyGraph, layer: str, removed: Sequence[int]) -> None:
    """Remove output channels of ``layer``, and of all that depends on them, from the network.

    Args:
        graph: Built on the network to be cut.
        layer: Dotted name of the group's first layer.
        removed: Absolute indices of its output channels.
    """
    module = graph.model.get_submodule(layer)
    pruner = graph.get_pruner_of_module(module)
    with _quiet():
        graph.get_pruning_group(module, pruner.prune_out_channels, list(removed)).prune()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt this thread after ``seconds``, between two bytecodes.

    Unlike SIGALRM this works in any thread and on any system. It insists once a second, because
    the graph's tracer swallows one exception of any kind.

    Raises:
        ModelUnsupported: When time is up.
    """
    over = threading.Event()
    thread = ctypes.c_ulong(threading.get_ident())

    def insist() -> None:
        pause = seconds
        while not over.wait(pause):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_TooSlow))
            pause = 1.0

    watch = threading.Thread(target=insist, daemon=True)
    watch.start()
    try:
        yield
    except _TooSlow:
        raise ModelUnsupported(
            f"tracing took longer than {seconds:g} s and was stopped; networks with windowed "
            "attention are not supported"
        ) from None
    finally:
        over.set()
        watch.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Torch-Pruning's warnings: what they warn of is locked, or fails the proof."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch_pruning")
        yield


class _TooSlow(Unstoppable):
    """Tracing has taken too long."""


def _splits_channels(node: Node) -> bool:
    """Whether a node views feature maps in more than four dimensions, as channel shuffle does."""
    metadata = getattr(node.grad_fn, "_input_metadata", ())
    return any(len(value.shape) > 4 for value in metadata) and not isinstance(
        node.module, nn.modules.conv._ConvNd | nn.modules.batchnorm._BatchNorm
    )


def _leaf_ids(roots: Collection[object]) -> set[int]:
    """Identities of the leaf tensors that the given gradient functions lead back to."""
    stack, seen, leaves = [root for root in roots if root is not None], set(), set()
    while stack:
        function = stack.pop()
        if function in seen:
            continue
        seen.add(function)
        if hasattr(function, "variable"):
            leaves.add(id(function.variable))
        stack.extend(parent for parent, _ in getattr(function, "next_functions", ()) if parent)
    return leaves
