"""Keep float layers between quantized ones float: ONNX Runtime would quantize them by itself.

A convolution with float weights between a DequantizeLinear and a QuantizeLinear is taken for one
whose weights somebody forgot, and gets 8-bit weights with a single scale when the file is loaded
(its optimizer WeightBiasQuantization). It asks for a single scale of the activations too, so such a
layer reads its input through a DequantizeLinear of its own that has one scale for each channel, all
alike: the same numbers, and the weights stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from edgeprune.calibration.onnx_operators import DEQUANTIZE

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgeprune.parity import Array


def keep_islands_float(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Give float layers a DequantizeLinear with a scale for each channel, in place.

    Args:
        model: A quantized graph.
        names: Names of its float nodes; those that read no codes, or have no weights, are left.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    decoding = {node.output[0]: node for node in graph.node if node.op_type == DEQUANTIZE}
    for node in list(graph.node):
        shared = decoding.get(node.input[0]) if node.input else None
        if node.name not in names or shared is None or len(node.input) < 2:
            continue
        weight = stored.get(node.input[1])
        channels = _input_channels(node, weight) if weight is not None else 0
        if not channels:
            continue
        codes, *step = shared.input
        made = [codes]
        for tensor in (stored[name] for name in step):
            name = f"{tensor.name}_of_{node.name}"
            spread: Array = np.full(channels, numpy_helper.to_array(tensor))
            graph.initializer.append(numpy_helper.from_array(spread, name))
            made.append(name)
        own = f"{shared.output[0]}_of_{node.name}"
        graph.node.append(onnx.helper.make_node(DEQUANTIZE, made, [own], own, axis=1))
        node.input[0] = own
    _remove_unread(graph)


def _remove_unread(graph: onnx.GraphProto) -> None:
    """Remove the DequantizeLinear nodes that nothing reads any more."""
    read = {name for node in graph.node for name in node.input}
    read.update(each.name for each in graph.output)
    for node in list(graph.node):
        if node.op_type == DEQUANTIZE and node.output[0] not in read:
            graph.node.remove(node)


def _input_channels(node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    """Channels that a layer reads; 0 where it has none that a scale could be for."""
    whole = {each.name: each.i for each in node.attribute}
    if node.op_type == "Conv":
        return int(weight.dims[1] * whole.get("group", 1))
    if node.op_type == "ConvTranspose":
        return int(weight.dims[0])
    if node.op_type == "Gemm" and not whole.get("transA", 0):
        return int(weight.dims[1 if whole.get("transB", 0) else 0])
    return 0
