"""What a runtime says of its operators → the time of each node of the ONNX file.

A runtime fuses nodes, changes layouts and converts tensors, and names what it runs after a node or
a tensor of the file, with a suffix of its own. An operator that bears no such name (a change of
layout) belongs to the one that ran before it; unless it stands beside a conversion between float
and 8 bits, where both are the price of the conversion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import onnx

from edgeprune.calibration.onnx_operators import DEQUANTIZE, QUANTIZE
from edgeprune.stats import P5, quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeprune.artifacts import OperatorTimes

SUFFIXES = (re.compile(r"(?:_nchwc|_nhwc|_token_\d+)$"), re.compile(r"/[^/]*$"))
"""What ONNX Runtime and OpenVINO put behind the name of a node or a tensor; the first comes off
first."""

CONVERSION = re.compile(r"(.+)_(?:Quantize|Dequantize)Linear")
"""Begins the name of a conversion between float and 8 bits, after its tensor."""


class LayerGraph:
    """The nodes of an ONNX graph, what each reads and makes, and how large tensors are.

    Args:
        model: The file; every node has a name of its own.

    Attributes:
        nodes: Nodes by name, in the order of execution.
        producer: Name of the node that makes a tensor.
        consumers: Names of the nodes that read a tensor.
        inputs: Names of the graph's inputs.
        outputs: Names of the graph's outputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        self.nodes: dict[str, onnx.NodeProto] = {node.name: node for node in graph.node}
        self.producer: dict[str, str] = {
            made: node.name for node in graph.node for made in node.output if made
        }
        self.consumers: dict[str, list[str]] = {}
        for node in graph.node:
            for read in node.input:
                self.consumers.setdefault(read, []).append(node.name)
        constants = {each.name for each in graph.initializer}
        self.inputs = tuple(each.name for each in graph.input if each.name not in constants)
        self.outputs = tuple(each.name for each in graph.output)
        known = (*graph.input, *graph.output, *graph.value_info)
        self._elements = {each.name: _elements(each) for each in known}

    def elements(self, tensor: str) -> int:
        """Number of elements of a tensor, open sizes counted as 1; 0 where it is not known."""
        return self._elements.get(tensor, 0)

    def node_called(self, name: str) -> str | None:
        """The node that an operator of a runtime is named after; None where there is none."""
        while name:
            if name in self.nodes:
                return name
            if name in self.producer:
                return self.producer[name]
            name = _without_ending(name)
        return None


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """How long the nodes of a file take in one inference.

    Attributes:
        seconds: By name of node; a node that is fused into another has none.
        conversions: For each conversion between float and 8 bits, the elements and the seconds.
    """

    seconds: Mapping[str, float]
    conversions: tuple[tuple[int, float], ...]


def node_times(graph: LayerGraph, told: Sequence[OperatorTimes]) -> NodeTimes:
    """Share the times of a runtime's operators among the nodes of a file.

    Args:
        graph: The file before quantization, whose names the quantized one keeps.
        told: The operators of the file or of its quantized form, in the order of execution.

    Returns:
        The time of each node: the 5 % quantile of its runs, what interrupts one only adds to it.
    """
    seconds: dict[str, float] = {}
    conversions: list[tuple[int, float]] = []
    before: str | None = None
    for node, tensor, took in _grouped(graph, told):
        before = node or before
        if tensor is not None:
            conversions.append((graph.elements(tensor), took))
        elif before is not None:
            seconds[before] = seconds.get(before, 0.0) + took
    return NodeTimes(seconds, tuple(conversions))


def _grouped(
    graph: LayerGraph, told: Sequence[OperatorTimes]
) -> Iterator[tuple[str | None, str | None, float]]:
    """Node, tensor converted, and seconds: one item a node, or a run of operators without one."""
    tensor: str | None = None
    pending = 0.0
    for each in told:
        took = quantile(each.samples_s, P5)
        converted = _converted(each)
        node = None if converted else graph.node_called(each.name)
        if node is None:
            tensor, pending = converted or tensor, pending + took
            continue
        if pending:
            yield None, tensor, pending
        yield node, None, took
        tensor, pending = None, 0.0
    if pending:
        yield None, tensor, pending


def _converted(operator: OperatorTimes) -> str | None:
    """The tensor that an operator converts between float and 8 bits; None for any other."""
    named = CONVERSION.match(operator.name)
    if named:
        return named[1]
    return operator.name if operator.kind in (QUANTIZE, DEQUANTIZE) else None


def _without_ending(name: str) -> str:
    """The name before its last suffix; empty where there is none."""
    found = (suffix.search(name) for suffix in SUFFIXES)
    return next((name[: match.start()] for match in found if match), "")


def _elements(value: onnx.ValueInfoProto) -> int:
    sizes = value.type.tensor_type.shape.dim
    return prod(size.dim_value or 1 for size in sizes)
