"""What an ONNX file says of its 8-bit integers, read without running it.

Outputs of quantized files are compared on inputs in the range of their codes: beyond it they are
wrong by design. And runtimes round products of codes in ways of their own, so a code differs here
and there, and outputs by far more than float rounding explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import Range

Ranges = tuple["Range | None", ...]
"""Range of each input; None for one that is not quantized."""


def is_quantized(path: Path) -> bool:
    """Whether a file computes with codes; False where it is not ONNX or cannot be read here."""
    graph = _graph(path)
    return graph is not None and any(node.op_type in CODED for node in graph.node)


def input_ranges(path: Path) -> Ranges:
    """The range that the codes of each input stand for; empty where nothing is known."""
    graph = _graph(path)
    if graph is None:
        return ()
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    found: dict[str, Range] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and all(name in stored for name in node.input[1:]):
            values = [numpy_helper.to_array(stored[name]) for name in node.input[1:]]
            if len(values) == 2 and values[0].size == 1 and values[1].dtype.name in LIMITS:
                scale, zero = float(values[0]), int(values[1])
                low, high = LIMITS[values[1].dtype.name]
                found[node.input[0]] = (scale * (low - zero), scale * (high - zero))
    return tuple(found.get(each.name) for each in graph.input if each.name not in stored)


def _graph(path: Path) -> Any:
    if path.suffix != ".onnx":
        return None
    try:
        import onnx

        return onnx.load(path, load_external_data=False).graph
    except Exception:  # no onnx, or no ONNX: whoever runs the file says so
        return None


CODED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
         "MatMulInteger", "DynamicQuantizeLinear")  # fmt: skip
LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
