"""A float ONNX graph and ranges → the graph with QuantizeLinear and DequantizeLinear nodes (QDQ).

The nodes are written by ONNX Runtime's own tool, which knows what its kernels fuse; the ranges, the
rounding and what stays float are ours.
"""

from __future__ import annotations

import copy
import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QDQQuantizer, QuantType, TensorData

from edgeprune.calibration.onnx_operators import DEQUANTIZE, QUANTIZE, WEIGHTED
from edgeprune.export.calling import without_logging
from edgeprune.export.float_islands import keep_islands_float
from edgeprune.export.float_part import QUANTIZED, FloatPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgeprune.artifacts import ActivationType, Range
    from edgeprune.parity import Array

CODES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


@dataclass(frozen=True, slots=True, eq=False)
class WeightCodes:
    """The codes of one layer's weights, w ≈ scale · codes.

    Attributes:
        node: Name of the node that reads the weights.
        reads: Name of the float tensor that it multiplies with them.
        tensor: Name of the float weights.
        values: The float weights.
        codes: Signed codes in the same shape.
        scale: Step of each output channel, in the shape that multiplies ``codes``.
        layer: The node itself, of the float graph.
        largest: Largest magnitude of a code.
    """

    node: str
    reads: str
    tensor: str
    values: Array
    codes: Array
    scale: Array
    layer: onnx.NodeProto
    largest: int = 127


class _Quantizer(QDQQuantizer):  # type: ignore[misc]
    """ONNX Runtime's quantizer that leaves some tensors alone."""

    float_tensors: frozenset[str] = frozenset()

    def quantize_activation_tensor(self, tensor_name: str) -> None:
        if tensor_name not in self.float_tensors:
            super().quantize_activation_tensor(tensor_name)

    def quantize_output_same_as_input(
        self, output_name: str, input_name: str, node_name: str
    ) -> None:
        if output_name not in self.float_tensors:
            super().quantize_output_same_as_input(output_name, input_name, node_name)


def write_qdq(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    part: FloatPart,
    activations: ActivationType,
) -> onnx.ModelProto:
    """Quantize a graph; weights by output channel to the nearest signed code.

    Args:
        model: The float graph, BatchNorms folded; not changed.
        ranges: Range of every float activation.
        part: What stays float.
        activations: Type of the activations' codes.

    Returns:
        The quantized graph.
    """
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    with without_logging():
        quantizer = _Quantizer(
            copy.deepcopy(model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=CODES[activations],
            tensors_range=data,
            nodes_to_quantize=[],
            nodes_to_exclude=list(part.nodes),
            op_types_to_quantize=list(QUANTIZED),
            extra_options={},
        )
        quantizer.float_tensors = frozenset(part.tensors)
        quantized: onnx.ModelProto = quantizer.quantize_model()
    keep_islands_float(quantized, part.nodes)
    _sort(quantized.graph)
    return quantized


def _sort(graph: onnx.GraphProto) -> None:
    """Put nodes behind those that they read; the earlier first wherever there is a choice."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    consumers = defaultdict(list)
    waiting = []
    for place, node in enumerate(graph.node):
        read = {makers[name] for name in node.input if name in makers}
        waiting.append(len(read))
        for maker in read:
            consumers[maker].append(place)
    ready = [place for place, count in enumerate(waiting) if not count]
    ordered = []
    while ready:
        place = heapq.heappop(ready)
        ordered.append(graph.node[place])
        for consumer in consumers[place]:
            waiting[consumer] -= 1
            if not waiting[consumer]:
                heapq.heappush(ready, consumer)
    nodes = [copy.deepcopy(node) for node in ordered]
    del graph.node[:]
    graph.node.extend(nodes)


def quantized_activations(model: onnx.ModelProto) -> dict[str, str]:
    """The float tensors that are turned into codes, each with the name of the codes."""
    return {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == QUANTIZE}


def weight_codes(quantized: onnx.ModelProto, original: onnx.ModelProto) -> Iterator[WeightCodes]:
    """The codes of all layers' weights, beside the floats that they stand for.

    Args:
        quantized: A graph from :func:`write_qdq`.
        original: The float graph that it was made from.
    """
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    made_by = {node.output[0]: node for node in quantized.graph.node if node.op_type == DEQUANTIZE}
    before = {node.name: node for node in original.graph.node}
    for node in quantized.graph.node:
        decoding = made_by.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in WEIGHTED or decoding is None or decoding.input[0] not in stored:
            continue
        layer = before[node.name]
        reads, tensor = layer.input[:2]
        codes, scale = (numpy_helper.to_array(stored[name]) for name in decoding.input[:2])
        axis = next((a.i for a in decoding.attribute if a.name == "axis"), 1)
        shape = [1] * codes.ndim
        if scale.ndim:
            shape[axis] = -1
        values = numpy_helper.to_array(floats[tensor])
        yield WeightCodes(node.name, reads, tensor, values, codes, scale.reshape(shape), layer)


def with_codes(quantized: onnx.ModelProto, chosen: Mapping[str, Array]) -> onnx.ModelProto:
    """The graph with other codes for the weights of some nodes, by name; float ones stay float."""
    changed = copy.deepcopy(quantized)
    made_by = {node.output[0]: node for node in changed.graph.node if node.op_type == DEQUANTIZE}
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    for node in changed.graph.node:
        decoding = made_by.get(node.input[1]) if node.name in chosen else None
        if decoding is not None and decoding.input[0] in stored:
            tensor = stored[decoding.input[0]]
            codes = chosen[node.name].astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(codes, tensor.name))
    return changed
