"""Which nodes of a graph stay in float when the others are quantized, and why.

Codes of eight bits tie where logits do not: behind a quantizer the two likeliest classes are often
one code, and half of the answers are then wrong. So nothing between the last layer with weights and
an output is quantized, and that layer's own result is not. Where the range of an input is not
known, no code can stand for it, and the first layer computes in float.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import onnx

from edgeprune.calibration.onnx_operators import CONVOLUTIONS, WEIGHTED
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

JOINS = ("Add", "Sub", "Mul", "Div", "Sum")
"""Nodes where branches meet: behind the last of them lies the output, before it the network."""
MAPS = 4
"""Axes of a feature map. Branches that meet with fewer are a detector's boxes that are decoded."""

QUANTIZED = (
    *WEIGHTED,
    *("Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Concat", "Split", "Resize"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Pad", "Slice", "Gather"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
)
"""Operators that are computed in, or move, codes of eight bits."""

OUTPUT = "a graph output must not tie"
ASKED = "asked for"
SLOWER = "slower in 8 bits"
UNKNOWN_INPUT = "the input's range is not known"
BOTH_VARY = "a product of activations"
NO_RANGE = "no range is known in closed form"


@dataclass(slots=True)
class FloatPart:
    """What stays float.

    Attributes:
        nodes: Names of the nodes, each with the reason.
        tensors: Tensors that no quantizer may take, although the node that makes them has quantized
            inputs.
    """

    nodes: dict[str, str] = field(default_factory=dict)
    tensors: set[str] = field(default_factory=set)


def float_part(
    model: onnx.ModelProto,
    *,
    unknown_inputs: Collection[str] = (),
    keep: Sequence[str] = (),
    slower: Collection[str] = (),
    unranged: Collection[str] = (),
) -> FloatPart:
    """Decide what stays float.

    Args:
        model: The graph; each node has a name of its own.
        unknown_inputs: Inputs whose range is not known.
        unranged: Tensors without a range; what reads or makes them stays float.
        keep: Globs of names of nodes, or of the layers whose weights they hold.
        slower: Names of nodes that were measured to be slower in 8 bits, conversions included.

    Returns:
        Nodes and tensors; only nodes that could be quantized are named.

    Raises:
        UsageError: When a glob fits no node.
    """
    graph, part = model.graph, FloatPart()
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMul" and not constants.intersection(node.input):
            part.nodes[node.name] = BOTH_VARY
        if not {*node.input, *node.output}.isdisjoint(unranged):
            part.nodes[node.name] = NO_RANGE
    part.tensors.update(unranged)
    _behind_inputs(graph, unknown_inputs, part)
    for glob in keep:
        chosen = [node.name for node in graph.node if _fits(node, glob)]
        if not chosen:
            raise UsageError(f"--keep-float {glob} fits no node and no layer of the network")
        part.nodes |= dict.fromkeys(chosen, ASKED)
    part.nodes = dict.fromkeys(slower, SLOWER) | part.nodes
    _before_outputs(model, constants, part)
    quantizable = {node.name for node in graph.node if node.op_type in QUANTIZED}
    part.nodes = {name: why for name, why in part.nodes.items() if name in quantizable}
    return part


def layer_of(node: onnx.NodeProto) -> str:
    """The layer whose weights a node holds, by its name in PyTorch; else the node's own name."""
    if node.op_type in WEIGHTED and len(node.input) > 1:
        layer, _, last = node.input[1].rpartition(".")
        if layer and last.startswith("weight"):
            return str(layer)
    return str(node.name)


def _fits(node: onnx.NodeProto, glob: str) -> bool:
    return node.op_type in QUANTIZED and any(
        fnmatchcase(name, glob) for name in (node.name, layer_of(node))
    )


def _behind_inputs(graph: onnx.GraphProto, inputs: Iterable[str], part: FloatPart) -> None:
    """Follow what depends on the inputs up to the first layers with weights, these included."""
    consumers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    pending = list(inputs)
    part.tensors.update(pending)
    while pending:
        for node in consumers[pending.pop()]:
            if node.name not in part.nodes:
                part.nodes[node.name] = UNKNOWN_INPUT
                if node.op_type not in WEIGHTED:
                    pending.extend(node.output)
                    part.tensors.update(node.output)


def _before_outputs(model: onnx.ModelProto, constants: set[str], part: FloatPart) -> None:
    """Follow the outputs back to the last layers with weights and the last joins of branches.

    A convolution there computes in float: runtimes have no convolution from codes to floats. The
    product of a linear layer leaves its integers as floats anyway, so its inputs are quantized.
    Behind a detector's last convolutions, corners of boxes are added to the places of a grid: all
    of that computes in float, where a code would stand for several pixels.
    """
    graph, maps = model.graph, _feature_maps(model)
    makers = {name: node for node in graph.node for name in node.output}
    pending, seen = [each.name for each in graph.output], set()
    while pending:
        name = pending.pop()
        node = makers.get(name)
        if name in seen or node is None or name in constants:
            continue
        seen.update(node.output)
        part.tensors.update(node.output)
        if node.op_type in CONVOLUTIONS:
            part.nodes.setdefault(node.name, OUTPUT)
        elif node.op_type not in WEIGHTED:
            part.nodes.setdefault(node.name, OUTPUT)
            branches = [each for each in node.input if each in makers]
            if node.op_type not in JOINS or len(branches) < 2 or maps.isdisjoint(branches):
                pending.extend(branches)


def _feature_maps(model: onnx.ModelProto) -> set[str]:
    """The tensors that have a feature map's axes, or are not known to have fewer."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    fewer = {
        each.name
        for each in (*inferred.input, *inferred.value_info, *inferred.output)
        if each.type.tensor_type.HasField("shape") and len(each.type.tensor_type.shape.dim) < MAPS
    }
    return {name for node in inferred.node for name in node.output} - fewer
