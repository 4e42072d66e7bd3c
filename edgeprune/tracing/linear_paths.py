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
        inputs = [given for given in node.inputs if given in self._nodes and not _is_weight(given)]
        operation = str(getattr(node.module, "_grad_fn", ""))
        if len(inputs) == 1:
            return self._of(inputs[0])
        if operation.startswith("AddBackward"):
            terms = tuple(self._of(given) for given in inputs)
            return Sum(tuple(t for t in terms if t)) if terms and all(terms) else None
        if operation.startswith("MulBackward"):
            return self._of_product(inputs)
        return None

    def _of(self, node: Node) -> LinearPath | None:
        """The path on the output of a node of the group."""
        if node not in self._known:
            self._known[node] = None  # a layer used twice would lead back to itself
            self._known[node] = self._traced(node)
        return self._known[node]

    def _traced(self, node: Node) -> LinearPath | None:
        if node.type in (OPTYPE.CONV, OPTYPE.LINEAR):
            return Filters(self._graph.name_of(node))
        if node.type == OPTYPE.BN and node.module.running_mean is None:
            return None  # normalised by each batch's own statistics
        if node.type in (OPTYPE.BN, OPTYPE.DEPTHWISE_CONV):
            of = self.read_by(node)
            wrapper = BatchNormed if node.type == OPTYPE.BN else Depthwise
            return None if of is None else wrapper(self._graph.name_of(node), of)
        return self.read_by(node) if node.type in PASSED else None

    def _of_product(self, inputs: list[Node]) -> LinearPath | None:
        """A parameter scales its channels; a sigmoid gate passes as a constant."""
        factors = [given for given in inputs if not _is_gate(given)]
        scales = [given for given in factors if given.type == OPTYPE.PARAMETER]
        others = [given for given in factors if given.type != OPTYPE.PARAMETER]
        if len(others) != 1 or len(scales) > 1:
            return None
        of = self._of(others[0])
        if of is None or not scales:
            return of
        return Scaled(self._graph.name_of(scales[0]), of)


def _is_weight(node: Node) -> bool:
    """A transposed or reshaped weight on its way into a functional layer."""
    return not node.inputs and node.type in (OPTYPE.ELEMENTWISE, OPTYPE.RESHAPE)


def _is_gate(node: Node) -> bool:
    return str(getattr(node.module, "_grad_fn", "")).startswith(GATES)
