"""Weights stored in fewer bits and computed with as floats: a smaller file that is no slower.

A runtime folds what depends on constants alone when it loads a file. So a float32 weight may stand
in the file as 16-bit floats behind a Cast, or as 4-bit integers behind a Cast and a Mul with the
step of their channel: ONNX Runtime and OpenVINO decode it once, and then run the float file's own
kernels. DequantizeLinear in the place of Cast and Mul would not do: ONNX Runtime never folds it,
and decodes at every inference. (It has one operator that computes with 4-bit weights, MatMulNBits,
for matrix products; none for convolutions.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeprune.calibration.onnx_operators import CONVOLUTIONS, WEIGHTED, filters_first
from edgeprune.errors import VerificationFailed
from edgeprune.export.qdq import WeightCodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from edgeprune.parity import Array

LARGEST_HALF = float(np.finfo(np.float16).max)
LEAST_FOR_CODES = 21
"""The first opset whose Cast takes 4-bit integers."""
IR_FOR_CODES = 10
"""The first version of the format with 4-bit integers."""

SMALL_SHARE = 0.01
"""A layer that holds less of all weights takes 8 bits where others take 4: 4 would save next to
nothing, and the first layer and depthwise ones, which suffer most, are such."""
SHRINKAGE = np.linspace(0.4, 1.0, 25)
"""Shares of a channel's largest weight that are tried as the largest code."""


def weights_of(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Array]]:
    """The nodes with constant weights, each with these; weights that are shared come once."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    seen = set()
    for node in model.graph.node:
        tensor = stored.get(node.input[1]) if node.op_type in WEIGHTED else None
        if tensor is not None and tensor.name not in seen and tensor.data_type == TensorProto.FLOAT:
            seen.add(tensor.name)
            yield node, numpy_helper.to_array(tensor)


def with_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its weights stored as 16-bit floats; those beyond their range stay."""
    halves = {
        node.input[1]: [numpy_helper.from_array(values.astype(np.float16), f"{node.input[1]}_half")]
        for node, values in weights_of(model)
        if np.abs(values).max(initial=0) <= LARGEST_HALF
    }
    return _decoding(model, halves)


def with_stored_codes(model: onnx.ModelProto, layers: Collection[WeightCodes]) -> onnx.ModelProto:
    """The graph with the weights of some layers stored as 4-bit or 8-bit integers, and a scale.

    Args:
        model: The float graph; not changed.
        layers: Codes and scales.
    """
    stored = {}
    for layer in layers:
        kind = TensorProto.INT4 if layer.largest == 7 else TensorProto.INT8
        name = f"{layer.tensor}_codes"
        codes = _packed(name, kind, layer.codes.astype(np.int8))
        scale = numpy_helper.from_array(layer.scale.astype(np.float32), f"{layer.tensor}_scale")
        stored[layer.tensor] = [codes, scale]
    changed = _decoding(model, stored)
    changed.ir_version = max(changed.ir_version, IR_FOR_CODES)
    return changed


def check_halves(stored: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Prove that every weight stored as a 16-bit float is the nearest one.

    Raises:
        VerificationFailed: Names the weights.
    """
    halves = {each.name: numpy_helper.to_array(each) for each in stored.graph.initializer}
    for node, values in weights_of(original):
        half = halves.get(f"{node.input[1]}_half")
        if half is not None:
            spacing = np.spacing(np.abs(half)).astype(np.float64)
            if (np.abs(half.astype(np.float64) - values) > spacing / 2 * (1 + 1e-6)).any():
                raise VerificationFailed(f"{node.input[1]!r} is not the nearest 16-bit float")


def check_codes(stored: onnx.ModelProto, layers: Collection[WeightCodes]) -> None:
    """Prove that every stored code is a neighbour of its float weight, in the stored step.

    Raises:
        VerificationFailed: Names the weights.
    """
    held = {each.name: numpy_helper.to_array(each) for each in stored.graph.initializer}
    for layer in layers:
        codes, scale = (held[f"{layer.tensor}_{part}"] for part in ("codes", "scale"))
        exact = layer.values.astype(np.float64) / scale.astype(np.float64)
        exact = np.clip(exact, -layer.largest, layer.largest)
        if (np.abs(codes.astype(np.float64) - exact) > 1 + 1e-4).any():
            raise VerificationFailed(f"{layer.tensor!r} is stored as codes of other weights")


def nearest_codes(model: onnx.ModelProto) -> list[WeightCodes]:
    """Every layer's weights as the nearest 4-bit codes, or 8-bit ones where the layer is small.

    The step of a channel is the one, of a few below its largest weight's, whose codes are nearest
    to the weights in the mean square.
    """
    found = list(weights_of(model))
    total = sum(values.size for _, values in found)
    made = []
    for node, values in found:
        largest = 127 if _small(node, values, total) else 7
        scale = _steps(values, _channel_axis(node), largest)
        codes = np.clip(np.rint(values / scale), -largest, largest).astype(np.int8)
        names = node.name, node.input[0], node.input[1]
        made.append(WeightCodes(*names, values, codes, scale, node, largest))
    return made


def _small(node: onnx.NodeProto, values: Array, total: int) -> bool:
    depthwise = node.op_type in CONVOLUTIONS and values.shape[1] == 1
    return depthwise or values.size < SMALL_SHARE * total


def _channel_axis(node: onnx.NodeProto) -> int:
    """The axis of the output channels among those of the weights."""
    return 0 if filters_first(node) else 1


def _steps(values: Array, axis: int, largest: int) -> Array:
    """The step of each channel, in the shape that multiplies its codes."""
    others = tuple(n for n in range(values.ndim) if n != axis)
    most = np.abs(values).max(axis=others, keepdims=True)
    most = np.where(most > 0, most, 1).astype(np.float64)
    best, least = most / largest, np.full(most.shape, np.inf)
    for share in SHRINKAGE:
        step = share * most / largest
        off = np.clip(np.rint(values / step), -largest, largest) * step - values
        error = np.square(off).sum(axis=others, keepdims=True)
        best, least = np.where(error < least, step, best), np.minimum(error, least)
    return best.astype(np.float32)


def _packed(name: str, kind: int, codes: Array) -> onnx.TensorProto:
    if kind == TensorProto.INT8:
        return numpy_helper.from_array(codes, name)
    return helper.make_tensor(name, kind, codes.shape, codes.flatten().tolist())


def _decoding(
    model: onnx.ModelProto, stored: Mapping[str, list[onnx.TensorProto]]
) -> onnx.ModelProto:
    """The graph with some weights replaced by what is stored for them: codes, perhaps a scale."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph, nodes = changed.graph, []
    for tensor in [each for each in graph.initializer if each.name in stored]:
        graph.initializer.remove(tensor)
        codes, *scale = stored[tensor.name]
        graph.initializer.extend((codes, *scale))
        floats = f"{tensor.name}_floats" if scale else tensor.name
        nodes.append(helper.make_node("Cast", [codes.name], [floats], to=TensorProto.FLOAT))
        if scale:
            nodes.append(helper.make_node("Mul", [floats, scale[0].name], [tensor.name]))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend((*nodes, *kept))
    return changed
