"""Convolutions padded "as much as keeps the size" get that number written down.

PyTorch's older exporter writes ``padding="same"`` as ``auto_pad``; ONNX Runtime refuses it beside
dilation. PyTorch allows it at stride 1 alone, where the padding follows from kernel and dilation:
d · (k − 1) in all, the larger half at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

SAME = (b"SAME_UPPER", b"SAME_LOWER")


def write_pads(graph: GraphProto) -> None:
    """Replace ``auto_pad`` by ``pads`` in every convolution of stride 1; in place."""
    shapes = {each.name: list(each.dims)[2:] for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            _write_pads(node, shapes.get(node.input[1]))


def _write_pads(node: NodeProto, weight: list[int] | None) -> None:
    found = {each.name: each for each in node.attribute}
    kernel = list(found["kernel_shape"].ints) if "kernel_shape" in found else weight
    strides = found["strides"].ints if "strides" in found else ()
    if "auto_pad" not in found or found["auto_pad"].s not in SAME or kernel is None:
        return
    if any(stride != 1 for stride in strides):
        return
    dilations = list(found["dilations"].ints) if "dilations" in found else [1] * len(kernel)
    total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    small, large = [each // 2 for each in total], [each - each // 2 for each in total]
    upper = found["auto_pad"].s == SAME[0]
    node.attribute.remove(found["auto_pad"])
    pads = (*small, *large) if upper else (*large, *small)
    node.attribute.append(onnx.helper.make_attribute("pads", pads))
