"""Kinds of ONNX operators that quantization tells apart."""

CONVOLUTIONS = ("Conv", "ConvTranspose")
WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")
"""Operators that read weights."""

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
"""Conversions between floats and codes."""
