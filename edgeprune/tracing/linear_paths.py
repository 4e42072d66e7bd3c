"""How the channels that a layer reads came about, read off the dependency graph.

A recovery method that works on weights needs to know which filters, normalisations and sums lie
between the layers that make a group's channels and a layer that reads them. Activation functions,
pooling and squeeze-excite gates are treated as the identity: the closed forms reason
about the linear part. Where the path is not of these kinds there is no path.
"""

from __future__ import annotations

from edgeprune.artifacts import BatchNormed, Depthwise, Filters, LinearPath, Scaled, Sum
from edgeprune.graph.dependency import OPTYPE, DependencyGraph, Node

GATES = ("SigmoidBackward", "HardsigmoidBackward")
PASSED = (OPTYPE.ELEMENTWISE, OPTYPE.RESHAPE, OPTYPE.PRELU, OPTYPE.CONCAT)
FOLLOWED = (*PASSED, OPTYPE.BN, OPTYPE.DEPTHWISE_CONV)


class LinearPaths:
    """Reads paths inside one channel group.

    Args:
        graph: The network's dependency graph.
        nodes: Nodes of the group, which paths never leave.
    """

    def __init__(self, graph: DependencyGraph, nodes: set[Node]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._known: dict[Node, LinearPath | None] = {}

    def read_by(self, node: Node) -> LinearPath | None:
        """The path on the input of ``node``; None where it is not a linear one."""
        for source in self._sources(node):
            self._follow(source)
        return self._read(node)

    def _follow(self, last: Node) -> None:
        """Find the path on the output of a node, and before it those that it is made of.

        A stack of our own, for Python's ends within a few hundred layers.
        """
        stack = [] if last in self._known else [last]
        while stack:
            node = stack[-1]
            self._known.setdefault(node, None)  # a layer used twice would lead back to itself
            behind = self._sources(node) if node.type in FOLLOWED else []
            unknown = next((source for source in behind if source not in self._known), None)
            if unknown is not None:
                stack.append(unknown)
            else:
                self._known[stack.pop()] = self._made(node)

    def _made(self, node: Node) -> LinearPath | None:
        """The path on the output of a node whose sources are known."""
        if node.type in (OPTYPE.CONV, OPTYPE.LINEAR):
            return Filters(self._graph.name_of(node))
        of = self._read(node) if node.type in FOLLOWED else None
        if of is None or node.type in PASSED:
            return of
        if node.type == OPTYPE.BN and node.module.running_mean is None:
            return None  # normalised by each batch's own statistics
        wrapper = BatchNormed if node.type == OPTYPE.BN else Depthwise
        return wrapper(self._graph.name_of(node), of)

    def _sources(self, node: Node) -> list[Node]:
        """The nodes whose channels a node reads; none where it joins them in no linear way."""
        inputs = self._inputs(node)
        if len(inputs) == 1 or _does(node, "AddBackward"):
            return inputs
        if not _does(node, "MulBackward"):
            return []
        factors = [given for given in inputs if not _does(given, *GATES)]  # a gate is a constant
        scales = [given for given in factors if given.type == OPTYPE.PARAMETER]
        others = [given for given in factors if given.type != OPTYPE.PARAMETER]
        return others if len(others) == 1 and len(scales) <= 1 else []

    def _read(self, node: Node) -> LinearPath | None:
        """The path on the input of a node whose sources are known."""
        paths = [self._known[source] for source in self._sources(node)]
        terms = tuple(path for path in paths if path is not None)
        if not terms or len(terms) < len(paths):
            return None
        if len(terms) > 1:
            return Sum(terms)
        scales = [given for given in self._inputs(node) if given.type == OPTYPE.PARAMETER]
        if len(self._inputs(node)) == 1 or not scales:
            return terms[0]
        return Scaled(self._graph.name_of(scales[0]), terms[0])

    def _inputs(self, node: Node) -> list[Node]:
        return [given for given in node.inputs if given in self._nodes and not _is_weight(given)]


def _is_weight(node: Node) -> bool:
    """A transposed or reshaped weight on its way into a functional layer."""
    return not node.inputs and node.type in (OPTYPE.ELEMENTWISE, OPTYPE.RESHAPE)


def _does(node: Node, *operations: str) -> bool:
    """Whether a node's operation is one of those, by the beginnings of autograd's names."""
    return str(getattr(node.module, "_grad_fn", "")).startswith(operations)
