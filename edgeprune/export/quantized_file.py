"""The content of a quantized file: its graph, and what it says of itself and its float file."""

from __future__ import annotations

import onnx


def finished(quantized: onnx.ModelProto, original: onnx.ModelProto, precision: str) -> bytes:
    """The file's content: the origin of the float file, and that it is quantized.

    Args:
        quantized: The graph; what it says of itself is replaced.
        original: The float graph.
        precision: What its numbers are, in words.
    """
    del quantized.metadata_props[:]
    about = {each.key: each.value for each in original.metadata_props}
    about["precision"] = precision
    onnx.helper.set_model_props(quantized, about)
    quantized.producer_name = original.producer_name
    quantized.producer_version = original.producer_version
    onnx.checker.check_model(quantized, full_check=True)
    content: bytes = quantized.SerializeToString(deterministic=True)
    return content
