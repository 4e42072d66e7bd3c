"""What the counter knows of each ONNX operator: whether it may run in place, and its MACs."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, TypeAlias

from edgeprune.errors import ModelUnsupported

if TYPE_CHECKING:
    import onnx

Shape: TypeAlias = tuple[int, ...]
ShapeOf: TypeAlias = Callable[[str], Shape]

RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"}
NORMS = {
    *("BatchNormalization", "InstanceNormalization", "LayerNormalization"),
    *("GroupNormalization", "RMSNormalization", "LpNormalization"),
}
POINTWISE = {
    *("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Clip", "Gelu"),
    *("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Softplus", "Softsign", "Tanh"),
    *("Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "Cast"),
}
SHAPE_READERS = {"Shape", "Size"}
CONTROL_FLOW = {"If", "Loop", "Scan"}
SETTINGS_FROM = {
    "BatchNormalization": 3,
    **dict.fromkeys(("Resize", "Upsample", "Clip", "Pad", "DequantizeLinear"), 1),
}
"""From which input on an operator's constants are statistics or settings, not parameters."""


def _convolution(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Every output element is a sum over the filter (C_in / groups, k…)."""
    return prod(shape(node.output[0])) * prod(shape(node.input[1])[1:])


def _transposed_convolution(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Every input element is spread by the filter (C_out / groups, k…)."""
    return prod(shape(node.input[0])) * prod(shape(node.input[1])[1:])


def _matrix_product(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Every output element is a sum over the left operand's last dimension."""
    return prod(shape(node.output[0])) * shape(node.input[0])[-1]


def _gemm(node: onnx.NodeProto, shape: ShapeOf) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(shape(node.output[0])) * shape(node.input[0])[0 if transposed else 1]


def _einsum(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Two operands multiply once for each assignment of all letters."""
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation").replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) != 2 or not all(re.fullmatch("[A-Za-z]+", term) for term in terms):
        raise ModelUnsupported(f"cannot count {node.name!r}: Einsum {equation!r}")
    extents: dict[str, int] = {}
    for name, term in zip(node.input, terms, strict=True):
        extents.update(zip(term, shape(name), strict=True))
    return prod(extents.values())


def _attention(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Two products over all pairs of positions: queries by keys, and weights by values."""
    query, key, value = (shape(name) for name in node.input[:3])
    heads_width = prod(query) // query[-2] * (1 + value[-1] / key[-1])
    return round(heads_width * query[-2] * key[-2])


def _recurrent(node: onnx.NodeProto, shape: ShapeOf) -> int:
    """Every step and sample pass both weight matrices."""
    return prod(shape(node.input[0])[:2]) * sum(prod(shape(name)) for name in node.input[1:3])


MACS: dict[str, Callable[[onnx.NodeProto, ShapeOf], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matrix_product,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}
