"""Kinds of ONNX operators that quantization tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")
WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")
"""Operators that read weights."""

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
"""Conversions between floats and codes."""


def filters_first(node: onnx.NodeProto) -> bool:
    """Whether a layer's weights have a filter for each place of their first axis.

    Args:
        node: A convolution or a product of matrices; of transposed convolutions, and of products
            that do not say so, filters lie along another axis.
    """
    return node.op_type == "Conv" or any(
        each.name == "transB" and each.i for each in node.attribute
    )
